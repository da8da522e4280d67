package layers_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// TestACacheKeepsItsSequencesThroughForksAndLosses holds the cache against
// plain slices over random appends and selections.
func TestACacheKeepsItsSequencesThroughForksAndLosses(t *testing.T) {
	const dim = 3
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n := 1 + random.IntN(4)
		cache, want := layers.NewKeyValues(n, dim), make([][]float32, n)
		for range 30 {
			lengths := make([]int, n)
			for i := range lengths {
				lengths[i] = random.IntN(4)
			}
			offsets := layers.OffsetsOf(lengths...)
			rows := make([]float32, offsets.Rows()*2*dim)
			for i := range rows {
				rows[i] = random.Float32()
			}
			x := mat.NewDense[float32](mat.WithShape(offsets.Rows(), 2*dim), mat.WithBacking(rows))
			cache.Append(layers.Columns{X: x}, layers.Columns{X: x, From: dim}, offsets)
			for i := range n {
				for r := offsets[i]; r < offsets[i+1]; r++ {
					want[i] = append(want[i], rows[r*2*dim:(r+1)*2*dim]...)
				}
			}
			keep := make([]int, 1+random.IntN(5))
			next := make([][]float32, len(keep))
			for j := range keep {
				keep[j] = random.IntN(n)
				next[j] = slices.Clone(want[keep[j]])
			}
			cache.Keep(keep)
			n, want = len(keep), next
			compare(t, cache, want, dim)
		}
	}
}

func compare(t *testing.T, cache *layers.KeyValues, want [][]float32, dim int) {
	t.Helper()
	k, v, spans := cache.All()
	for i, s := range spans {
		var got []float32
		for r := s.Start; r < s.End; r++ {
			got = append(got, mat.Data[float32](k.X)[r*dim:(r+1)*dim]...)
			got = append(got, mat.Data[float32](v.X)[r*dim:(r+1)*dim]...)
		}
		if !slices.Equal(got, want[i]) {
			t.Fatalf("sequence %d holds %v, want %v", i, got, want[i])
		}
	}
}
