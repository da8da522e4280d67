package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The tanh form of GELU is x·σ(x·(cubic·x² + linear)).
const (
	geluLinear = 2 * 0.7978845608028653558798921198687638 // 2·√(2/π)
	geluCubic  = geluLinear * 0.044715
)

func (g *isa) activations() {
	g.activation("identity", "", "x", func(x reg.VecVirtual) reg.VecVirtual { return x })
	g.activation("relu", "", "max(x, 0)", func(x reg.VecVirtual) reg.VecVirtual {
		y := g.zero()
		VMAXPS(x, y, y)
		return y
	})
	g.activation("gelu", "", "x·Φ(x)", func(x reg.VecVirtual) reg.VecVirtual {
		y, _ := g.normal(x)
		VMULPS(x, y, y)
		return y
	})
	g.activation("geluTanh", "", "the tanh form of GELU", func(x reg.VecVirtual) reg.VecVirtual {
		y := g.sigmoid(g.geluTanhArgument(x))
		VMULPS(x, y, y)
		return y
	})
	g.activation("tanh", "", "tanh x", g.tanh)
	var negative reg.VecVirtual
	g.activation("sigmoidLinear", ", negative float32", "x·σ(-negative·x)", func(x reg.VecVirtual) reg.VecVirtual {
		y := g.vec()
		VMULPS(negative, x, y)
		y = g.sigmoid(y)
		VMULPS(x, y, y)
		return y
	}, func() { negative = g.spread("negative") })

	g.gradient("reluGrad", "", "dy where x > 0", func(x, dy reg.VecVirtual) {
		zero := g.zero()
		g.keepWhere(0x16, x, zero, dy) // not ≤: a NaN lets dy pass
	})
	g.gradient("geluGrad", "", "dy times the slope of GELU", func(x, dy reg.VecVirtual) {
		distribution, density := g.normal(x)
		VMULPS(g.constant(1/math.Sqrt(2*math.Pi)), density, density)
		VFMADD231PS(x, density, distribution)
		VMULPS(distribution, dy, dy)
	})
	g.gradient("geluTanhGrad", "", "dy times the slope of the tanh form of GELU", func(x, dy reg.VecVirtual) {
		s, rest := g.sigmoidPair(g.geluTanhArgument(x))
		near := g.near(x)
		u := g.vec()
		VMULPS(near, near, u)
		slope := g.set(3 * geluCubic)
		VFMADD213PS(g.constant(geluLinear), u, slope)
		VMULPS(near, slope, slope)
		g.productSlope(s, rest, slope)
		VMULPS(s, dy, dy)
	})
	g.gradient("tanhGrad", "", "dy·(1-tanh²x)", func(x, dy reg.VecVirtual) {
		t, slope := g.tanh(x), g.set(1)
		VFNMADD231PS(t, t, slope)
		VMULPS(slope, dy, dy)
	})
	g.gradient("sigmoidLinearGrad", ", negative float32", "dy times the slope of x·σ(-negative·x)", func(x, dy reg.VecVirtual) {
		y := g.vec()
		VMULPS(negative, x, y)
		s, rest := g.sigmoidPair(y)
		slope := g.near(x)
		VMULPS(negative, slope, slope)
		VXORPS(g.bitsOf(0x80000000), slope, slope)
		g.productSlope(s, rest, slope)
		VMULPS(s, dy, dy)
	}, func() { negative = g.spread("negative") })
}

// geluCoarse writes a GELU for results that are rounded to bfloat16: x/(1+2^(-x·q(x²))), where x·q(x²) is log₂ Φ(x)/Φ(-x). Beyond 6 q stays what it
// is there.
func (g *isa) geluCoarse() {
	g.activation("geluCoarse", "", "x·Φ(x), with an error of at most 2⁻¹²·(|x·Φ(x)|+2⁻¹⁰)", g.coarse)
}

func (g *isa) coarse(x reg.VecVirtual) reg.VecVirtual {
	square := g.set(36)
	t, y := g.vec(), g.vec()
	VMULPS(x, x, t)
	VMINPS(square, t, square)
	negative := make([]float64, len(oddsPolynomial))
	for i, c := range oddsPolynomial {
		negative[i] = -c
	}
	VMULPS(x, g.horner(square, negative), t)
	e := g.coarsePower(t)
	VADDPS(g.constant(1), e, e)
	if g.wide() {
		VRCP14PS(e, y)
		VMULPS(x, y, y)
	} else { // whose reciprocals are good for less
		VDIVPS(e, x, y)
	}
	return y
}

// coarsePower is 2ˣ, with an error of at most 2⁻¹³ of it.
func (g *isa) coarsePower(x reg.Register) reg.VecVirtual {
	e := g.vec()
	if g.wide() {
		VREDUCEPS(U8(9), x, e) // less the whole number below
		e = g.horner(e, powerPolynomial)
		VSCALEFPS(x, e, e)
		return e
	}
	n, high := g.set(-150), g.set(129)
	VMAXPS(x, n, n)
	VMINPS(n, high, high)
	VROUNDPS(U8(9), high, n)
	VSUBPS(n, high, e)
	e = g.horner(e, powerPolynomial)
	g.scale(e, n)
	return e
}

// expSumCoarse writes exponentials of scores that are rounded to bfloat16.
func (g *isa) expSumCoarse() {
	g.function("expSumCoarse", "(dst, x *float32, n int, shift float32) float32",
		"sets dst to e^(x-shift), with an error of at most 2⁻¹² of it where x-shift is between -200 and 0, and returns the sum.")
	dst, x, n := pointer("dst"), pointer("x"), integer("n")
	shift, sum := g.spread("shift"), g.sums()
	g.eachOf(n, len(sum), func(number int, at func(p reg.Register) Mem, masked bool) {
		v := g.load(at(x), masked)
		VSUBPS(shift, v, v)
		VMULPS(g.constant(math.Log2E), v, v)
		e := g.coarsePower(v)
		g.store(e, at(dst), masked)
		if masked {
			g.clearTail(e)
		}
		VADDPS(e, sum[number], sum[number])
	})
	g.result(g.fold(g.sum(sum), VADDPS))
}

// activation writes a function of x+bias; what setup loads stays in registers.
func (g *isa) activation(name, parameters, doc string, f func(x reg.VecVirtual) reg.VecVirtual, setup ...func()) {
	g.function(name, "(dst, x, bias, pre *float32, n int"+parameters+")",
		"sets dst to "+doc+", of x+bias in place of x where bias is not nil; pre receives x+bias unless nil.")
	dst, x, bias, pre, n := pointer("dst"), pointer("x"), pointer("bias"), pointer("pre"), integer("n")
	for _, s := range setup {
		s()
	}
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v := load(x)
		unless(bias, func() { VADDPS(load(bias), v, v) })
		unless(pre, func() { store(v, pre) })
		store(f(v), dst)
	})
	g.end()
}

// unless skips f where p is nil.
func unless(p reg.Register, f func()) {
	skip := label("skip")
	TESTQ(p, p)
	JE(LabelRef(skip))
	f()
	Label(skip)
}

func (g *isa) gradient(name, parameters, doc string, f func(x, dy reg.VecVirtual), setup ...func()) {
	g.function(name, "(dst, x, dy *float32, n int"+parameters+")", "sets dst to "+doc+".")
	dst, x, dy, n := pointer("dst"), pointer("x"), pointer("dy"), integer("n")
	for _, s := range setup {
		s()
	}
	g.each(n, func(load func(reg.Register) reg.VecVirtual, store func(v, p reg.Register), _ bool) {
		v, d := load(x), load(dy)
		f(v, d)
		store(d, dst)
	})
	g.end()
}

// geluTanhArgument is -u(x), where x·σ(u(x)) is the tanh form of GELU.
func (g *isa) geluTanhArgument(x reg.Register) reg.VecVirtual {
	square, u := g.vec(), g.set(-geluCubic)
	VMULPS(x, x, square)
	VFMADD213PS(g.constant(-geluLinear), square, u)
	VMULPS(x, u, u)
	return u
}

// near is x brought to within 10⁴, where the slopes of all sigmoids are 0 or 1, so that powers of it are finite.
func (g *isa) near(x reg.Register) reg.VecVirtual {
	low, high := g.set(-1e4), g.set(1e4)
	VMAXPS(x, low, low)
	VMINPS(low, high, low)
	return low
}

// productSlope turns s = σ(u(x)) into the slope of x·s, given rest = 1-s and x·u'(x): s + s·(1-s)·x·u'(x).
func (g *isa) productSlope(s, rest, xu reg.Register) {
	VMULPS(rest, xu, xu)
	VFMADD213PS(s, xu, s) // s = xu·s + s
}

func (g *isa) tanh(x reg.VecVirtual) reg.VecVirtual {
	u, two := g.abs(x), g.set(-2)
	VMULPS(two, u, u)
	e := g.expm1(u)
	below, y := g.set(-2), g.vec()
	VSUBPS(e, below, below) // -(2+e)
	VDIVPS(below, e, y)
	g.withSign(y, x)
	return y
}
