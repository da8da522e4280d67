package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tiles writes the inner kernels of the matrix product, one for each number of rows.
func (g *isa) tiles() {
	for rows := 1; rows <= g.height; rows++ {
		g.tile(rows)
	}
}

// tile keeps rows×2 vectors of C in registers. A step of k loads two vectors of B and spreads one element of A a row.
func (g *isa) tile(rows int) {
	g.function(fmt.Sprintf("tile%d", rows), "(k int, a, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32)",
		fmt.Sprintf("multiplies a panel of %d of %d rows (element i of step p at a[%d*p+i]) by k rows of b, ldb\n"+
			"elements apart, to the first cols (1 to %d) of %d columns of c. Meanwhile it fetches what ahead points to into the\n"+
			"second-level cache: 64 bytes every four steps.", rows, g.height, g.height, 2*g.lanes, 2*g.lanes))
	k, a, b, ldb, c, ldc, cols := integer("k"), pointer("a"), pointer("b"), integer("ldb"), pointer("c"), integer("ldc"), integer("cols")
	SHLQ(U8(2), ldb)
	SHLQ(U8(2), ldc)
	var acc [][2]reg.VecVirtual
	for range rows {
		acc = append(acc, [2]reg.VecVirtual{g.vec(), g.vec()})
	}

	// C is needed only at the end.
	row := GP64()
	MOVQ(c, row)
	for i := range rows {
		for j := 0; j < 2*g.lanes; j += 16 {
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
	low, high := g.halves(cols)
	row = GP64()
	MOVQ(c, row)
	for i := range rows {
		g.mask = low
		g.loadInto(acc[i][0], at(row), true)
		g.mask = high
		g.loadInto(acc[i][1], at(row).Offset(4*g.lanes), true)
		if i < rows-1 {
			ADDQ(ldc, row)
		}
	}

	Label("start")
	step := func(p int, b Mem) {
		b0, b1 := g.vec(), g.vec()
		VMOVUPS(b, b0)
		VMOVUPS(b.Offset(4*g.lanes), b1)
		for i := range rows {
			x := g.vec()
			VBROADCASTSS(Mem{Base: a, Disp: 4 * (p*g.height + i)}, x)
			VFMADD231PS(x, b0, acc[i][0])
			VFMADD231PS(x, b1, acc[i][1])
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
		CMPQ(cols, U8(2*g.lanes))
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
func (g *isa) storeTile(acc [][2]reg.VecVirtual, c, ldc, cols reg.Register) {
	var masks [2]reg.Register
	if cols != nil {
		masks[0], masks[1] = g.halves(cols)
	}
	row := GP64()
	MOVQ(c, row)
	for i := range acc {
		for j, v := range acc[i] {
			g.mask = masks[j]
			g.store(v, at(row).Offset(4*g.lanes*j), cols != nil)
		}
		if i < len(acc)-1 {
			ADDQ(ldc, row)
		}
	}
}

// halves are the masks of the two vectors that hold n columns.
func (g *isa) halves(n reg.Register) (low, high reg.Register) {
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
	low = g.mask
	g.setMask(second)
	return low, g.mask
}
