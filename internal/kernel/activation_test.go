package kernel

import (
	"math"
	"testing"
)

// ulps is the error of got in units in the last place of want, subnormals counting as the smallest normal numbers do.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e, -125)-24)
}

// sweep is a dense range of arguments of both signs, with a length that is no multiple of a vector's.
func sweep(limit float64) []float32 {
	var x []float32
	for v := limit; v > 1e-9; v *= 0.9995 {
		x = append(x, float32(v), -float32(v))
	}
	return append(x, 0)
}

func TestActivationsAreExactToAFewUnits(t *testing.T) {
	bounds := map[Activation]float64{Identity: 0, GELU: 8, GELUTanh: 4, ReLU: 0, SiLU: 4, QuickGELU: 4, Tanh: 4}
	x := sweep(80)
	y := make([]float32, len(x))
	testOnEveryCPU(t, func(t *testing.T) {
		for act, bound := range bounds {
			Activate(act, y, x)
			worst, at := 0.0, float32(0)
			for i, v := range x {
				want := activate(act, float64(v))
				inside := 0.0 // the rounding of the exponential's argument
				switch act {
				case QuickGELU:
					inside = math.Abs(quickGELU * float64(v))
				case GELUTanh:
					inside = math.Abs(2 * geluTanhScale * float64(v) * (1 + geluTanhCubic*float64(v)*float64(v)))
				}
				if math.Abs(want) < 1e-35 { // the exponential inside may overflow
					if math.Abs(float64(y[i])-want) > 1e-35 {
						t.Fatalf("%v(%v) is %v, want %v", act, v, y[i], want)
					}
					continue
				}
				if e := ulps(y[i], want) - 2*min(inside, 90); e > worst {
					worst, at = e, v
				}
			}
			if worst > bound {
				t.Errorf("%v(%v) is off by %.1f ulp, want at most %v", act, at, worst, bound)
			}
			t.Logf("%v: %.2f ulp at %v", act, worst, at)
		}
	})
}

func TestGELUAfterAProductInBFloat16IsAlmostExact(t *testing.T) {
	x := append(sweep(80), sweep(1e30)...)
	bias, pre, y := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for i := range bias {
		bias[i] = float32(i%3-1) / 8
	}
	testOnEveryCPU(t, func(t *testing.T) {
		if cpu == nil || cpu.tiles == nil {
			return
		}
		coarselyActivate(GELU, y, x, bias, pre)
		worst := 0.0
		for i, v := range x {
			if pre[i] != v+bias[i] {
				t.Fatalf("%v+%v is %v", v, bias[i], pre[i])
			}
			want := activate(GELU, float64(pre[i]))
			off := math.Abs(float64(y[i])-want) / (math.Abs(want) + 0x1p-10)
			if !(off <= 0x1p-12) {
				t.Fatalf("GELU(%v) is %v, want %v", pre[i], y[i], want)
			}
			worst = max(worst, off)
		}
		t.Logf("%.3g", worst)
		ends := []float32{float32(math.Inf(1)), float32(math.NaN())}
		coarselyActivate(GELU, ends, ends, nil, nil)
		if !math.IsInf(float64(ends[0]), 1) || ends[1] == ends[1] {
			t.Errorf("GELU of +∞ and NaN is %v", ends)
		}
	})
}

func TestActivationSlopesOfFloat32AreExact(t *testing.T) {
	x := sweep(80)
	dy, got := make([]float32, len(x)), make([]float32, len(x))
	for i := range dy {
		dy[i] = 1
	}
	testOnEveryCPU(t, func(t *testing.T) {
		for act := Identity; act <= Tanh; act++ {
			ActivateGrad(act, got, x, dy)
			for i, v := range x {
				want := activationSlope(act, float64(v))
				if math.Abs(float64(got[i])-want) > 4e-7*max(1, math.Abs(want)) {
					t.Fatalf("slope of %v at %v is %v, want %v", act, v, got[i], want)
				}
			}
		}
	})
}

func TestActivationSlopesMatchFiniteDifferences(t *testing.T) {
	for act := Identity; act <= Tanh; act++ {
		x, y, g := []float64{-20, -3, -1.5, -0.2, 0.3, 1, 4, 20}, make([]float64, 8), make([]float64, 8)
		ActivateGrad(act, g, x, []float64{1, 1, 1, 1, 1, 1, 1, 1})
		want := make([]float64, len(x))
		for i := range x {
			want[i] = slope(x, i, func() float64 { Activate(act, y, x); return y[i] })
		}
		near(t, act.String(), g, want, 1e-6)
	}
}

func TestActivationsAtTheEdgesOfFloat32(t *testing.T) {
	inf, nan, huge := float32(math.Inf(1)), float32(math.NaN()), float32(math.MaxFloat32)
	testOnEveryCPU(t, func(t *testing.T) {
		for act := Identity; act <= Tanh; act++ {
			x := []float32{nan, inf, huge, -huge, 1e20, -1e20, 1e-45, 0}
			y, g := make([]float32, len(x)), make([]float32, len(x))
			Activate(act, y, x)
			ActivateGrad(act, g, x, []float32{1, 1, 1, 1, 1, 1, 1, 1})
			right, left := float32(huge), float32(0)
			switch act {
			case Tanh:
				same(t, "Tanh", y, []float32{nan, 1, 1, -1, 1, -1, 1e-45, 0})
				same(t, "slope of Tanh", g[2:], []float32{0, 0, 0, 0, 1, 1})
				continue
			case Identity:
				left = -huge
			}
			same(t, act.String(), y[:4], []float32{nan, inf, right, left})
			if act != Identity && (y[5] != 0 || math.Abs(float64(g[3])) > 1e-26 || math.Abs(float64(g[5])) > 1e-26) {
				t.Errorf("%v far left: %v, slopes %v and %v, want 0", act, y[5], g[3], g[5])
			}
			if g[2] != 1 || g[4] != 1 {
				t.Errorf("%v far right: slopes %v and %v, want 1", act, g[2], g[4])
			}
		}
	})
}

func TestActivationsDoNotDependOnThePlaceInTheSlice(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		x := random[float32](newRand(), 70)
		for act := Identity; act <= Tanh; act++ {
			want := make([]float32, len(x))
			Activate(act, want, x)
			for n := range 40 {
				for offset := range 5 {
					got := make([]float32, n+1)
					got[n] = 42
					Activate(act, got[:n], x[offset:offset+n])
					same(t, act.String(), got, append(clone(want[offset:offset+n]), 42))
				}
			}
		}
	})
}

func TestAnUnknownActivationPanics(t *testing.T) {
	onEveryCPU(func(name string) {
		for _, f := range []func(){
			func() { Activate(99, []float32{1}, []float32{1}) },
			func() { ActivateGrad(99, []float32{1}, []float32{1}, []float32{1}) },
		} {
			if got := panics(f); got != "kernel: no such activation: Activation(99)" {
				t.Errorf("%s: got panic %q", name, got)
			}
		}
	})
}

func FuzzActivate(f *testing.F) {
	f.Add(uint8(1), float32(-3.5))
	f.Add(uint8(6), float32(1e-8))
	f.Fuzz(func(t *testing.T, act uint8, x float32) {
		a := Activation(act % uint8(Tanh+1))
		want := activate(a, float64(x))
		onEveryCPU(func(name string) {
			y := []float32{0}
			Activate(a, y, []float32{x})
			if math.IsNaN(want) != (y[0] != y[0]) {
				t.Fatalf("%s: %v(%v) is %v, want %v", name, a, x, y[0], want)
			}
			if !math.IsNaN(want) && !math.IsInf(want, 0) && math.Abs(want) > 1e-35 && ulps(y[0], want) > 250 {
				t.Fatalf("%s: %v(%v) is %v, want %v", name, a, x, y[0], want)
			}
		})
	})
}
