package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An element of a held matrix: how 32 of them become vectors of float32.
type element struct {
	name  string
	bytes int
}

var elements = []element{{"Float32", 4}, {"BFloat16", 2}}

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
	g.function(fmt.Sprintf("held%s%d", e.name, rows), "(k int, a *float32, b *byte, c *float32, ldc, cols, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of a, in which element i of step p is\n"+
			"a[%d*p+i], and of k rows of 32 at b. It fetches b so many bytes ahead.", rows, rows))
	k, a, b, c, ldc, cols, ahead := integer("k"), pointer("a"), pointer("b"), pointer("c"), integer("ldc"), integer("cols"), integer("ahead")
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
		PREFETCHT0(Mem{Base: b, Index: ahead, Scale: 1, Disp: line})
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
	JE(LabelRef("store"))
	Label("single")
	step(0)
	ADDQ(I32(row), b)
	ADDQ(I32(4*rows), a)
	DECQ(k)
	JNE(LabelRef("single"))

	Label("store")
	g.storeColumns(acc, c, ldc, cols)
}

// storeColumns stores the first columns of rows of vectors side by side, and ends the function.
func (g *isa) storeColumns(rows [][]reg.VecVirtual, c, ldc, cols reg.Register) {
	for j := range rows[0] {
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
			g.store(rows[i][j], at(to).Offset(4*j*g.lanes), true)
			if i < len(rows)-1 {
				ADDQ(ldc, to)
			}
		}
	}
	g.end()
}

// heldInt8 writes the products of a few rows of two digits with a panel of int8.
func (g *isa) heldInt8(rows int) {
	g.function(fmt.Sprintf("heldInt8%d", rows),
		"(blocks int, a *uint32, b *byte, c *float32, ldc, cols int, scale *float32, rows *int32, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of a, in which block p of row i has its\n"+
			"first digits at a[2*(%d*p+i)] and its second ones after them, and of so many blocks of 32 columns at b, each of\n"+
			"four bytes without a sign. Sums begin with those of rows; column j is multiplied by scale[j], row i by its step.\n"+
			"It fetches b so many bytes ahead.", rows, rows))
	blocks, a, b, c, ldc, cols := integer("blocks"), pointer("a"), pointer("b"), pointer("c"), integer("ldc"), integer("cols")
	scale, head, ahead := pointer("scale"), pointer("rows"), integer("ahead")
	SHLQ(U8(2), ldc)
	vectors := 32 / g.lanes
	digits := [2][][]reg.VecVirtual{make([][]reg.VecVirtual, rows), make([][]reg.VecVirtual, rows)}
	for d := range digits {
		for i := range rows {
			for range vectors {
				v := g.vec()
				VPBROADCASTD(at(head).Offset(12*i+4*d), v)
				digits[d][i] = append(digits[d][i], v)
			}
		}
	}
	const block = 32 * 4
	step := func(p int) {
		if g.wide() {
			g.int8Bytes(rows, digits, at(a).Offset(8*p*rows), at(b).Offset(p*block))
		} else {
			g.int8Words(digits, at(a).Offset(8*p), at(b).Offset(p*block))
		}
	}
	const unroll = 4
	SUBQ(U8(unroll), blocks)
	JL(LabelRef("rest"))
	Label("loop")
	for line := 0; line < unroll*block; line += 64 {
		PREFETCHT0(Mem{Base: b, Index: ahead, Scale: 1, Disp: line})
	}
	for p := range unroll {
		step(p)
	}
	ADDQ(I32(unroll*block), b)
	ADDQ(I32(8*rows*unroll), a)
	SUBQ(U8(unroll), blocks)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), blocks)
	JE(LabelRef("finish"))
	Label("single")
	step(0)
	ADDQ(I32(block), b)
	ADDQ(I32(8*rows), a)
	DECQ(blocks)
	JNE(LabelRef("single"))

	Label("finish")
	for i := range rows {
		for j, v := range digits[0][i] {
			w := digits[1][i][j]
			VCVTDQ2PS(v, v)
			VCVTDQ2PS(w, w)
			t := g.vec()
			VBROADCASTSS(g.constant(256), t)
			VMULPS(t, v, v)
			VADDPS(w, v, v)
			VBROADCASTSS(at(head).Offset(12*i+8), t)
			VMULPS(t, v, v)
			VMULPS(at(scale).Offset(4*j*g.lanes), v, v)
		}
	}
	g.storeColumns(digits[0], c, ldc, cols)
}

// int8Bytes adds the products of four bytes in each lane.
func (g *isa) int8Bytes(rows int, digits [2][][]reg.VecVirtual, a, b Mem) {
	w := make([]reg.VecVirtual, len(digits[0][0]))
	for j := range w {
		w[j] = g.vec()
		VMOVDQU32(b.Offset(64*j), w[j])
	}
	for i := range rows {
		for d := range digits {
			x := g.vec()
			VPBROADCASTD(a.Offset(8*i+4*d), x)
			for j, sum := range digits[d][i] {
				addByteProducts(x, w[j], sum)
			}
		}
	}
}

// addByteProducts adds the products of x's bytes, with a sign, and w's, without one. Go's assembler knows the instruction, avo does not.
func addByteProducts(x, w, sum reg.VecVirtual) {
	operands := []Op{x, w, sum}
	Instruction(&ir.Instruction{Opcode: "VPDPBUSD", Operands: operands, Inputs: operands, Outputs: []Op{sum}, ISA: []string{"AVX512_VNNI"}})
}

// int8Words does the same for one row with words, the even bytes of a lane and the odd ones.
func (g *isa) int8Words(digits [2][][]reg.VecVirtual, a, b Mem) {
	var even, odd [2]reg.VecVirtual
	for d := range digits {
		even[d], odd[d] = g.vec(), g.vec()
		VPBROADCASTD(a.Offset(4*d), odd[d])
		VPSLLW(U8(8), odd[d], even[d])
		VPSRAW(U8(8), even[d], even[d])
		VPSRAW(U8(8), odd[d], odd[d])
	}
	for j := range digits[0][0] {
		high, low, product := g.vec(), g.vec(), g.vec()
		VMOVDQU(b.Offset(32*j), high)
		VPAND(g.bitsOf(0x00ff00ff), high, low)
		VPSRLW(U8(8), high, high)
		for d := range digits {
			sum := digits[d][0][j]
			VPMADDWD(low, even[d], product)
			VPADDD(product, sum, sum)
			VPMADDWD(high, odd[d], product)
			VPADDD(product, sum, sum)
		}
	}
}
