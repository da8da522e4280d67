package kernel

import (
	"math"
	"testing"
)

// onCPU calls f with an instruction set in use, if the machine has it.
func onCPU(name string, f func()) {
	defer func(old *simd) { cpu = old }(cpu)
	for _, s := range available() {
		if s.name == name {
			cpu = s
			f()
		}
	}
}

// errors are the root mean square and the largest error of C, relative to Σ|a·b|.
func (x *matrices[T]) errors() (rms, largest float64) {
	for i := range x.m {
		for j := range x.n {
			var sum, size float64
			for p := range x.k {
				t := float64(x.a[at(i, p, x.lda, x.transA)]) * float64(x.b[at(p, j, x.ldb, x.transB)])
				sum, size = sum+t, size+math.Abs(t)
			}
			e := math.Abs(float64(x.c[i*x.ldc+j])-sum) / size
			rms, largest = rms+e*e, max(largest, e)
		}
	}
	return math.Sqrt(rms / float64(x.m*x.n)), largest
}

func TestAProductInPiecesIsAsExactAsOneOfFloat32(t *testing.T) {
	for _, k := range []int{1, 8, 40, 192, 768, 1600, 3072} {
		for spread := range 3 {
			x := newMatrices[float32](33, 40, k, 0, 0)
			rng := newRand()
			for _, v := range [][]float32{x.a, x.b} {
				for i := range v {
					v[i] *= float32(math.Exp2(float64(spread*10) * (rng.Float64() - 0.5)))
				}
			}
			// They are much more exact for large k, since fewer sums are rounded.
			var plain, pieces float64
			onCPU("avx512", func() { x.run(); plain, _ = x.errors() })
			onCPU("amx", func() { x.run(); pieces, _ = x.errors() })
			if limit := plain * max(0.5, 1.05-float64(k-1)/400); pieces > limit {
				t.Errorf("k = %d, magnitudes over %d bits: the error is %.2g, want at most %.2g", k, spread*10, pieces, limit)
			}
		}
	}
}

func TestForFewRowsTheProductIsNotInPieces(t *testing.T) {
	x := newMatrices[float32](33, 70, 300, 2, 0)
	var want []float32
	onCPU("avx512", func() { x.run(); want = clone(x.c) })
	onCPU("amx", func() {
		GemmFew(x.transA, x.transB, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, x.c, x.ldc, false, nil)
		same(t, "C", x.c, want)
	})
}

// The tiles take tiny numbers for zero, and cannot hold the largest: those products are not in pieces.
func TestAProductInPiecesOfExtremeNumbers(t *testing.T) {
	onCPU("amx", func() {
		for _, scale := range []float32{0x1p-149, 0x1p-130, 0x1p-126, 0x1p-110, 1} {
			x := newMatrices[float32](20, 40, 70, 0, 0)
			for i := range x.a {
				x.a[i] *= scale
			}
			if scale == 1 {
				x.a[5], x.b[5*x.ldb+7] = math.MaxFloat32, 0.5
			}
			x.run()
			for i := range x.m {
				for j := range x.n {
					want := multiply(false, false, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, i, j)
					got := float64(x.c[i*x.ldc+j])
					if math.Abs(want) > math.MaxFloat32 {
						want = math.Inf(int(math.Copysign(1, want)))
					}
					if !(got == want || math.Abs(got-want) <= 2e-6*math.Abs(want)+1e-5*float64(scale)+0x1p-126*float64(x.k)) {
						t.Fatalf("scale %g: C[%d, %d] is %g, want %g", scale, i, j, got, want)
					}
				}
			}
		}
	})
}
