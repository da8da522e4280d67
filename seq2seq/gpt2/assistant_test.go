package gpt2_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/nlpodyssey/spago/mat"
)

// drawnDecoder is a model of which all weights count, and a picture's states for it.
func drawnDecoder(t *testing.T, variants gpt2.Variants) (*gpt2.Model, layers.Source) {
	t.Helper()
	c := gpt2.DefaultConfig()
	c.Dim, c.NumHeads, c.NumLayers, c.VocabSize, c.NumPositions = 128, 2, 2, 300, 64
	c.AddCrossAttention, c.CrossAttentionType = true, variants
	random := layers.NewRandom(5)
	m, err := gpt2.New[float32](c, random)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range layers.Parameters(m) {
		layers.InitNormal(p.Value, 0.3, random)
	}
	layers.Freeze(m)
	states := mat.NewDense[float32](mat.WithShape(197, c.Dim))
	for i := range mat.Data[float32](states) {
		mat.Data[float32](states)[i] = float32(2*random.Float64() - 1)
	}
	return m, layers.Source{Packed: layers.Packed{States: states, Offsets: layers.OffsetsOf(197)}}
}

// Guesses are checked several at a time, and what a token gets must not depend on that.
func TestTokensFedTogetherHaveTheBitsOfTokensFedAlone(t *testing.T) {
	tokens := make([]int, 45)
	for i := range tokens {
		tokens[i] = (i*i*7 + 3) % 300
	}
	for _, variants := range []gpt2.Variants{nil, {gpt2.QKNorm, gpt2.Gated}} {
		for _, hold := range []string{"", "fp32", "bf16", "int8"} {
			m, source := drawnDecoder(t, variants)
			if hold != "" {
				p, err := layers.ParsePrecision(hold)
				if err != nil {
					t.Fatal(err)
				}
				m.Hold(p)
			}
			// feed gives the hidden states and logits of tokens fed in such pieces; wrong ones come after each piece, and are taken back.
			feed := func(sizes []int, wrong int) (all []float32) {
				cache := m.NewCache(1)
				for done := 0; done < len(tokens); {
					n := min(sizes[0], len(tokens)-done)
					sizes = append(sizes[1:], sizes[0])
					ids := slices.Concat(tokens[done:done+n], tokens[:wrong])
					hidden, _, err := m.Decode(layers.PackTokens(ids), source, cache, nil)
					if err != nil {
						t.Fatal(err)
					}
					logits := layers.MatMulT(hidden, m.Head())
					all = append(all, mat.Data[float32](hidden.Value())[:n*m.Dim()]...)
					all = append(all, mat.Data[float32](logits.Value())[:n*m.VocabSize()]...)
					done += n
					cache.(layers.TruncatableCache).Truncate([]int{done})
				}
				return all
			}
			rows := func(all []float32, sizes []int) [][]float32 { // of each token, as the pieces differ
				out := make([][]float32, 0, len(tokens))
				for done := 0; done < len(tokens); {
					n := min(sizes[0], len(tokens)-done)
					sizes = append(sizes[1:], sizes[0])
					for i := range n {
						hidden := all[i*m.Dim() : (i+1)*m.Dim()]
						logits := all[n*m.Dim()+i*m.VocabSize():][:m.VocabSize()]
						out = append(out, slices.Concat(hidden, logits))
					}
					all, done = all[n*(m.Dim()+m.VocabSize()):], done+n
				}
				return out
			}
			want := rows(feed([]int{1}, 0), []int{1})
			for _, sizes := range [][]int{{2}, {3, 1}, {8}, {9, 16, 1, 5}, {17}, {45}} {
				for _, wrong := range []int{0, 3} {
					for i, got := range rows(feed(slices.Clone(sizes), wrong), slices.Clone(sizes)) {
						if !slices.Equal(got, want[i]) {
							t.Errorf("%v, held %q, pieces %v, %d wrong: token %d gets other bits than alone", variants, hold, sizes, wrong, i)
							break
						}
					}
				}
			}
		}
	}
}

func TestAnAssistantSharesAllButTheRoundedWeights(t *testing.T) {
	m, source := drawnDecoder(t, nil)
	a := m.Assistant().(*gpt2.Model)
	same := map[string]bool{}
	for _, p := range layers.Parameters(m) {
		same[fmt.Sprintf("%p", p.Value)] = true
	}
	var own []string
	for _, p := range layers.Parameters(a) {
		if !same[fmt.Sprintf("%p", p.Value)] {
			own = append(own, p.Name)
		}
	}
	if want := 1 + 2*6; len(own) != want { // the head, and of each block those that a step reads
		t.Errorf("%d parameters are its own, want %d: %v", len(own), want, own)
	}
	// It looks at the keys and values that the model has made, and the other way round.
	for _, models := range [][2]*gpt2.Model{{m, a}, {a, m}} {
		first := models[0].NewCache(1)
		if _, _, err := models[0].Decode(layers.PackTokens([]int{1, 2}), source, first, nil); err != nil {
			t.Fatal(err)
		}
		want, _, err := models[1].Decode(layers.PackTokens([]int{1, 2}), source, models[1].NewCache(1), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := models[1].Decode(layers.PackTokens([]int{1, 2}), layers.Source{}, models[1].NewCacheWith(1, first), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(mat.Data[float32](got.Value()), mat.Data[float32](want.Value())) {
			t.Errorf("with the other's keys and values it says something else")
		}
	}
	// Those of another model, here of another picture, it does not take.
	want, _, err := a.Decode(layers.PackTokens([]int{1}), source, a.NewCache(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := drawnDecoder(t, nil)
	cache, dark := other.NewCache(1), source
	dark.States = mat.NewDense[float32](mat.WithShape(197, m.Dim()))
	if _, _, err := other.Decode(layers.PackTokens([]int{1}), dark, cache, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := a.Decode(layers.PackTokens([]int{1}), source, a.NewCacheWith(1, cache), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(mat.Data[float32](got.Value()), mat.Data[float32](want.Value())) {
		t.Error("it looks at what another model sees")
	}
}

// What a cache gives back is used by others at once, and what another one still needs is not given back.
func TestAReleasedCacheLeavesOthersAsTheyAre(t *testing.T) {
	for _, hold := range []bool{false, true} {
		m, source := drawnDecoder(t, gpt2.Variants{gpt2.QKNorm})
		if hold {
			m.Hold(layers.BFloat16)
		}
		decode := func(cache layers.Cache, token int) []float32 {
			hidden, _, err := m.Decode(layers.PackTokens([]int{token}), source, cache, nil)
			if err != nil {
				t.Fatal(err)
			}
			return mat.Data[float32](hidden.Value())
		}
		var want [][]float32
		cache := m.NewCache(1)
		for token := range 40 {
			want = append(want, slices.Clone(decode(cache, token)))
		}
		first := m.NewCache(1)
		for token := range 40 {
			if got := decode(first, token); !slices.Equal(got, want[token]) {
				t.Errorf("held %v: token %d gets other states", hold, token)
			}
			with := m.NewCacheWith(1, first)
			decode(with, token)
			alone := m.NewCache(1)
			decode(alone, token)
			with.(layers.ReleasableCache).Release()
			alone.(layers.ReleasableCache).Release()
		}
	}
}
