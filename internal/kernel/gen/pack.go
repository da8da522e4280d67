package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (g *isa) packs() {
	g.packCopy()
	g.packTranspose()
	g.fetch()
}

// more is what packing does besides: masked stores of AVX2 are slow on some machines.
func (g *isa) more() string {
	if g.wide() {
		return ""
	}
	return " For p < k-1 it also\nchanges what is up to a vector behind dst[p*width]."
}

// packCopy packs lanes that lie side by side in memory.
func (g *isa) packCopy() {
	g.function("packCopy", "(dst *float32, width int, src *float32, ld, lanes, k int)",
		"sets dst[p*width+i] = src[p*ld+i] for p < k and i < lanes, lanes at most the vector's."+g.more())
	dst, width, src, ld, lanes, k := pointer("dst"), integer("width"), pointer("src"), integer("ld"), integer("lanes"), integer("k")
	SHLQ(U8(2), width)
	SHLQ(U8(2), ld)
	CMPQ(lanes, U8(g.lanes))
	JE(LabelRef("full"))
	g.setMask(lanes)
	DECQ(k)
	JE(LabelRef("last"))
	for _, masked := range []bool{true, false} {
		label := map[bool]string{true: "masked", false: "full"}[masked]
		Label(label)
		g.store(g.load(at(src), masked), at(dst), masked && g.wide())
		ADDQ(ld, src)
		ADDQ(width, dst)
		DECQ(k)
		JNE(LabelRef(label))
		if masked {
			Label("last")
			g.store(g.load(at(src), true), at(dst), true)
		}
		g.end()
	}
}

// packTranspose packs lanes that lie a leading dimension apart, a square of vectors at a time.
func (g *isa) packTranspose() {
	g.function("packTranspose", "(dst *float32, width int, src *float32, ld, lanes, k int)",
		"sets dst[p*width+i] = src[i*ld+p] for p < k and i < lanes, lanes at most the vector's."+g.more())
	dst, width, src, ld, lanes, k := pointer("dst"), integer("width"), pointer("src"), integer("ld"), integer("lanes"), integer("k")
	SHLQ(U8(2), width)
	SHLQ(U8(2), ld)
	ahead := GP64() // what the panel after this one will need
	MOVQ(ld, ahead)
	SHLQ(U8(5), ahead)
	square := func(masked bool) []reg.VecVirtual {
		// Rows beyond the last lane repeat it.
		row, left, zero := GP64(), GP64(), GP64()
		MOVQ(src, row)
		MOVQ(lanes, left)
		XORQ(zero, zero)
		rows := make([]reg.VecVirtual, g.lanes)
		for i := range rows {
			rows[i] = g.load(at(row), masked)
			PREFETCHT1(Mem{Base: row, Index: ahead, Scale: 1})
			if i < len(rows)-1 {
				next := GP64()
				MOVQ(ld, next)
				DECQ(left)
				CMOVQLE(zero, next)
				ADDQ(next, row)
			}
		}
		return g.transpose(rows)
	}
	CMPQ(k, U8(g.lanes))
	JLE(LabelRef("last"))
	if g.wide() {
		g.setMask(lanes)
	}
	Label("loop")
	for _, v := range square(false) {
		g.store(v, at(dst), g.wide())
		ADDQ(width, dst)
	}
	ADDQ(I32(4*g.lanes), src)
	SUBQ(U8(g.lanes), k)
	CMPQ(k, U8(g.lanes))
	JG(LabelRef("loop"))
	Label("last")
	g.setMask(k)
	columns := square(true)
	g.setMask(lanes)
	for _, v := range columns {
		g.store(v, at(dst), true)
		ADDQ(width, dst)
		DECQ(k)
		JE(LabelRef("end"))
	}
	Label("end")
	g.end()
}

// fetch writes what brings an operand into the second-level cache before it is packed.
func (g *isa) fetch() {
	g.function("fetch", "(src *float32, ld, rows, lines int)", "fetches so many lines of 64 bytes of each of so many rows, ld elements apart, into the second-level cache.")
	src, ld, rows, lines := pointer("src"), integer("ld"), integer("rows"), integer("lines")
	SHLQ(U8(2), ld)
	SHLQ(U8(6), lines)
	Label("row")
	i := GP64()
	XORQ(i, i)
	Label("line")
	PREFETCHT1(Mem{Base: src, Index: i, Scale: 1})
	ADDQ(U8(64), i)
	CMPQ(i, lines)
	JLT(LabelRef("line"))
	ADDQ(ld, src)
	DECQ(rows)
	JNE(LabelRef("row"))
	RET()
}

// transpose returns the columns of a square of vectors.
func (g *isa) transpose(rows []reg.VecVirtual) []reg.VecVirtual {
	n := len(rows)
	pair := func(x []reg.VecVirtual, distance int, low, high func(a, b, dst reg.Register)) []reg.VecVirtual {
		y := make([]reg.VecVirtual, n)
		for i := range x {
			if i&distance == 0 {
				y[i], y[i+distance] = g.vec(), g.vec()
				low(x[i], x[i+distance], y[i])
				high(x[i], x[i+distance], y[i+distance])
			}
		}
		return y
	}
	x := pair(rows, 1,
		func(a, b, dst reg.Register) { VUNPCKLPS(b, a, dst) },
		func(a, b, dst reg.Register) { VUNPCKHPS(b, a, dst) })
	x = pair(x, 2,
		func(a, b, dst reg.Register) { VUNPCKLPD(b, a, dst) },
		func(a, b, dst reg.Register) { VUNPCKHPD(b, a, dst) })
	// Now x[4q+r] holds, in its 128-bit lane l, rows 4q to 4q+3 of column 4l + (0, 2, 1, 3)[r].
	if g.wide() {
		shuffle := func(control uint8) func(a, b, dst reg.Register) {
			return func(a, b, dst reg.Register) { VSHUFF32X4(U8(control), b, a, dst) }
		}
		x = pair(x, 4, shuffle(0x88), shuffle(0xdd))
		x = pair(x, 8, shuffle(0x88), shuffle(0xdd))
	} else {
		x = pair(x, 4,
			func(a, b, dst reg.Register) { VPERM2F128(U8(0x20), b, a, dst) },
			func(a, b, dst reg.Register) { VPERM2F128(U8(0x31), b, a, dst) })
	}
	columns := make([]reg.VecVirtual, n)
	for i, v := range x {
		r := [4]int{0, 2, 1, 3}[i&3]
		lane := i >> 2
		columns[4*lane+r] = v
	}
	return columns
}
