package generate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

// randomSearches is testdata/random.json.
type randomSearches struct {
	Vocabulary, Dim, Heads, Positions int
	Items, States                     int // of each item
	Models                            []randomModel
}

type randomModel struct {
	Weights reference.Weights
	NLayer  int `json:"n_layer"`
	Tied    bool
	Runs    []randomRun
	// Constrained are runs whose tokens are among those of allowed.
	Constrained []randomRun
}

type randomRun struct {
	Options   json.RawMessage
	Prefix    []int
	Sequences [][]int
	Scores    []float64
	Finished  []bool
}

// allowed is the constraint of the same name in searches.py.
func (s *randomSearches) allowed(item int, tokens []int) []int {
	var ids []int
	for id := range s.Vocabulary {
		if (7*id+3*tokens[len(tokens)-1]+5*item+len(tokens))%3 != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r randomRun) options(t *testing.T) generate.Options {
	t.Helper()
	o := generate.DefaultOptions()
	if err := json.Unmarshal(r.Options, &o); err != nil {
		t.Fatal(err)
	}
	o.Prefix = r.Prefix
	return o
}

func readRandomSearches(t *testing.T) *randomSearches {
	t.Helper()
	var s randomSearches
	reference.ReadJSON(t, "testdata/random.json", &s)
	return &s
}

// decoder makes a frozen decoder with drawn weights, and the states that it
// looks at.
func decoder[T float.DType](t *testing.T, s *randomSearches, m randomModel) (*gpt2.Model, layers.Source) {
	t.Helper()
	c := gpt2.DefaultConfig()
	c.VocabSize, c.NumPositions, c.Dim, c.NumHeads, c.NumLayers = s.Vocabulary, s.Positions, s.Dim, s.Heads, m.NLayer
	c.AddCrossAttention, c.TieWordEmbeddings = true, m.Tied
	d, err := gpt2.New[T](c, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range layers.Parameters(d) {
		data := mat.Data[T](p.Value)
		for i, w := range m.Weights.Tensor(p.Name, p.Shape...) {
			data[i] = T(w)
		}
	}
	layers.Freeze(d)
	rows := s.Items * s.States
	states := make([]T, rows*s.Dim)
	for i, x := range reference.Fill("encoder_states", len(states), 1.7, m.Weights.Seed) {
		states[i] = T(x)
	}
	lengths := slices.Repeat([]int{s.States}, s.Items)
	return d, layers.Source{Packed: layers.Packed{
		States:  mat.NewDense[T](mat.WithShape(rows, s.Dim), mat.WithBacking(states)),
		Offsets: layers.OffsetsOf(lengths...),
	}}
}

func TestSearchesWithRandomOptionsFindWhatTransformersFinds(t *testing.T) {
	s := readRandomSearches(t)
	for _, m := range s.Models {
		t.Run(fmt.Sprint(m.Weights.Seed), func(t *testing.T) {
			d32, source32 := decoder[float32](t, s, m)
			for _, r := range m.Runs {
				compareRun(t, "float32", d32, source32, r.options(t), r)
			}
			t.Attr("compared", fmt.Sprintf("%d searches with random options: tokens", len(m.Runs)))
			d64, source64 := decoder[float64](t, s, m)
			for _, r := range m.Runs[:4] {
				compareRun(t, "float64", d64, source64, r.options(t), r)
			}
		})
	}
}

func TestSearchesUnderAConstraintFindWhatTransformersFinds(t *testing.T) {
	s := readRandomSearches(t)
	runs := 0
	for _, m := range s.Models {
		d, source := decoder[float32](t, s, m)
		for _, r := range m.Constrained {
			o := r.options(t)
			o.PrefixAllowedTokens = s.allowed
			compareRun(t, "constrained", d, source, o, r)
		}
		runs += len(m.Constrained)
	}
	if runs < 100 {
		t.Fatalf("%d searches, want at least 100", runs)
	}
	t.Attr("compared", fmt.Sprintf("%d searches under a constraint: tokens", runs))
}

func compareRun(t *testing.T, what string, d generate.Decoder, source layers.Source, o generate.Options, r randomRun) {
	t.Helper()
	got, err := generate.Generate(context.Background(), d, source, o)
	if err != nil {
		t.Fatalf("%s, %s: %v", what, r.Options, err)
	}
	if len(got) != len(r.Sequences) {
		t.Fatalf("%s, %s: %d sequences, want %d", what, r.Options, len(got), len(r.Sequences))
	}
	for i, want := range r.Sequences {
		if !slices.Equal(got[i].Tokens, want) || got[i].Finished != r.Finished[i] {
			t.Errorf("%s, %s, prefix %v, sequence %d:\n got %v, finished %v\nwant %v, finished %v",
				what, r.Options, r.Prefix, i, got[i].Tokens, got[i].Finished, want, r.Finished[i])
		}
		if d := math.Abs(got[i].Score - r.Scores[i]); !(d <= 1e-5*math.Abs(r.Scores[i])+1e-5) {
			t.Errorf("%s, %s, sequence %d: score %v, want %v", what, r.Options, i, got[i].Score, r.Scores[i])
		}
	}
}
