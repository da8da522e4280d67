package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestLogSumExpMatchesItsDefinition(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, cols := range append(lengths[1:], 3*functionGrain) {
			const rows = 5
			x := random[float32](newRand(), rows*cols)
			want := make([]float64, rows)
			for i := range x {
				x[i] = 20*x[i] + 300
				want[i/cols] += math.Exp(float64(x[i]) - 300)
			}
			for r := range want {
				want[r] = math.Log(want[r]) + 300
			}
			onThreads(func(int) {
				got := make([]float64, rows)
				LogSumExp(got, x, rows, cols)
				near(t, fmt.Sprint(cols), got, want, 1e-6)
			})
		}
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		for _, x := range [][]float32{{0, nan, 1}, {nan, 0, 0}, {1, inf, 0}, {-inf, -inf, -inf}} {
			lse := make([]float64, 1)
			if LogSumExp(lse, x, 1, 3); !math.IsNaN(lse[0]) {
				t.Errorf("of %v: %v", x, lse[0])
			}
		}
	})
}

func TestLargestIsTheFirstOfTheLargest(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		long := random[float32](newRand(), 5000)
		for i := range long {
			long[i] = float32(int(long[i]*8)) / 8 // with ties
		}
		for _, x := range [][]float32{{}, {-inf, -inf}, {1}, {0, 2, 2}, {-inf, -5, -inf}, {3, inf, inf}, long, long[:1024], long[1023:2050], {nan, nan, 7, 2}} {
			want, best := -1, -inf
			for i, v := range x {
				if v > best {
					want, best = i, v
				}
			}
			if got := Largest(x); got != want {
				t.Errorf("of %d: %d, want %d", len(x), got, want)
			}
		}
	})
}

func TestSubtractIsComputedInFloat64(t *testing.T) {
	x := random[float32](newRand(), 200)
	testOnEveryCPU(t, func(t *testing.T) {
		for _, n := range lengths {
			want, got := clone(x), clone(x)
			for i := range n {
				want[i] = float32(float64(x[i]) - 0.1)
			}
			Subtract(got[:n], x[:n], 0.1)
			same(t, fmt.Sprint(n), got, want)
		}
	})
}
