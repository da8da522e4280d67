package generate_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/nlpodyssey/spago/mat"
)

// distilGPT2 is a decoder of distilGPT2's size with drawn weights.
var distilGPT2 = sync.OnceValue(func() *gpt2.Model {
	c := gpt2.DefaultConfig()
	c.NumLayers, c.AddCrossAttention, c.IsDecoder = 6, true, true
	m, err := gpt2.New[float32](c, layers.NewRandom(1))
	if err != nil {
		panic(err)
	}
	layers.Freeze(m)
	return m
})

// BenchmarkGenerate says 24 tokens of each of some pictures of 197 states.
func BenchmarkGenerate(b *testing.B) {
	for _, c := range []struct {
		name         string
		batch, beams int
		returned     int
		sample       bool
	}{
		{"greedy", 1, 1, 1, false},
		{"greedy", 8, 1, 1, false},
		{"nucleus", 8, 1, 1, true},
		{"nucleus", 1, 1, 8, true},
		{"beam", 1, 4, 1, false},
		{"beam", 4, 4, 1, false},
	} {
		b.Run(fmt.Sprintf("%s/batch=%d/beams=%d/returned=%d", c.name, c.batch, c.beams, c.returned), func(b *testing.B) {
			const newTokens, states = 24, 197
			m, random := distilGPT2(), layers.NewRandom(2)
			x := mat.NewDense[float32](mat.WithShape(c.batch*states, m.Dim()))
			for i := range mat.Data[float32](x) {
				mat.Data[float32](x)[i] = float32(2*random.Float64() - 1)
			}
			lengths := make([]int, c.batch)
			for i := range lengths {
				lengths[i] = states
			}
			source := layers.Source{Packed: layers.Packed{States: x, Offsets: layers.OffsetsOf(lengths...)}}
			o := generate.DefaultOptions()
			o.DecoderStartTokenID, o.MaxNewTokens = m.VocabSize()-1, newTokens
			o.NumBeams, o.NumReturnSequences = c.beams, c.returned
			if c.sample {
				o.DoSample, o.TopP = true, 0.95
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := generate.Generate(context.Background(), m, source, o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*c.batch*c.returned*newTokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
