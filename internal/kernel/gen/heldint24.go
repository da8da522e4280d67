package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A group of a panel of integers of 24 bits: 32 scales, and for each two of 64 steps three vectors of 16 lanes; see heldint24.go.
const (
	int24Steps  = 64
	int24Scales = 4 * 32
	int24Pair   = 3 * 64
)

var int24 = element{"Int24", 3}

// int24Vectors are the three vectors of two steps at m, of the lanes from the given one on.
func (g *isa) int24Vectors(m Mem, lane int) (v [3]reg.VecVirtual) {
	for q := range v {
		v[q] = g.vec()
		VMOVUPS(m.Offset(64*q+4*lane), v[q])
	}
	return v
}

// int24Masks are what integers are taken apart with.
type int24Masks struct{ upper, words, first reg.VecVirtual }

func (g *isa) int24Masks() (m int24Masks) {
	m.upper, m.first = g.vec(), g.vec()
	VMOVUPS(g.bitsOf(0xffffff00), m.upper)
	VMOVUPS(g.bitsOf(0xff000000), m.first)
	if g.wide() {
		m.words = g.vec()
		VMOVUPS(g.bitsOf(0xffff0000), m.words)
	}
	return m
}

// int24Of is integer q of 4 in three vectors, times 256, as float32.
func (g *isa) int24Of(v [3]reg.VecVirtual, q int, m int24Masks) reg.VecVirtual {
	x := g.vec()
	switch {
	case q < 2:
		VANDPS(m.upper, v[q], x)
	case q == 2:
		VPSLLD(U8(8), v[2], x)
	case g.wide():
		y := g.vec()
		VPSLLD(U8(16), v[0], x)
		VPSLLD(U8(8), v[1], y)
		VPTERNLOGD(U8(0xe4), m.words, y, x)
		VPTERNLOGD(U8(0xd8), m.first, v[2], x)
	default:
		y := g.vec()
		VPSLLD(U8(16), v[0], x)
		VPSLLD(U8(8), v[1], y)
		VPBLENDW(U8(0xaa), x, y, x)
		VPBLENDVB(m.first, v[2], x, x)
	}
	VCVTDQ2PS(x, x)
	return x
}

// pick sets the bits of x that are not in the mask to those of y; in x they are zero.
func (g *isa) pick(mask, y, x reg.VecVirtual) {
	if g.wide() {
		VPTERNLOGD(U8(0xe4), mask, y, x)
		return
	}
	t := g.vec()
	VPANDN(y, mask, t)
	VPOR(t, x, x)
}

// int24s writes what converts a group of a panel.
func (g *isa) int24s() {
	vectors := 32 / g.lanes
	g.function("cutInt24", "(to *byte, x *float32, pairs int) bool",
		"makes a group of a panel of 1 to 32 times two rows of x [2·pairs, 32], each element rounded to the nearest, ties to even.\n"+
			"It reports whether there is an infinity or a NaN.")
	to, x, pairs := pointer("to"), pointer("x"), integer("pairs")
	p, n := GP64(), GP64()
	MOVQ(x, p)
	MOVQ(pairs, n)
	abs := g.vec()
	VMOVUPS(g.bitsOf(0x7fffffff), abs)
	tops := make([]reg.VecVirtual, vectors)
	for j := range tops {
		tops[j] = g.zero()
	}
	Label("largest")
	for i := range 2 * vectors {
		v := g.vec()
		VANDPS(at(p).Offset(4*i*g.lanes), abs, v)
		VPMAXSD(v, tops[i%vectors], tops[i%vectors])
	}
	ADDQ(I32(2*4*32), p)
	DECQ(n)
	JNE(LabelRef("largest"))
	wild := g.zero()
	factors := make([]reg.VecVirtual, vectors)
	for j, top := range tops {
		VPMAXSD(top, wild, wild)
		VPSRLD(U8(23), top, top)
		VPMAXSD(g.bitsOf(22), top, top)
		factors[j] = g.vec()
		VMOVUPS(g.bitsOf(2*127+22), factors[j])
		VPSUBD(top, factors[j], factors[j])
		VPSLLD(U8(23), factors[j], factors[j])
		VPSLLD(U8(23), top, top)
		VMOVUPS(top, at(to).Offset(4*j*g.lanes))
	}
	ADDQ(I32(int24Scales), to)
	most, least, upper, lower := g.vec(), g.vec(), g.vec(), g.vec()
	VMOVUPS(g.bitsOf(1<<23-1), most)
	VMOVUPS(g.bitsOf(1<<32-(1<<23-1)), least)
	VMOVUPS(g.bitsOf(0xffffff00), upper)
	VMOVUPS(g.bitsOf(0x00ffffff), lower)
	Label("pairs")
	for lane := 0; lane < 16; lane += g.lanes {
		var v [4]reg.VecVirtual
		for q := range v {
			v[q] = g.vec()
			VMULPS(at(x).Offset(4*(16*q+lane)), factors[(q%2*16+lane)/g.lanes], v[q])
			VCVTPS2DQ(v[q], v[q])
			VPMINSD(most, v[q], v[q])
			VPMAXSD(least, v[q], v[q])
		}
		middle, first := g.vec(), g.vec()
		VPSRLD(U8(8), v[3], middle)
		VPSLLD(U8(8), v[3], first)
		VPSLLD(U8(8), v[0], v[0])
		VPSLLD(U8(8), v[1], v[1])
		VANDPS(lower, v[2], v[2])
		g.pick(upper, middle, v[0])
		g.pick(upper, v[3], v[1])
		g.pick(lower, first, v[2])
		for q, w := range v[:3] {
			VMOVUPS(w, at(to).Offset(64*q+4*lane))
		}
	}
	ADDQ(I32(2*4*32), x)
	ADDQ(I32(int24Pair), to)
	DECQ(pairs)
	JNE(LabelRef("pairs"))
	flags, found := GP32(), GP8()
	if g.wide() {
		k := K()
		VPCMPD(U8(5), g.bitsOf(0x7f800000), wild, k) // not less
		KMOVW(k, flags)
	} else {
		VPCMPGTD(g.bitsOf(0x7f7fffff), wild, wild)
		VMOVMSKPS(wild, flags)
	}
	TESTL(flags, flags)
	SETNE(found)
	Store(found, ReturnIndex(0))
	g.end()

	g.function("floatsOfInt24", "(x *float32, b *byte, pairs int)", "sets 2·pairs rows of x [2·pairs, 32] to those of a group of a panel.")
	x, b, pairs := pointer("x"), pointer("b"), integer("pairs")
	masks := g.int24Masks()
	scale, one := make([]reg.VecVirtual, vectors), g.vec()
	VMOVUPS(g.constant(1.0/(1<<30)), one)
	for j := range scale {
		scale[j] = g.vec()
		VMOVUPS(at(b).Offset(4*j*g.lanes), scale[j])
	}
	ADDQ(I32(int24Scales), b)
	Label("loop")
	for lane := 0; lane < 16; lane += g.lanes {
		v := g.int24Vectors(at(b), lane)
		for q := range 4 {
			w := g.int24Of(v, q, masks)
			VMULPS(one, w, w)
			VMULPS(scale[(q%2*16+lane)/g.lanes], w, w)
			VMOVUPS(w, at(x).Offset(4*(16*q+lane)))
		}
	}
	ADDQ(I32(2*4*32), x)
	ADDQ(I32(int24Pair), b)
	DECQ(pairs)
	JNE(LabelRef("loop"))
	g.end()
}
