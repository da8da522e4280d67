package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

func (g *isa) vectors() {
	g.function("add", "(dst, a, b *float32, n int)", "sets dst = a + b.")
	dst, a, b, n := pointer("dst"), pointer("a"), pointer("b"), integer("n")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(a)
		VADDPS(load(b), v, v)
		store(v, dst)
	})
	g.end()

	g.function("axpy", "(alpha float32, x, y *float32, n int)", "adds alpha·x to y.")
	alpha, x, y, n := g.spread("alpha"), pointer("x"), pointer("y"), integer("n")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(y)
		VFMADD231PS(load(x), alpha, v)
		store(v, y)
	})
	g.end()

	g.function("affine", "(alpha, beta float32, x *float32, n int)", "sets x = alpha·x + beta.")
	alpha, beta, x, n := g.spread("alpha"), g.spread("beta"), pointer("x"), integer("n")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(x)
		VFMADD213PS(beta, alpha, v)
		store(v, x)
	})
	g.end()

	g.function("scale", "(alpha float32, dst, x *float32, n int)", "sets dst = alpha·x.")
	alpha, dst, x, n = g.spread("alpha"), pointer("dst"), pointer("x"), integer("n")
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(x)
		VMULPS(alpha, v, v)
		store(v, dst)
	})
	g.end()

	g.function("dot", "(x, y *float32, n int) float64", "is the sum of x·y in float64.")
	x, y, n = pointer("x"), pointer("y"), integer("n")
	sums := [2]reg.VecVirtual{g.zero(), g.zero()}
	g.each(n, func(load func(reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		g.multiplyWide(load(x), load(y), sums)
	})
	g.result(g.total(sums))
}
