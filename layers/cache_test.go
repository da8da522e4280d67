package layers_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

const cacheDim = 3

// step appends random rows to every sequence, in two layers whose rows differ,
// and to want, which has keys and values as plain slices.
func step(cache *layers.KeyValues, want [][]float32, random *rand.Rand, longest int) {
	lengths := make([]int, cache.Sequences())
	for i := range lengths {
		lengths[i] = random.IntN(longest + 1)
	}
	offsets := layers.OffsetsOf(lengths...)
	cache.Extend(offsets)
	rows := make([]float32, offsets.Rows()*2*cacheDim)
	for i := range rows {
		rows[i] = random.Float32()
	}
	for layer := range 2 {
		wide := make([]float32, 0, offsets.Rows()*(1+2*cacheDim))
		for r := range offsets.Rows() {
			wide = append(wide, -1)
			for _, x := range rows[r*2*cacheDim : (r+1)*2*cacheDim] {
				wide = append(wide, x+float32(layer))
			}
		}
		x := mat.NewDense[float32](mat.WithShape(offsets.Rows(), 1+2*cacheDim), mat.WithBacking(wide))
		cache.Layer(layer).Append(layers.Columns{X: x, From: 1})
	}
	for i := range want {
		want[i] = append(want[i], rows[offsets[i]*2*cacheDim:offsets[i+1]*2*cacheDim]...)
	}
}

// The cache is held against plain slices over random appends and selections.
func TestACacheKeepsItsSequencesThroughForksAndLosses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n := 1 + random.IntN(4)
		cache, want := layers.NewKeyValues(2, n, cacheDim), make([][]float32, n)
		for range 30 {
			step(cache, want, random, 3)
			compare(t, cache, want)
			keep := make([]int, 1+random.IntN(5))
			next := make([][]float32, len(keep))
			for j := range keep {
				keep[j] = random.IntN(n)
				next[j] = slices.Clone(want[keep[j]])
			}
			cache.Keep(keep)
			n, want = len(keep), next
			for i := range want {
				if got := cache.Length(i) * 2 * cacheDim; got != len(want[i]) {
					t.Fatalf("sequence %d has length %d, want %d", i, got, len(want[i]))
				}
			}
		}
	}
}

func compare(t *testing.T, cache *layers.KeyValues, want [][]float32) {
	t.Helper()
	for layer := range 2 {
		k, v, spans, rows := cache.Layer(layer).All()
		for i, s := range spans {
			var got []float32
			for r := s.Start; r < s.End; r++ {
				row := r
				if rows != nil {
					row = rows[r]
				}
				for _, c := range []layers.Columns{k, v} {
					ld := c.X.Shape()[1]
					for _, x := range mat.Data[float32](c.X)[row*ld+c.From:][:cacheDim] {
						got = append(got, x-float32(layer))
					}
				}
			}
			if !slices.EqualFunc(got, want[i], func(a, b float32) bool { return a-b < 1e-6 && b-a < 1e-6 }) {
				t.Fatalf("layer %d: sequence %d holds %v, want %v", layer, i, got, want[i])
			}
		}
	}
}

func TestTokensThatAreCutOffAreForgotten(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		n := 1 + random.IntN(3)
		cache, want := layers.NewKeyValues(2, n, cacheDim), make([][]float32, n)
		for range 30 {
			step(cache, want, random, 5)
			lengths := make([]int, n)
			for i := range lengths {
				lengths[i] = random.IntN(cache.Length(i) + 1)
				want[i] = want[i][:lengths[i]*2*cacheDim]
			}
			cache.Truncate(lengths)
			if n > 1 && random.IntN(2) == 0 { // a fork keeps what the other forgets
				cache.Keep(append([]int{1}, slices.Repeat([]int{0}, n-1)...))
				first, second := want[0], want[1]
				want[0] = slices.Clone(second)
				for i := 1; i < n; i++ {
					want[i] = slices.Clone(first)
				}
			}
			step(cache, want, random, 2)
			compare(t, cache, want)
		}
	}
}

func TestACutSequenceNeedsNoListOfRows(t *testing.T) {
	cache, want := layers.NewKeyValues(2, 1, cacheDim), make([][]float32, 1)
	random := rand.New(rand.NewPCG(9, 10))
	for range 100 {
		step(cache, want, random, 8)
		if _, _, _, rows := cache.Layer(0).All(); rows != nil {
			t.Fatalf("rows %v", rows)
		}
		cut := max(0, cache.Length(0)-random.IntN(8))
		cache.Truncate([]int{cut})
		want[0] = want[0][:cut*2*cacheDim]
	}
}

func TestForksShareTheRowsOfTheirPast(t *testing.T) {
	cache, want := layers.NewKeyValues(2, 1, cacheDim), make([][]float32, 1)
	one := func() {
		cache.Extend(layers.OffsetsOf(slices.Repeat([]int{1}, cache.Sequences())...))
		for layer := range 2 {
			x := mat.NewDense[float32](mat.WithShape(cache.Sequences(), 2*cacheDim))
			cache.Layer(layer).Append(layers.Columns{X: x})
		}
	}
	for range 10 {
		step(cache, want, rand.New(rand.NewPCG(3, 4)), 1)
		one()
	}
	past := cache.Length(0)
	cache.Keep([]int{0, 0, 0})
	one()
	_, _, spans, rows := cache.Layer(1).All()
	seen := map[int]bool{}
	for _, s := range spans {
		for _, row := range rows[s.Start:s.End] {
			seen[row] = true
		}
	}
	if len(seen) != past+3 {
		t.Errorf("3 forks of %d tokens have %d rows with one more each, want %d", past, len(seen), past+3)
	}
}

// Four beams, each step the forks of one or two of them, as beam search does.
func TestRowsThatNoSequenceHasAreUsedAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	cache := layers.NewKeyValues(1, 4, cacheDim)
	for n := range 500 {
		cache.Extend(layers.OffsetsOf(1, 1, 1, 1))
		x := mat.NewDense[float32](mat.WithShape(4, 2*cacheDim))
		cache.Layer(0).Append(layers.Columns{X: x})
		a, b := random.IntN(4), random.IntN(4)
		cache.Keep([]int{a, a, b, a})
		k, _, _, _ := cache.Layer(0).All()
		if got := k.X.Shape()[0]; got > 2*(n+1)+64 {
			t.Fatalf("%d rows for beams of %d tokens with one past", got, n+1)
		}
	}
}

func TestTheRowsOfOneSequenceNeedNoList(t *testing.T) {
	cache, want := layers.NewKeyValues(2, 1, cacheDim), make([][]float32, 1)
	for range 40 {
		step(cache, want, rand.New(rand.NewPCG(7, 8)), 3)
		if _, _, _, rows := cache.Layer(0).All(); rows != nil {
			t.Fatalf("rows %v", rows)
		}
		compare(t, cache, want)
	}
}
