package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkGemm reports GF/s on each instruction set that the machine has, with one thread and with all.
func BenchmarkGemm(b *testing.B) {
	shapes := []struct {
		name           string
		transA, transB bool
		m, n, k        int
	}{
		{"ViT-B qkv", false, true, 788, 2304, 768},
		{"ViT-B up", false, true, 788, 3072, 768},
		{"ViT-B down", false, true, 788, 768, 3072},
		{"ViT-B one image", false, true, 197, 768, 768},
		{"GPT-2 up", false, false, 2000, 3072, 768},
		{"dX", false, true, 788, 768, 3072},
		{"dW", true, false, 768, 3072, 788},
		{"small", false, true, 1000, 768, 192},
		{"smaller", false, true, 100, 192, 192},
		{"decode 1", false, false, 1, 3072, 768},
		{"decode 4", false, false, 4, 3072, 768},
		{"decode 8", false, false, 8, 3072, 768},
		{"head 1", false, true, 1, 50257, 768},
		{"head 8", false, true, 8, 50257, 768},
	}
	for _, s := range shapes {
		x, y, c := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
		for i := range x {
			x[i] = float32(i%7) - 3
		}
		for i := range y {
			y[i] = float32(i%5) - 2
		}
		lda, ldb := s.k, s.n
		if s.transA {
			lda = s.m
		}
		if s.transB {
			ldb = s.k
		}
		onEveryCPU(func(name string) {
			for threads := 1; threads <= 2; threads++ {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%s/threads=%d", s.name, s.m, s.n, s.k, name, threads), func(b *testing.B) {
					SetThreads(threads)
					defer SetThreads(0)
					for b.Loop() {
						Gemm(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, c, s.n, false, nil)
					}
					b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GF/s")
				})
			}
		})
	}
}
