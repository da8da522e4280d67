package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The polynomials of fit.py, lowest power first.
var (
	expPolynomial   = []float64{0.49999994, 0.16666514, 0.041668378, 0.008369549, 0.0013819771}
	tailPolynomial  = []float64{0.13962126, 0.13986433, 0.11981558, 0.10557445, -0.023262965, 0.15939158, -0.25590065, 0.1440602, -0.029163798}
	oddsPolynomial  = []float64{2.301733, 0.105577, -0.00043941205, -9.037546e-05, 4.781191e-06, -8.093165e-08}
	powerPolynomial = []float64{0.9999252, 0.69583356, 0.22606716, 0.07802452}
)

const tailScale = 0.35

// horner is the polynomial at x.
func (g *isa) horner(x reg.Register, coefficients []float64) reg.VecVirtual {
	last := len(coefficients) - 1
	v := g.set(coefficients[last])
	for i := last - 1; i >= 0; i-- {
		VFMADD213PS(g.constant(coefficients[i]), x, v)
	}
	return v
}

// reduce returns n and r with x = n·ln2 + r, n whole and |r| ≤ ln2/2, for x clamped so that 2ⁿ covers all of float32's range. A
// NaN stays one.
func (g *isa) reduce(x reg.Register) (n, r reg.VecVirtual) {
	r, n = g.set(-104), g.vec()
	VMAXPS(x, r, r)
	high := g.set(89)
	VMINPS(r, high, r)
	VMULPS(g.constant(math.Log2E), r, n)
	if g.wide() {
		VRNDSCALEPS(U8(0), n, n)
	} else {
		VROUNDPS(U8(0), n, n)
	}
	// ln2 in two parts, of which the first has zeros enough for n times it to be exact.
	VFNMADD231PS(g.constant(0.693359375), n, r)
	VFNMADD231PS(g.constant(math.Ln2-0.693359375), n, r)
	return n, r
}

// scale multiplies x by 2ⁿ, n whole, with the right subnormals and infinities for -150 ≤ n ≤ 129.
func (g *isa) scale(x, n reg.Register) {
	if g.wide() {
		VSCALEFPS(n, x, x)
		return
	}
	// In two steps, as 2ⁿ itself may be out of range.
	whole, half := g.vec(), g.vec()
	VCVTPS2DQ(n, whole)
	VPSRAD(U8(1), whole, half)
	VPSUBD(half, whole, whole)
	for _, part := range []reg.Register{half, whole} {
		VPADDD(g.bitsOf(127), part, part)
		VPSLLD(U8(23), part, part)
		VMULPS(part, x, x)
	}
}

// exp is eˣ to 1.1 ulp (2 where it is subnormal).
func (g *isa) exp(x reg.Register) reg.VecVirtual {
	n, r := g.reduce(x)
	return g.expOf(n, r)
}

func (g *isa) expOf(n, r reg.Register) reg.VecVirtual {
	p := g.horner(r, append([]float64{1, 1}, expPolynomial...))
	g.scale(p, n)
	return p
}

// expm1 is eˣ-1 for x ≤ 0 to 2 ulp.
func (g *isa) expm1(x reg.Register) reg.VecVirtual {
	n, r := g.reduce(x)
	p := g.horner(r, expPolynomial)
	square := g.vec()
	VMULPS(r, r, square)
	VFMADD213PS(r, square, p)
	// 2ⁿ·(p+1) - 1
	power := g.set(1)
	g.scale(power, n)
	VMULPS(power, p, p)
	VSUBPS(g.constant(1), power, power)
	VADDPS(power, p, p)
	return p
}

// sigmoid is 1/(1+e⁻ˣ), given -x.
func (g *isa) sigmoid(negative reg.Register) reg.VecVirtual {
	e, s := g.exp(negative), g.set(1)
	VADDPS(s, e, e)
	VDIVPS(e, s, s)
	return s
}

// sigmoidPair is 1/(1+e⁻ˣ) and 1 less that, both to a few ulp, given -x; for x < -87 as if x were -87.
func (g *isa) sigmoidPair(negative reg.Register) (s, rest reg.VecVirtual) {
	limit := g.set(87)
	VMINPS(negative, limit, limit)
	rest, s = g.exp(limit), g.set(1)
	sum := g.vec()
	VADDPS(s, rest, sum)
	VDIVPS(sum, s, s)
	VMULPS(s, rest, rest)
	return s, rest
}

func (g *isa) abs(x reg.Register) reg.VecVirtual {
	v := g.vec()
	VANDPS(g.bitsOf(0x7fffffff), x, v)
	return v
}

// withSign gives x, which is not negative, the sign of y.
func (g *isa) withSign(x, y reg.Register) {
	sign := g.vec()
	VANDPS(g.bitsOf(0x80000000), y, sign)
	VORPS(sign, x, x)
}

// normal is Φ(x), the distribution function of the standard normal, with small relative error in both tails, and e^(-x²/2).
func (g *isa) normal(x reg.Register) (distribution, density reg.VecVirtual) {
	// Beyond 15 both are zero.
	z, far := g.abs(x), g.set(15)
	VMINPS(z, far, z)
	square, lost, half := g.vec(), g.vec(), g.set(-0.5)
	VMULPS(z, z, square)
	// What rounding loses of the square would be many ulps of its exponential.
	VMOVAPS(square, lost)
	VFMSUB231PS(z, z, lost)
	VMULPS(half, square, square)
	n, r := g.reduce(square)
	VFMADD231PS(half, lost, r)
	density = g.expOf(n, r)

	t := g.set(1)
	VFMADD231PS(g.constant(tailScale), z, t)
	one := g.set(1)
	VDIVPS(t, one, t)
	tail := g.horner(t, tailPolynomial)
	VMULPS(t, tail, tail)
	VMULPS(density, tail, tail)
	// Φ(x) is the tail for x < 0 and 1-tail for x ≥ 0.
	distribution = g.vec()
	VSUBPS(tail, one, distribution)
	g.whereNegative(x, tail, distribution)
	return distribution, density
}
