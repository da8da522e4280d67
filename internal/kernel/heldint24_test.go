package kernel

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// Of random elements in whose columns are outliers, zeros and small numbers, none is further off than the format says, on no machine
// is it another, and a product is off by no more than that and the rounding of its sums; on the whole by less than one running sum,
// but for outliers.
func TestIntegersOf24BitsAreAsExactAsFloat32(t *testing.T) {
	const m, n = 8, 70
	for _, k := range []int{1, 2, 63, 64, 129, 768, 3072} {
		x := newMatrices[float32](m, n, k, 0, 0)
		for i := range x.b {
			switch p, j := i/n, i%n; {
			case j%7 == 1 && p%200 == 3:
				x.b[i] *= 100
			case j%7 == 2 && p%64 != 5:
				x.b[i] = 0
			case j%7 == 3:
				x.b[i] *= 0x1p-120
			case j%7 == 4 && p%3 == 0:
				x.b[i] *= 0x1p-10
			}
		}
		clear(x.b[:min(n, 5)])
		limit := make([]float64, n*k) // of the error of an element
		for i := range limit {
			first := i / n / groupSteps * groupSteps
			for p := first; p < min(first+groupSteps, k); p++ {
				if v := math.Abs(float64(x.b[p*n+i%n])); v > 0 {
					limit[i] = max(limit[i], 0x1p-23*math.Ldexp(1, max(-105, math.Ilogb(v))))
				}
			}
		}
		plain := make([]float32, m*n)
		GemmFew(false, false, m, n, k, x.a, k, x.b, n, plain, n, false, nil)
		var first []byte
		onEveryCPU(func(name string) {
			what := fmt.Sprintf("%s, k = %d", name, k)
			h := Hold(HeldInt24, false, k, n, x.b, n)
			if first == nil {
				first = h.data
			}
			if !bytes.Equal(h.data, first) {
				t.Errorf("%s: other bytes", what)
			}
			column, c := make([]float32, k), make([]float32, m*n)
			h.Multiply(m, x.a, k, c, n, nil)
			var ours, theirs [7]float64 // of columns of each kind
			for j := range n {
				h.Column(column, j)
				for p, v := range column {
					if off := math.Abs(float64(v) - float64(x.b[p*n+j])); off > limit[p*n+j] {
						t.Fatalf("%s: %g, element %d of column %d, is held as %g", what, x.b[p*n+j], p, j, v)
					}
				}
				for i := range m {
					var sum, size, within float64
					for p := range k {
						a := float64(x.a[i*k+p])
						sum, size, within = sum+a*float64(x.b[p*n+j]), size+math.Abs(a*float64(x.b[p*n+j])), within+math.Abs(a)*limit[p*n+j]
					}
					off := math.Abs(float64(c[i*n+j]) - sum)
					if rounding := float64(2*min(k, groupSteps)+k/groupSteps) * 0x1p-24; off > within+rounding*(size+within) {
						t.Fatalf("%s: C[%d, %d] is %g, want %g", what, i, j, c[i*n+j], sum)
					}
					if size > 0 {
						ours[j%7] += math.Pow(off/size, 2)
						theirs[j%7] += math.Pow((float64(plain[i*n+j])-sum)/size, 2)
					}
				}
			}
			for _, kind := range []int{0, 1, 4, 5, 6} {
				most := 0.5
				if kind == 1 { // one number in 200 is a hundred times as large
					most = 1.3
				}
				if times := math.Sqrt(ours[kind] / theirs[kind]); k >= 768 && !(times < most) {
					t.Errorf("%s: in columns of kind %d the error is %.3g times that of running sums of float32", what, kind, times)
				}
			}
		})
	}
}

// Numbers that round up past the largest integer, the largest and the smallest there are.
func TestIntegersOf24BitsOfExtremeNumbers(t *testing.T) {
	for _, c := range []struct{ top, small, want float32 }{
		{0x1.fffffep0, 0, 0},
		{-0x1.fffffep0, 0x1p-23, 0}, // ties to even
		{-0x1.fffffep0, 0x1.8p-22, 0x1p-21},
		{math.MaxFloat32, 0x1.8p105, 0x1p106},
		{-math.MaxFloat32, 1, 0},
		{0x1p-105, 0x1.8p-127, 0x1p-126},
		{0x1p-120, 0x1.8p-127, 0x1p-126},
		{0x1p-149, 0, 0},
		{0x1p-126, 0x1p-127, 0x1p-127},
		{1, float32(math.Copysign(0, -1)), 0},
	} {
		testOnEveryCPU(t, func(t *testing.T) {
			const k, n = 67, 37
			b := make([]float32, k*n)
			b[3*n+36], b[40*n+36] = c.top, c.small
			h, column := Hold(HeldInt24, false, k, n, b, n), make([]float32, k)
			if h.format != HeldInt24 {
				t.Fatal("held otherwise")
			}
			h.Column(column, 36)
			if column[40] != c.want {
				t.Errorf("%g beside %g is held as %g, want %g", c.small, c.top, column[40], c.want)
			}
			if step := max(0x1p-127, math.Ldexp(1, math.Ilogb(float64(c.top))-22)); math.Abs(float64(column[3])-float64(c.top)) > step/2 {
				t.Errorf("%g is held as %g", c.top, column[3])
			}
			a, y := make([]float32, k), make([]float32, n)
			a[3] = 0.5
			h.Multiply(1, a, k, y, n, nil)
			if y[36] != column[3]/2 || y[35] != 0 {
				t.Errorf("half of %g is %g, of 0 %g", column[3], y[36], y[35])
			}
		})
	}
}
