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
