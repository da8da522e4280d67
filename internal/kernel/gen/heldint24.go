package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Integers of 24 bits, two steps in three vectors; see heldint24.go.
var int24 = element{"Int24", 2, groupUnit, true}

// int24Masks are what integers are taken apart with.
type int24Masks struct{ upper, words, first reg.VecVirtual }

func (g *isa) int24Masks() (m int24Masks) {
	m.upper, m.first = g.set32(0xffffff00), g.set32(0xff000000)
	if g.wide() {
		m.words = g.set32(0xffff0000)
	}
	return m
}

// int24Loader reads integers, times 256.
func (g *isa) int24Loader() func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
	masks := g.int24Masks()
	return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
		v := g.unitVectors(m, lane)
		return func(step int) (w [2]reg.VecVirtual) {
			for half := range w {
				w[half] = g.int24Of(v, 2*step+half, masks)
			}
			return w
		}
	}
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
	to, x, units, tops := g.cutFunction(int24, "rounded to the nearest, ties to even")
	wild := g.zero()
	factors := make([]reg.VecVirtual, len(tops))
	for j, top := range tops {
		VPMAXSD(top, wild, wild)
		VPSRLD(U8(23), top, top)
		VPMAXSD(g.bitsOf(22), top, top)
		factors[j] = g.set32(2*127 + 22)
		VPSUBD(top, factors[j], factors[j])
		VPSLLD(U8(23), factors[j], factors[j])
		VPSLLD(U8(23), top, top)
		VMOVUPS(top, at(to).Offset(4*j*g.lanes))
	}
	ADDQ(I32(groupScales), to)
	most, least, upper, lower := g.set32(1<<23-1), g.set32(1<<32-(1<<23-1)), g.set32(0xffffff00), g.set32(0x00ffffff)
	g.cutUnits(int24, to, x, units, wild, 0x7f7fffff, func(lane int) {
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
	})
	g.floatsOfGroup(int24, 1.0/(1<<30))
}
