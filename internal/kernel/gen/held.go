package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An element of a held matrix: how 32 of them become vectors of float32.
type element struct {
	name  string
	bytes int
	ahead int // bytes to fetch ahead, found by trying
}

var elements = []element{{"Float32", 4, 1024}, {"BFloat16", 2, 2048}, {"Int8", 1, 8192}}

// held writes the products of a few rows with a panel of 32 columns.
func (g *isa) held() {
	heights := []int{1, 2, 4, 8}
	if !g.wide() {
		heights = heights[:2]
	}
	for _, e := range elements {
		for _, rows := range heights {
			g.heldPanel(e, rows)
		}
	}
}

func (g *isa) heldPanel(e element, rows int) {
	g.function(fmt.Sprintf("held%s%d", e.name, rows), "(k int, a *float32, b *byte, c *float32, ldc, cols int, scale *float32)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of a, in which element i of step p is\n"+
			"a[%d*p+i], and of k rows of 32 at b; where scale is not nil, column j times scale[j].", rows, rows))
	k, a, b, c, ldc, cols, scale := integer("k"), pointer("a"), pointer("b"), pointer("c"), integer("ldc"), integer("cols"), pointer("scale")
	SHLQ(U8(2), ldc)
	vectors := 32 / g.lanes
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], g.zero())
		}
	}
	row := 32 * e.bytes
	step := func(p int) {
		x := make([]reg.VecVirtual, rows)
		for j := range vectors {
			v := g.vec()
			from := Mem{Base: b, Disp: p*row + j*g.lanes*e.bytes}
			switch e.name {
			case "Float32":
				VMOVUPS(from, v)
			case "BFloat16":
				VPMOVZXWD(from, v)
				VPSLLD(U8(16), v, v)
			case "Int8":
				VPMOVSXBD(from, v)
				VCVTDQ2PS(v, v)
			}
			for i := range rows {
				if j == 0 || !g.wide() {
					x[i] = g.vec()
					VBROADCASTSS(Mem{Base: a, Disp: 4 * (p*rows + i)}, x[i])
				}
				VFMADD231PS(x[i], v, acc[i][j])
			}
		}
	}
	const unroll = 4
	SUBQ(U8(unroll), k)
	JL(LabelRef("rest"))
	Label("loop")
	for line := 0; line < unroll*row; line += 64 {
		PREFETCHT0(Mem{Base: b, Disp: e.ahead + line})
	}
	for p := range unroll {
		step(p)
	}
	ADDQ(I32(unroll*row), b)
	ADDQ(I32(4*rows*unroll), a)
	SUBQ(U8(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), k)
	JE(LabelRef("scale"))
	Label("single")
	step(0)
	ADDQ(I32(row), b)
	ADDQ(I32(4*rows), a)
	DECQ(k)
	JNE(LabelRef("single"))

	Label("scale")
	TESTQ(scale, scale)
	JE(LabelRef("store"))
	for j := range vectors {
		s := g.vec()
		VMOVUPS(Mem{Base: scale, Disp: 4 * j * g.lanes}, s)
		for i := range rows {
			VMULPS(s, acc[i][j], acc[i][j])
		}
	}
	Label("store")
	for j := range vectors {
		left, limit, zero := GP64(), GP64(), GP64()
		MOVQ(cols, left)
		if j > 0 {
			SUBQ(U8(j*g.lanes), left)
		}
		MOVQ(U32(g.lanes), limit)
		CMPQ(left, limit)
		CMOVQGT(limit, left)
		XORQ(zero, zero)
		TESTQ(left, left)
		CMOVQLT(zero, left)
		g.setMask(left)
		to := GP64()
		MOVQ(c, to)
		for i := range rows {
			g.store(acc[i][j], at(to).Offset(4*j*g.lanes), true)
			if i < rows-1 {
				ADDQ(ldc, to)
			}
		}
	}
	VZEROUPPER()
	RET()
}
