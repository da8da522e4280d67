package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (g *isa) norms() {
	g.layerNorm()
	g.layerNormBackward()

	g.function("layerNormScales", "(dgamma, dbeta, dy, x *float32, n int, mean, rstd float32)",
		"adds dy·(x-mean)·rstd to dgamma, and dy to dbeta; either may be nil.")
	dgamma, dbeta, dy, x, n := pointer("dgamma"), pointer("dbeta"), pointer("dy"), pointer("x"), integer("n")
	mean, rstd := g.spread("mean"), g.spread("rstd")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		d := load(dy)
		unless(dgamma, func() {
			v, sum := load(x), load(dgamma)
			VSUBPS(mean, v, v)
			VMULPS(rstd, v, v)
			VFMADD231PS(d, v, sum)
			store(sum, dgamma)
		})
		unless(dbeta, func() {
			VADDPS(load(dbeta), d, d)
			store(d, dbeta)
		})
	})
	g.end()
}

// everywhere spreads the lowest lane.
func (g *isa) everywhere(low reg.VecVirtual) reg.VecVirtual {
	v := g.vec()
	VBROADCASTSS(low.AsX(), v)
	return v
}

func (g *isa) layerNorm() {
	g.function("layerNorm", "(y, x, gamma, beta *float32, n int, eps float32, stats *[2]float32)",
		"sets y to the layer norm of x, and stats to its mean and 1/√(variance+eps). Meanwhile it fetches what follows x.")
	y, x, gamma, beta, n := pointer("y"), pointer("x"), pointer("gamma"), pointer("beta"), integer("n")
	count := XMM()
	VCVTSI2SSQ(n, count, count)
	sum, next := g.sums(), GP64()
	LEAQ(Mem{Base: x, Index: n, Scale: 4}, next)
	g.eachOf(n, len(sum), func(number int, at func(p reg.Register) Mem, masked bool) {
		VADDPS(g.load(at(x), masked), sum[number], sum[number])
		PREFETCHT0(at(next))
	})
	low := g.fold(g.sum(sum), VADDPS)
	VDIVSS(count, low, low)
	mean := g.everywhere(low)

	squares := g.sums()
	g.eachOf(n, len(squares), func(number int, at func(p reg.Register) Mem, masked bool) {
		v := g.load(at(x), masked)
		VSUBPS(mean, v, v)
		if masked {
			g.clearTail(v)
		}
		VFMADD231PS(v, v, squares[number])
	})
	low = g.fold(g.sum(squares), VADDPS)
	VDIVSS(count, low, low)
	eps := Load(Param("eps"), XMM())
	VADDSS(eps, low, low)
	VSQRTSS(low, low, low)
	one := XMM()
	VMOVSS(g.word(math.Float32bits(1)), one)
	VDIVSS(low, one, low)
	rstd := g.everywhere(low)

	stats := pointer("stats")
	VMOVSS(mean.AsX(), at(stats))
	VMOVSS(rstd.AsX(), at(stats).Offset(4))
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(x)
		VSUBPS(mean, v, v)
		VMULPS(rstd, v, v)
		w := load(gamma)
		VFMADD213PS(load(beta), v, w)
		store(w, y)
	})
	g.end()
}

func (g *isa) layerNormBackward() {
	g.function("layerNormBackward", "(dx, dy, x, gamma *float32, n int, mean, rstd float32)",
		"sets dx = rstd·(h - mean of h - x̂·(mean of h·x̂)), where h is dy·gamma and x̂ is (x-mean)·rstd.")
	dx, dy, x, gamma, n := pointer("dx"), pointer("dy"), pointer("x"), pointer("gamma"), integer("n")
	mean, rstd := g.spread("mean"), g.spread("rstd")
	count := XMM()
	VCVTSI2SSQ(n, count, count)
	sum, dot := g.zero(), g.zero()
	parts := func(load func(reg.Register) reg.VecVirtual) (h, hat reg.VecVirtual) {
		h, hat = load(dy), load(x)
		VMULPS(load(gamma), h, h)
		VSUBPS(mean, hat, hat)
		VMULPS(rstd, hat, hat)
		return h, hat
	}
	g.each(n, func(load func(reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		h, hat := parts(load) // h is zero in the lanes outside a mask
		VADDPS(h, sum, sum)
		VFMADD231PS(h, hat, dot)
	})
	average := func(v reg.VecVirtual) reg.VecVirtual {
		low := g.fold(v, VADDPS)
		VDIVSS(count, low, low)
		return g.everywhere(low)
	}
	a, b := average(sum), average(dot)
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		h, hat := parts(load)
		VSUBPS(a, h, h)
		VFNMADD231PS(hat, b, h)
		VMULPS(rstd, h, h)
		store(h, dx)
	})
	g.end()
}
