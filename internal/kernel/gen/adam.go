package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (g *isa) adam() {
	g.function("adam", "(w, grad, m, v *float32, n int, k *[9]float32)",
		"makes one step of Adam, with the scalars k: those of adamScalars, in order, lerp below a half.")
	w, grad, m, v, n, k := pointer("w"), pointer("grad"), pointer("m"), pointer("v"), integer("n"), pointer("k")
	scalars := make([]reg.VecVirtual, 9)
	for i := range scalars {
		scalars[i] = g.vec()
		VBROADCASTSS(Mem{Base: k, Disp: 4 * i}, scalars[i])
	}
	decay, l2, lerp, beta2, square, root, eps, step, scale := scalars[0], scalars[1], scalars[2], scalars[3], scalars[4], scalars[5], scalars[6], scalars[7], scalars[8]
	penalty := GP64() // not zero when there is one
	MOVL(Mem{Base: k, Disp: 4}, penalty.As32())
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		weight, slope, first, second := load(w), load(grad), load(m), load(v)
		VMULPS(scale, slope, slope)
		VMULPS(decay, weight, weight)
		unless(penalty, func() { VFMADD231PS(l2, weight, slope) })
		t := g.vec()
		VSUBPS(first, slope, t)
		VFMADD231PS(lerp, t, first)
		store(first, m)
		VMULPS(beta2, second, second)
		VMULPS(square, slope, t)
		VFMADD231PS(t, slope, second)
		store(second, v)
		VSQRTPS(second, second)
		VDIVPS(root, second, second)
		VADDPS(eps, second, second)
		VMULPS(step, first, first)
		VDIVPS(second, first, first)
		VADDPS(first, weight, weight)
		store(weight, w)
	})
	g.end()
}
