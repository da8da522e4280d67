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
	g.function(fmt.Sprint(name, rows), "(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32)",
		fmt.Sprintf("multiplies %d rows of A (element i of step p at a[i*row+p*step+p/run*jump]) by k rows of b, ldb elements\n"+
			"apart, to the first cols (1 to %d) of %d columns of c. Meanwhile it fetches what ahead points to into the second-level\n"+
			"cache: 64 bytes every four steps.", rows, vectors*g.lanes, vectors*g.lanes))
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], g.vec())
		}
	}

	// C is needed only at the end.
	ldc, row := scaled("ldc"), pointer("c")
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
	masks := g.masks(integer("cols"), vectors)
	row = pointer("c")
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
	left, next := g.rowsOf(pointer("a"), scaled("row"), rows)
	aStep := scaled("step")
	k, b, ldb := integer("k"), pointer("b"), scaled("ldb")
	step := func(b Mem) {
		var right []reg.VecVirtual
		for j := range vectors {
			right = append(right, g.load(b.Offset(4*g.lanes*j), false))
		}
		for i := range rows {
			x := g.vec()
			VBROADCASTSS(left[i], x)
			for j, v := range acc[i] {
				VFMADD231PS(x, right[j], v)
			}
		}
		next(aStep)
	}
	const unroll = 4
	ahead, ldb3 := pointer("ahead"), GP64()
	LEAQ(Mem{Base: ldb, Index: ldb, Scale: 2}, ldb3)
	Label("run")
	n := integer("run")
	CMPQ(k, n)
	CMOVQLT(k, n)
	SUBQ(n, k)
	SUBQ(U8(unroll), n)
	JL(LabelRef("rest"))
	Label("loop")
	PREFETCHT1(at(ahead))
	ADDQ(U8(64), ahead)
	step(Mem{Base: b})
	step(Mem{Base: b, Index: ldb, Scale: 1})
	step(Mem{Base: b, Index: ldb, Scale: 2})
	step(Mem{Base: b, Index: ldb3, Scale: 1})
	LEAQ(Mem{Base: b, Index: ldb, Scale: 4}, b)
	SUBQ(U8(unroll), n)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), n)
	JE(LabelRef("jump"))
	Label("single")
	step(Mem{Base: b})
	ADDQ(ldb, b)
	DECQ(n)
	JNE(LabelRef("single"))
	Label("jump")
	next(scaled("jump"))
	TESTQ(k, k)
	JNE(LabelRef("run"))

	c, ldc, cols := pointer("c"), scaled("ldc"), integer("cols")
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

// rowsOf are the addresses of rows that many bytes apart, nine to a register that next moves on.
func (g *isa) rowsOf(a, apart reg.Register, rows int) (row []Mem, next func(by reg.Register)) {
	times := map[int]reg.Register{1: apart}
	multiple := func(n int) reg.Register { // 3, 5 or 7 times
		if times[n] == nil {
			r := GP64()
			if n == 7 {
				LEAQ(Mem{Base: times[3], Index: apart, Scale: 4}, r)
			} else {
				LEAQ(Mem{Base: apart, Index: apart, Scale: uint8(n - 1)}, r)
			}
			times[n] = r
		}
		return times[n]
	}
	var bases []reg.Register
	for i := range rows {
		switch n := i % 9; n {
		case 0:
			base := a
			if i > 0 {
				base = GP64()
				LEAQ(Mem{Base: bases[len(bases)-1], Index: apart, Scale: 8}, base)
				ADDQ(apart, base)
			}
			bases = append(bases, base)
			row = append(row, at(base))
		case 1, 2, 4, 8:
			row = append(row, Mem{Base: bases[i/9], Index: apart, Scale: uint8(n)})
		case 6:
			row = append(row, Mem{Base: bases[i/9], Index: multiple(3), Scale: 2})
		default:
			row = append(row, Mem{Base: bases[i/9], Index: multiple(n), Scale: 1})
		}
	}
	return row, func(by reg.Register) {
		for _, base := range bases {
			ADDQ(by, base)
		}
	}
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
