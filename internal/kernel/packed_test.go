package kernel

import (
	"fmt"
	"testing"
)

func TestProductsWithAPackedMatrixHaveTheSameBits(t *testing.T) {
	packed := 0
	testOnEveryCPU(t, func(t *testing.T) {
		for _, shape := range [][3]int{{1, 1, 1}, {3, 33, 7}, {20, 100, 61}, {64, 31, 130}, {57, 70, 1600}, {2, 40, 4099}, {300, 1100, 770}} {
			m, n, k := shape[0], shape[1], shape[2]
			x := newMatrices[float32](m, n, k, 0, 0)
			for _, transposed := range []bool{false, true} {
				ldb := n
				if transposed {
					ldb = k
				}
				for _, bfloat16 := range []bool{false, true} {
					p := Pack(bfloat16, transposed, k, n, x.b, ldb)
					if p == nil {
						continue
					}
					packed++
					e := &Epilogue[float32]{Bias: x.bias, Activation: GELU}
					want, got := make([]float32, m*n), make([]float32, m*n)
					GemmIn[float32](bfloat16)(false, transposed, m, n, k, x.a, k, x.b, ldb, want, n, false, e)
					p.Multiply(m, x.a, k, got, n, e)
					same(t, fmt.Sprintf("%s transposed %v bfloat16 %v", x.shape(), transposed, bfloat16), got, want)
				}
			}
		}
	})
	if cpu != nil && packed == 0 {
		t.Error("nothing was packed")
	}
}

func TestAPackedMatrixMultipliesTransposedWithTheSameBits(t *testing.T) {
	some := false
	testOnEveryCPU(t, func(t *testing.T) {
		for _, shape := range [][3]int{{1, 1, 1}, {3, 33, 7}, {20, 100, 61}, {64, 31, 130}, {57, 70, 1600}, {2, 4099, 40}, {300, 1100, 770}, {257, 900, 70}, {300, 4100, 20}} {
			m, n, k := shape[0], shape[1], shape[2]
			x := newMatrices[float32](m, k, n, 0, 0) // a [m, n], b [n, k] or [k, n]
			for _, transposed := range []bool{false, true} {
				ldb := n
				if transposed {
					ldb = k
				}
				p := Pack(false, transposed, k, n, x.b, ldb)
				if !p.BothWays() {
					continue
				}
				some = true
				for _, part := range []int{0, 64, 832, 1024} {
					got := make([]float32, m*(k+3))
					p.MultiplyTransposed(m, part, x.a, n, got, k+3)
					want := make([]float32, m*k)
					if part == 0 {
						Gemm(false, !transposed, m, k, n, x.a, n, x.b, ldb, want, k, false, nil)
					}
					for lo := 0; part > 0 && lo < n; lo += part {
						b := x.b[lo:]
						if transposed {
							b = x.b[lo*ldb:]
						}
						sums := make([]float32, m*k)
						Gemm(false, !transposed, m, k, min(part, n-lo), x.a[lo:], n, b, ldb, sums, k, false, nil)
						Add(want, want, sums)
					}
					for i := range m {
						same(t, fmt.Sprintf("%v transposed %v parts of %d row %d", shape, transposed, part, i), got[i*(k+3):][:k], want[i*k:][:k])
						same(t, "beside it", got[i*(k+3)+k:][:3], make([]float32, 3))
					}
				}
			}
		}
	})
	if cpu != nil && !some {
		t.Error("nothing was packed")
	}
}

func BenchmarkPackedTransposed(b *testing.B) {
	for _, s := range [][3]int{{240, 768, 768}, {240, 3072, 768}, {240, 768, 3072}, {240, 2304, 768}, {240, 1024, 768}} {
		m, n, k := s[0], s[1], s[2]
		var all []*Packed
		x := newMatrices[float32](m, k, n, 0, 0)
		weights := make([][]float32, 1+(64<<20)/(n*k))
		for i := range weights {
			weights[i] = append([]float32(nil), x.b[:n*k]...)
			all = append(all, Pack(false, false, k, n, weights[i], n))
		}
		for _, packed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%dx%d/packed=%v", m, n, k, packed), func(b *testing.B) {
				i := 0
				for b.Loop() {
					i++
					if packed {
						all[i%len(all)].MultiplyTransposed(m, 0, x.a, n, x.c, k)
					} else {
						Gemm(false, true, m, k, n, x.a, n, weights[i%len(all)], n, x.c, k, false, nil)
					}
				}
				b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GF/s")
			})
		}
	}
}

func BenchmarkPacked(b *testing.B) {
	for _, s := range [][3]int{{224, 768, 768}, {224, 3072, 768}, {224, 768, 3072}, {1576, 3072, 768}} {
		m, n, k := s[0], s[1], s[2]
		x := newMatrices[float32](m, n, k, 0, 0)
		for _, bfloat16 := range []bool{false, true} {
			p := Pack(bfloat16, false, k, n, x.b, n)
			if p == nil {
				continue
			}
			for _, packed := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dx%dx%d/bfloat16=%v/packed=%v", m, n, k, bfloat16, packed), func(b *testing.B) {
					for b.Loop() {
						if packed {
							p.Multiply(m, x.a, k, x.c, n, nil)
						} else {
							GemmIn[float32](bfloat16)(false, false, m, n, k, x.a, k, x.b, n, x.c, n, false, nil)
						}
					}
					b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GF/s")
				})
			}
		}
	}
}
