package kernel

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// lengths are around the sizes of vectors.
var lengths = []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100}

func TestVectorOperationsMatchTheirDefinitions(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		rng := newRand()
		for _, n := range append(lengths, sumGrain+3, 3*sumGrain) {
			a, b := random[float32](rng, n+1), random[float32](rng, n+1)
			sum, axpyed, scaled := make([]float64, n+1), make([]float64, n+1), make([]float64, n+1)
			var product, squares, plain float64
			for i := range n {
				x, y := float64(a[i]), float64(b[i])
				sum[i], axpyed[i], scaled[i] = x+y, y+0.5*x, -3*x
				product += x * y
				squares += x * x
				plain += x
			}
			sum[n], axpyed[n], scaled[n] = 42, float64(b[n]), float64(a[n]) // beyond the end nothing changes
			got := make([]float32, n+1)
			got[n] = 42
			Add(got[:n], a[:n], b[:n])
			near(t, "Add", got, sum, 1e-7)
			got = clone(b)
			Axpy(0.5, a[:n], got[:n])
			near(t, "Axpy", got, axpyed, 1e-7)
			got = clone(a)
			Scale(-3, got[:n])
			near(t, "Scale", got, scaled, 1e-7)
			near(t, "Dot and SumSquares", []float64{Dot(a[:n], b[:n]), SumSquares(a[:n])}, []float64{product, squares}, 1e-10)
		}
	})
}

func TestAllFiniteSeesEveryElement(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, n := range lengths {
			x := random[float32](newRand(), n+1)
			x[n] = float32(math.NaN()) // beyond the end
			if n > 0 {
				x[0] = -math.MaxFloat32
			}
			if !AllFinite(x[:n]) {
				t.Fatalf("%v are not finite", x[:n])
			}
			for i := range n {
				for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					y := clone(x[:n])
					if y[i] = float32(v); AllFinite(y) {
						t.Fatalf("%v at %d of %d is finite", v, i, n)
					}
				}
			}
		}
	})
}

func TestSumColumnsAddsToWhatIsThere(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, rows := range []int{0, 1, 5, 300} {
			for _, cols := range []int{0, 1, 17, 64, 300} {
				x, dst := random[float32](newRand(), rows*cols), random[float32](newRand(), cols)
				want := double(dst)
				for i, v := range x {
					want[i%cols] += float64(v)
				}
				onThreads(func(int) {
					got := clone(dst)
					SumColumns(got, x, rows, cols)
					near(t, fmt.Sprintf("%d rows", rows), got, want, 1e-5)
				})
			}
		}
	})
}

func TestSumsDoNotDependOnThreads(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const rows, cols = 400, 500
		x := random[float32](newRand(), rows*cols)
		var dots, sums []float64
		var columns [][]float32
		onThreads(func(int) {
			dst := make([]float32, cols)
			SumColumns(dst, x, rows, cols)
			columns = append(columns, dst)
			dots = append(dots, Dot(x, x[:]))
			sums = append(sums, SumSquares(x))
		})
		for i := range columns {
			same(t, "SumColumns", columns[i], columns[0])
			same(t, "Dot and SumSquares", []float64{dots[i], sums[i]}, []float64{dots[0], sums[0]})
		}
	})
}

func TestShapesThatDoNotFitPanicWithBothSizes(t *testing.T) {
	x := make([]float32, 6)
	for _, c := range []struct {
		want string
		f    func()
	}{
		{"Add: b has 2 elements, want 6", func() { Add(x, x, x[:2]) }},
		{"Axpy: y has 2 elements, want 6", func() { Axpy(1, x, x[:2]) }},
		{"Dot: y has 2 elements, want 6", func() { Dot(x, x[:2]) }},
		{"SumColumns: x has 6 elements, want 8", func() { SumColumns(x, x, 2, 4) }},
		{"Activate: dst has 2 elements, want 6", func() { Activate(GELU, x[:2], x) }},
		{"ActivateGrad: dy has 2 elements, want 6", func() { ActivateGrad(GELU, x, x, x[:2]) }},
		{"LayerNorm: gamma has 2 elements, want 3", func() { LayerNorm(x, nil, nil, x, x[:2], x, 2, 3, 0) }},
		{"LayerNormBackward: mean has 1 elements, want 2", func() { LayerNormBackward(x, x, x, x, x, x[:1], x, x, 2, 3) }},
		{"CrossEntropy: logits has 6 elements, want 8", func() { CrossEntropy(x, 2, 4, []int{0, 0}, 0, make([]float64, 2), false, 1) }},
		{"CrossEntropy: label 4 of row 1 is outside the 3 classes", func() { CrossEntropy(x, 2, 3, []int{0, 4}, 0, make([]float64, 2), false, 1) }},
		{"AdamW: m has 2 elements, want 6", func() { AdamW(x, x, x[:2], x, AdamParams{Step: 1}) }},
	} {
		if got := panics(c.f); !strings.Contains(got, c.want) {
			t.Errorf("got panic %q, want %q", got, c.want)
		}
	}
}

func TestExpSumIsExactToTwoUnits(t *testing.T) {
	var x []float32
	for v := -110.0; v < 90; v += 0.00371 {
		x = append(x, float32(v))
	}
	x = append(x, sweep(1)...)
	testOnEveryCPU(t, func(t *testing.T) {
		y := make([]float32, len(x))
		worst := 0.0
		expSum(y, x, 0)
		for i, v := range x {
			want := math.Exp(float64(v))
			switch {
			case want > math.MaxFloat32:
				if !math.IsInf(float64(y[i]), 1) {
					t.Fatalf("exp(%v) is %v, want infinity", v, y[i])
				}
			default:
				worst = max(worst, ulps(y[i], want))
			}
		}
		if worst > 2 {
			t.Errorf("off by %.2f ulp", worst)
		}
	})
}

func TestExponentialsOfScoresInBFloat16AreAlmostExact(t *testing.T) {
	var x []float32
	for v := -200.0; v <= 0; v += 0.00371 {
		x = append(x, float32(v+3))
	}
	infinity := float32(math.Inf(1))
	x = append(x, -infinity)
	testOnEveryCPU(t, func(t *testing.T) {
		if cpu == nil || cpu.tiles == nil {
			return
		}
		for _, n := range []int{len(x), 1, 15, 16, 63, 64, 130} {
			x, y := x[len(x)-n:], make([]float32, n+1)
			sum, want := coarseExpSum(y[:n], x, 3), 0.0
			for i, v := range x {
				e := math.Exp(float64(v - 3))
				want += float64(y[i])
				if off := math.Abs(float64(y[i]) - e); !(off <= 0x1p-12*e+0x1p-149) {
					t.Fatalf("e^(%v-3) is %v, want %v", v, y[i], e)
				}
			}
			if y[n] != 0 || math.Abs(sum-want) > 0x1p-20*want {
				t.Errorf("%d: the sum is %v, want %v; beside it is %v", n, sum, want, y[n])
			}
		}
		odd := []float32{float32(math.NaN()), 0}
		if coarseExpSum(odd, odd, 1); odd[0] == odd[0] {
			t.Errorf("e to the power of NaN is %v", odd[0])
		}
		if odd = []float32{infinity, 0}; !math.IsNaN(coarseExpSum(odd, odd, infinity)) {
			t.Errorf("e^(∞-∞) is %v", odd[0])
		}
	})
}

func FuzzExp(f *testing.F) {
	f.Add(float32(-3.5), float32(2), uint8(3))
	f.Add(float32(-1e-30), float32(-88), uint8(20))
	f.Fuzz(func(t *testing.T, x, shift float32, n uint8) {
		want := math.Exp(float64(x - shift))
		onEveryCPU(func(name string) {
			in := make([]float32, n)
			for i := range in {
				in[i] = x
			}
			out := clone(in)
			sum := expSum(out, in, shift)
			same(t, name+": sum without a result", []float64{expSum(nil, in, shift)}, []float64{sum})
			for _, y := range out {
				if math.IsNaN(want) != (y != y) || want < math.MaxFloat32 && ulps(y, want) > 2 || want > 1e39 && !math.IsInf(float64(y), 1) {
					t.Fatalf("%s: exp(%v-%v) is %v, want %v", name, x, shift, y, want)
				}
			}
			if want < math.MaxFloat32 && math.Abs(sum-float64(n)*want) > 1e-44*float64(n)+2.5e-7*float64(n)*want {
				t.Fatalf("%s: the sum of %d times exp(%v-%v) is %v", name, n, x, shift, sum)
			}
		})
	})
}
