package kernel

import (
	"fmt"
	"testing"
)

// atThreads runs a benchmark on each instruction set that the machine has, with one thread and with two, and reports GF/s.
func atThreads(b *testing.B, name string, flops float64, f func()) {
	onEveryCPU(func(cpu string) {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/%s/threads=%d", name, cpu, threads), func(b *testing.B) {
				SetThreads(threads)
				defer SetThreads(0)
				for b.Loop() {
					f()
				}
				b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GF/s")
			})
		}
	})
}

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
		atThreads(b, fmt.Sprintf("%s/%dx%dx%d", s.name, s.m, s.n, s.k), 2*float64(s.m)*float64(s.n)*float64(s.k), func() {
			Gemm(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, c, s.n, false, nil)
		})
		atThreads(b, fmt.Sprintf("%s/%dx%dx%d bfloat16", s.name, s.m, s.n, s.k), 2*float64(s.m)*float64(s.n)*float64(s.k), func() {
			GemmBFloat16(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, c, s.n, false, nil)
		})
	}
}

// BenchmarkAttention is one layer of ViT-B on one image, and one step of decoding by eight sequences.
func BenchmarkAttention(b *testing.B) {
	const heads, d, patches = 12, 64, 197
	const width = heads * d
	qkv := random[float32](newRand(), patches*3*width)
	out, lse := make([]float32, patches*width), make([]float32, patches*heads)
	step := &Attention{Heads: heads, HeadDim: d, Scale: 0.125, Source: []Span{{0, patches}}, SourceOf: make([]int, 8)}
	for i := range step.SourceOf {
		step.Query = append(step.Query, Span{i, i + 1})
	}
	image := &Attention{Heads: heads, HeadDim: d, Scale: 0.125, Query: step.Source, Source: step.Source}
	forward := func(s *Attention) func() {
		return func() {
			AttentionForward(s, out, width, qkv, 3*width, qkv[width:], 3*width, qkv[2*width:], 3*width, lse)
		}
	}
	const product = 2 * patches * width // flops of a query row
	atThreads(b, "image forward", 2*product*patches, forward(image))
	gradient := make([]float32, len(qkv))
	atThreads(b, "image backward", 5*product*patches, func() {
		AttentionBackward(image, gradient, 3*width, gradient[width:], 3*width, gradient[2*width:], 3*width, out, width, out, width,
			qkv, 3*width, qkv[width:], 3*width, qkv[2*width:], 3*width, lse)
	})
	atThreads(b, "step forward", 8*2*product, forward(step))
}

// BenchmarkElements measures what is done to each element, in a matrix of 197×768.
func BenchmarkElements(b *testing.B) {
	const rows, dim = 197, 768
	rng := newRand()
	x, y, w := random[float32](rng, rows*dim), make([]float32, rows*dim), random[float32](rng, rows*dim)
	m, v := make([]float32, rows*dim), make([]float32, rows*dim)
	mean, rstd, gamma := make([]float32, rows), make([]float32, rows), random[float32](rng, dim)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"GELU", func() { Activate(GELU, y, x) }},
		{"GELU gradient", func() { ActivateGrad(GELU, y, x, x) }},
		{"GELUTanh", func() { Activate(GELUTanh, y, x) }},
		{"GELUTanh gradient", func() { ActivateGrad(GELUTanh, y, x, x) }},
		{"layer norm", func() { LayerNorm(y, mean, rstd, x, gamma, gamma, rows, dim, 1e-5) }},
		{"layer norm backward", func() { LayerNormBackward(y, nil, nil, x, x, mean, rstd, gamma, rows, dim) }},
		{"cross-entropy", func() { CrossEntropy(y, 3, 50257, []int{1, 2, 3}, 0, make([]float64, 3), true, 0) }},
		{"AdamW", func() {
			AdamW(w, x, m, v, AdamParams{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: 1})
		}},
	} {
		onEveryCPU(func(cpu string) {
			b.Run(c.name+"/"+cpu, func(b *testing.B) {
				SetThreads(1)
				defer SetThreads(0)
				for b.Loop() {
					c.f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rows*dim), "ns/element")
			})
		})
	}
}

// BenchmarkEncoderBlock is ViT-B/16's encoder on 8 pictures of 224 pixels, layer by layer, each with weights of its own.
func BenchmarkEncoderBlock(b *testing.B) {
	if cpu == nil || cpu.tiles == nil {
		b.Skip("there are no products in bfloat16")
	}
	const layers, heads, headDim, hidden, pictures, rows = 12, 12, 64, 3072, 8, 197
	var blocks []*EncoderBlock
	for range layers {
		blocks = append(blocks, randomBlock(heads, headDim, hidden, true))
	}
	var sequences []Span
	for i := range pictures {
		sequences = append(sequences, Span{i * rows, (i + 1) * rows})
	}
	x := random[float32](newRand(), pictures*rows*heads*headDim)
	y := make([]float32, len(x))
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			SetThreads(threads)
			defer SetThreads(0)
			for b.Loop() {
				for _, block := range blocks {
					block.Forward(y, x, sequences)
				}
			}
			b.ReportMetric(pictures*float64(b.N)/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}
