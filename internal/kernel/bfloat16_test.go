package kernel

import (
	"fmt"
	"math"
	"testing"
	"unsafe"
)

func TestBFloat16ProductsMatchTheDefinition(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, shape := range [][3]int{{1, 1, 1}, {5, 33, 7}, {40, 70, 100}, {33, 32, 800}, {3, 4, 0}, {70, 64, 1700}, {300, 20, 75}} {
			for mode := range 16 {
				x := newMatrices[float32](shape[0], shape[1], shape[2], mode, mode%3)
				exact := *x
				exact.a, exact.b = clone(x.a), clone(x.b)
				limits := make([]float64, x.m*x.n)
				if inInt16() { // which promises as much of what is not rounded
					limits = x.int16Limits()
				} else {
					for _, v := range [][]float32{exact.a, exact.b} {
						for i := range v {
							v[i] = roundBFloat16(v[i])
						}
					}
				}
				var e *Epilogue[float32]
				if x.epilogued {
					e = &Epilogue[float32]{Bias: x.bias}
				}
				got := clone(x.c)
				GemmBFloat16(x.transA, x.transB, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, got, x.ldc, x.accumulate, e)
				for i := range x.m {
					for j := range x.n {
						want := multiply(x.transA, x.transB, x.m, x.n, x.k, exact.a, x.lda, exact.b, x.ldb, i, j)
						if x.accumulate {
							want += float64(x.c[i*x.ldc+j])
						}
						if e != nil {
							want += float64(x.bias[j])
						}
						limit := (1e-6+1.5e-7*float64(x.k))*(1+math.Abs(want)) + limits[i*x.n+j]
						if v := float64(got[i*x.ldc+j]); !(math.Abs(v-want) <= limit) {
							t.Fatalf("%s, C[%d, %d]: got %v, want %v", x.shape(), i, j, v, want)
						}
					}
				}
			}
		}
	})
}

func TestRoundingToBFloat16(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range [][2]float32{{1, 1}, {1.00390625, 1}, {1.01171875, 1.015625}, {1.00391, 1.0078125}, {-3.3e38, -3.2964854e38}, {math.MaxFloat32, inf}, {-inf, -inf}, {0, 0}, {0x1p-149, 0}} {
		if got := roundBFloat16(c[0]); got != c[1] {
			t.Errorf("%g is rounded to %g, want %g", c[0], got, c[1])
		}
	}
	if nan := roundBFloat16(math.Float32frombits(0x7f800001)); nan == nan {
		t.Errorf("a NaN is rounded to %g", nan)
	}
	onCPU("amx", func() { // its vectors round as Go does, but to them what is below the least normal number is zero
		rng := newRand()
		for range 200 {
			src := make([]float32, 16*32)
			for i := range src {
				src[i] = math.Float32frombits(rng.Uint32())
			}
			tile, turned := make([]uint32, 16*16), make([]uint32, 16*16)
			cpu.tiles.round((*byte)(unsafe.Pointer(&tile[0])), &src[0], 128, 64, 0, 1)
			cpu.tiles.roundTurned((*byte)(unsafe.Pointer(&turned[0])), &src[0], 128, 64, 0, 1)
			for i, pair := range tile {
				for half, got := range []uint32{pair << 16, pair & 0xffff0000} {
					x := src[i/16*32+half*16+i%16]
					want := roundBFloat16(x)
					if math.Abs(float64(x)) < 0x1p-126 {
						want = 0
					}
					if v := math.Float32frombits(got); v != want && (v == v || want == want) {
						t.Fatalf("%g is rounded to %g, want %g", x, v, want)
					}
				}
				if other := turned[i%16*16+i/16]; other != pair {
					t.Fatalf("element %d of the turned tile is %x, want %x", i%16*16+i/16, other, pair)
				}
			}
		}
	})
}

func TestBFloat16ProductsDoNotDependOnThreadsNorOnOtherRowsAndColumns(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const m, n, k = 70, 100, 1700
		x := newMatrices[float32](m, n, k, 0, 0)
		run := func(rows, cols int, a, b []float32) []float32 {
			c := make([]float32, rows*cols)
			GemmBFloat16(false, false, rows, cols, k, a, k, b, n, c, cols, false, nil)
			return c
		}
		want := run(m, n, x.a, x.b)
		onThreads(func(threads int) {
			same(t, fmt.Sprintf("C on %d threads", threads), run(m, n, x.a, x.b), want)
		})
		for _, i := range []int{0, 31, 40, 69} {
			same(t, fmt.Sprintf("row %d alone", i), run(1, n, x.a[i*k:], x.b), want[i*n:(i+1)*n])
		}
		for _, j := range []int{0, 17, 99} {
			for i, v := range run(m, 1, x.a, x.b[j:]) {
				same(t, fmt.Sprintf("column %d alone", j), []float32{v}, want[i*n+j:][:1])
			}
		}
	})
}
