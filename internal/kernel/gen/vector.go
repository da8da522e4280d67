package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
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

// finish is the end of a product that was made in a place of its own.
func (g *isa) finish() {
	g.function("finish", "(dst *float32, ldd int, src *float32, lds int, bias, residual *float32, ldr, rows, vectors int)",
		`sets rows of so many times 16 columns of dst to those of src, plus bias, plus those of residual. bias and residual may be
nil, dst may be src or residual. Meanwhile it fetches what the first two vectors of a row eight rows on need: rows lie far apart.`)
	dst, src, bias, residual, rows, vectors := pointer("dst"), pointer("src"), pointer("bias"), pointer("residual"), integer("rows"), integer("vectors")
	ldd, lds, ldr := integer("ldd"), integer("lds"), integer("ldr")
	for _, ld := range []reg.Register{ldd, lds, ldr} {
		SHLQ(U8(2), ld)
	}
	SHLQ(U8(6), vectors)
	Label("row")
	i := GP64()
	XORQ(i, i)
	at := func(p reg.Register) Mem { return Mem{Base: p, Index: i, Scale: 1} }
	PREFETCHT0(Mem{Base: dst, Index: ldd, Scale: 8})
	PREFETCHT0(Mem{Base: dst, Index: ldd, Scale: 8, Disp: 64})
	unless(residual, func() {
		PREFETCHT0(Mem{Base: residual, Index: ldr, Scale: 8})
		PREFETCHT0(Mem{Base: residual, Index: ldr, Scale: 8, Disp: 64})
	})
	Label("vector")
	v := g.vec()
	VMOVUPS(at(src), v)
	unless(bias, func() { VADDPS(at(bias), v, v) })
	unless(residual, func() { VADDPS(at(residual), v, v) })
	VMOVUPS(v, at(dst))
	ADDQ(U8(4*g.lanes), i)
	CMPQ(i, vectors)
	JNE(LabelRef("vector"))
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	unless(residual, func() { ADDQ(ldr, residual) })
	DECQ(rows)
	JNE(LabelRef("row"))
	g.end()
}
