package seq2seq_test

import (
	"math"
	"runtime"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
)

// A model that evaluates and captions in turn holds its weights for captioning: the loss takes them as they are.
func TestTheLossOfAHeldModelDoesNotUnpackIt(t *testing.T) {
	for _, p := range []layers.Precision{layers.Float32, layers.BFloat16, layers.Int8} {
		c := gpt2.DefaultConfig()
		c.Dim, c.NumHeads, c.NumLayers, c.VocabSize, c.NumPositions = 64, 2, 2, 20000, 16
		d, err := gpt2.New[float32](c, layers.NewRandom(1))
		if err != nil {
			t.Fatal(err)
		}
		layers.Freeze(d)
		m := &seq2seq.EncoderDecoder[int]{Decoder: d}
		loss := func() float64 {
			tokens, labels, err := seq2seq.Shift([][]int{{1, 19999, 3, 4}, {1, 9, 5}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := m.Loss(layers.Source{}, tokens, labels, losses.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r.Value
		}
		want := loss()
		d.Hold(p)
		loss() // makes room
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := loss()
		runtime.ReadMemStats(&after)
		if math.Abs(got-want) > map[layers.Precision]float64{layers.Float32: 1e-5, layers.BFloat16: 1e-2, layers.Int8: 1e-2}[p] {
			t.Errorf("%v: loss %v, was %v", p, got, want)
		}
		if taken, head := after.TotalAlloc-before.TotalAlloc, uint64(4*c.VocabSize*c.Dim); taken > head/4 {
			t.Errorf("%v: a loss takes %d bytes, the head has %d", p, taken, head)
		}
	}
}
