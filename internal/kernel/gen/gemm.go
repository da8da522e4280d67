package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tiles writes the inner kernels of the matrix product, one for each number of rows, and those for half as many columns.
func (g *isa) tiles() {
	for rows := 1; rows <= g.height; rows++ {
		g.tile("tile", rows, 2)
	}
	for rows := 1; rows <= g.height; rows++ {
		g.tile("halfTile", rows, 1)
	}
}

// tile keeps rows×vectors of C in registers. A step of k loads the vectors of B and spreads one element of A a row.
func (g *isa) tile(name string, rows, vectors int) {
	g.function(fmt.Sprint(name, rows), "(k int, a, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32)",
		fmt.Sprintf("multiplies a panel of %d of %d rows (element i of step p at a[%d*p+i]) by k rows of b, ldb\n"+
			"elements apart, to the first cols (1 to %d) of %d columns of c. Meanwhile it fetches what ahead points to into the\n"+
			"second-level cache: 64 bytes every four steps.", rows, g.height, g.height, vectors*g.lanes, vectors*g.lanes))
	k, a, b, ldb, c, ldc, cols := integer("k"), pointer("a"), pointer("b"), integer("ldb"), pointer("c"), integer("ldc"), integer("cols")
	SHLQ(U8(2), ldb)
	SHLQ(U8(2), ldc)
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], g.vec())
		}
	}

	// C is needed only at the end.
	row := GP64()
	MOVQ(c, row)
	for i := range rows {
		for j := 0; j < vectors*g.lanes; j += 16 {
			PREFETCHT1(at(row).Offset(4 * j))
		}
		if i < rows-1 {
			ADDQ(ldc, row)
		}
	}
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JNE(LabelRef("load"))
	for i := range rows {
		for _, v := range acc[i] {
			VXORPS(v, v, v)
		}
	}
	JMP(LabelRef("start"))
	Label("load")
	masks := g.masks(cols, vectors)
	row = GP64()
	MOVQ(c, row)
	for i := range rows {
		for j, v := range acc[i] {
			g.mask = masks[j]
			g.loadInto(v, at(row).Offset(4*g.lanes*j), true)
		}
		if i < rows-1 {
			ADDQ(ldc, row)
		}
	}

	Label("start")
	step := func(p int, b Mem) {
		var right []reg.VecVirtual
		for j := range vectors {
			right = append(right, g.load(b.Offset(4*g.lanes*j), false))
		}
		for i := range rows {
			x := g.vec()
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (p*g.height + i)}, x)
			for j, v := range acc[i] {
				VFMADD231PS(x, right[j], v)
			}
		}
	}
	const unroll = 4
	ahead, ldb3 := pointer("ahead"), GP64()
	LEAQ(Mem{Base: ldb, Index: ldb, Scale: 2}, ldb3)
	SUBQ(U8(unroll), k)
	JL(LabelRef("rest"))
	Label("loop")
	PREFETCHT1(at(ahead))
	ADDQ(U8(64), ahead)
	step(0, Mem{Base: b})
	step(1, Mem{Base: b, Index: ldb, Scale: 1})
	step(2, Mem{Base: b, Index: ldb, Scale: 2})
	step(3, Mem{Base: b, Index: ldb3, Scale: 1})
	LEAQ(Mem{Base: b, Index: ldb, Scale: 4}, b)
	ADDQ(I32(4*g.height*unroll), a)
	SUBQ(U8(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), k)
	JE(LabelRef("store"))
	Label("single")
	step(0, Mem{Base: b})
	ADDQ(ldb, b)
	ADDQ(I32(4*g.height), a)
	DECQ(k)
	JNE(LabelRef("single"))

	Label("store")
	if !g.wide() { // a masked store is slow on some machines
		CMPQ(cols, U8(vectors*g.lanes))
		JNE(LabelRef("masked"))
		g.storeTile(acc, c, ldc, nil)
		VZEROUPPER()
		RET()
		Label("masked")
	}
	g.storeTile(acc, c, ldc, cols)
	VZEROUPPER()
	RET()
}

// storeTile writes the first cols columns of the tile; all when cols is nil.
func (g *isa) storeTile(acc [][]reg.VecVirtual, c, ldc, cols reg.Register) {
	var masks []reg.Register
	if cols != nil {
		masks = g.masks(cols, len(acc[0]))
	}
	row := GP64()
	MOVQ(c, row)
	for i := range acc {
		for j, v := range acc[i] {
			if cols != nil {
				g.mask = masks[j]
			}
			g.store(v, at(row).Offset(4*g.lanes*j), cols != nil)
		}
		if i < len(acc)-1 {
			ADDQ(ldc, row)
		}
	}
}

// masks are those of the one or two vectors that hold n columns.
func (g *isa) masks(n reg.Register, vectors int) []reg.Register {
	if vectors == 1 {
		g.setMask(n)
		return []reg.Register{g.mask}
	}
	lanes, zero, first, second := GP64(), GP64(), GP64(), GP64()
	MOVQ(U32(g.lanes), lanes)
	XORQ(zero, zero)
	MOVQ(n, first)
	CMPQ(first, lanes)
	CMOVQGT(lanes, first)
	MOVQ(n, second)
	SUBQ(lanes, second)
	CMOVQLT(zero, second)
	g.setMask(first)
	low := g.mask
	g.setMask(second)
	return []reg.Register{low, g.mask}
}
