package kernel

import "testing"

// randomBlock has weights of its own for each layer.
func randomBlock(heads, headDim, hidden int, bias bool) *EncoderBlock {
	rng := newRand()
	random := func(n int, size float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = size * (2*rng.Float32() - 1)
		}
		return x
	}
	dim := heads * headDim
	dense := func(k, n int) Dense {
		d := Dense{Weight: Pack(true, true, k, n, random(k*n, 0.2), k)}
		if bias {
			d.Bias = random(n, 0.3)
		}
		return d
	}
	b := &EncoderBlock{
		Heads: heads, HeadDim: headDim, Scale: 0.3, Eps: [2]float64{1e-5, 1e-3}, Act: GELU,
		Query: dense(dim, dim), Key: dense(dim, dim), Value: dense(dim, dim), Output: dense(dim, dim),
		Up: dense(dim, hidden), Down: dense(hidden, dim),
	}
	for i := range 2 {
		b.Gamma[i], b.Beta[i] = random(dim, 1), random(dim, 0.5)
	}
	return b
}

// apart is the block, made of its parts.
func (b *EncoderBlock) apart(x []float32, sequences []Span) []float32 {
	dim := b.dim()
	rows := len(x) / dim
	multiply := func(d Dense, a []float32, e Epilogue[float32]) []float32 {
		c := make([]float32, rows*d.Weight.n)
		e.Bias = d.Bias
		d.Weight.Multiply(rows, a, d.Weight.k, c, d.Weight.n, &e)
		return c
	}
	norm := func(i int, x []float32) []float32 {
		y := make([]float32, len(x))
		LayerNorm(y, nil, nil, x, b.Gamma[i], b.Beta[i], rows, dim, b.Eps[i])
		return y
	}
	n := norm(0, x)
	q, k, v := multiply(b.Query, n, Epilogue[float32]{}), multiply(b.Key, n, Epilogue[float32]{}), multiply(b.Value, n, Epilogue[float32]{})
	mixed := make([]float32, len(x))
	s := &Attention{Heads: b.Heads, HeadDim: b.HeadDim, Scale: b.Scale, Query: sequences, Source: sequences, BFloat16: true}
	AttentionForward(s, mixed, dim, q, dim, k, dim, v, dim, nil)
	h := multiply(b.Output, mixed, Epilogue[float32]{Residual: x})
	hidden := multiply(b.Up, norm(1, h), Epilogue[float32]{Activation: b.Act})
	return multiply(b.Down, hidden, Epilogue[float32]{Residual: h})
}

func TestAnEncoderBlockHasTheBitsOfItsParts(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		if cpu == nil || cpu.tiles == nil {
			if randomBlock(2, 32, 64, true).Fits() {
				t.Error("a block fits without products in bfloat16")
			}
			return
		}
		for _, shape := range []struct {
			heads, headDim, hidden int
			lengths                []int
		}{
			{2, 32, 64, []int{1, 31, 32}}, {1, 64, 96, []int{33, 0, 50}}, {3, 64, 800, []int{197}}, {1, 32, 1600, []int{16, 5, 17, 48, 1}},
			{2, 96, 192, []int{300, 20}}, {1, 32, 32, []int{2100}},
		} {
			b := randomBlock(shape.heads, shape.headDim, shape.hidden, shape.lengths[0] != 33)
			if !b.Fits() {
				t.Fatal("the block does not fit")
			}
			rows := 0
			var sequences []Span
			for _, n := range shape.lengths {
				sequences = append(sequences, Span{rows, rows + n})
				rows += n
			}
			x := random[float32](newRand(), rows*b.dim())
			want := b.apart(x, sequences)
			for _, threads := range []int{1, 2, 3} {
				SetThreads(threads)
				y := make([]float32, len(x))
				b.Forward(y, x, sequences)
				same(t, "y", y, want)
			}
			SetThreads(0)
		}
	})
}
