package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (g *isa) softmax() {
	g.function("maximum", "(x *float32, n int) float32", "is the largest of x; NaNs may go unseen.")
	x, n := pointer("x"), integer("n")
	top := g.set(math.Inf(-1))
	g.each(n, func(load func(reg.Register) reg.VecVirtual, _ func(v, p reg.Register), masked bool) {
		v := load(x)
		switch {
		case !masked:
			VMAXPS(v, top, top)
		case g.wide():
			VMAXPS(v, top, g.mask, top)
		default:
			low := g.set(math.Inf(-1))
			VBLENDVPS(g.mask, v, low, v)
			VMAXPS(v, top, top)
		}
	})
	g.result(g.fold(top, VMAXPS))

	g.function("expSum", "(dst, x *float32, n int, shift float32) float64", "sets dst = e^(x-shift) and returns its sum. A nil dst is not written.")
	dst, x, n := pointer("dst"), pointer("x"), integer("n")
	shift := g.spread("shift")
	sums := [2]reg.VecVirtual{g.zero(), g.zero()}
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), masked bool) {
		v := load(x)
		VSUBPS(shift, v, v)
		e := g.exp(v)
		unless(dst, func() { store(e, dst) })
		if masked {
			g.clearTail(e)
		}
		g.widen(e, sums)
	})
	g.result(g.total(sums))

	g.function("scaledDifference", "(dst, p, d *float32, n int, delta float32)", "sets dst = p·(d-delta).")
	dst, p, d, n := pointer("dst"), pointer("p"), pointer("d"), integer("n")
	delta := g.spread("delta")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(d)
		VSUBPS(delta, v, v)
		VMULPS(load(p), v, v)
		store(v, dst)
	})
	g.end()

	g.function("subtract", "(dst, x *float32, n int, b float64)", "sets dst = x-b, computed in float64.")
	dst, x, n = pointer("dst"), pointer("x"), integer("n")
	low, b := Load(Param("b"), XMM()), g.vec()
	VBROADCASTSD(low, b)
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		lower, upper := g.doubles(load(x))
		VSUBPD(b, lower, lower)
		VSUBPD(b, upper, upper)
		v := g.vec()
		if g.wide() {
			VCVTPD2PS(lower, v.AsY())
			VCVTPD2PS(upper, upper.AsY())
			VINSERTF64X4(U8(1), upper.AsY(), v, v)
		} else {
			VCVTPD2PSY(lower, v.AsX())
			VCVTPD2PSY(upper, upper.AsX())
			VINSERTF128(U8(1), upper.AsX(), v, v)
		}
		store(v, dst)
	})
	g.end()

	g.drop()
}

// drop is dropout; the arithmetic is that of dropHash in package kernel.
func (g *isa) drop() {
	g.function("drop", "(x *float32, n int, key, factor, threshold uint32, scale float32)",
		"multiplies x[i] by scale, or by zero where the hash of i is below the threshold.")
	x, n, scale := pointer("x"), integer("n"), g.spread("scale")
	spread := func(name string) reg.VecVirtual {
		r, v := Load(Param(name), GP32()), g.vec()
		low := XMM()
		VMOVD(r, low)
		VPBROADCASTD(low, v)
		return v
	}
	key, factor, threshold := spread("key"), spread("factor"), spread("threshold")
	index := GLOBL("indices"+g.name, attr.RODATA|attr.NOPTR)
	for i := range g.lanes {
		DATA(4*i, U32(uint32(i)))
	}
	i := g.vec()
	VMOVUPS(index, i)
	VPADDD(key, i, key)
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		h, shifted := g.vec(), g.vec()
		mixin := func(by uint8) {
			VPSRLD(U8(by), h, shifted)
			if g.wide() {
				VPXORD(shifted, h, h)
			} else {
				VPXOR(shifted, h, h)
			}
		}
		VPMULLD(factor, key, h)
		mixin(16)
		VPMULLD(g.bitsOf(0x7feb352d), h, h)
		mixin(15)
		VPMULLD(g.bitsOf(0x846ca68b), h, h)
		mixin(16)
		v := load(x)
		VMULPS(scale, v, v)
		if g.wide() {
			k := K()
			VPCMPUD(U8(5), threshold, h, k) // not less
			VMOVAPS_Z(v, k, v)
		} else {
			m := g.vec()
			VPMAXUD(threshold, h, m)
			VPCMPEQD(m, h, m)
			VPAND(m, v, v)
		}
		store(v, x)
		VPADDD(g.bitsOf(uint32(g.lanes)), key, key)
	})
	g.end()
}
