package gpt2

import (
	"fmt"
	"os"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

func TestStatesLogitsAndGradientsEqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		m := drawn[float32](t, c)
		compareForward[float32](t, c, m, 1e-5)
		compareLossAndGradients[float32](t, c, m, 1e-6, 1e-5)
	})
}

// The golden numbers are results in float64, rounded to float32.
func TestInFloat64TooTheyEqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		m := drawn[float64](t, c)
		compareForward[float64](t, c, m, 2e-7)
		compareLossAndGradients[float64](t, c, m, 1e-12, 2e-7)
	})
}

func TestLoadedCheckpointsGiveTheStatesOfTransformers(t *testing.T) {
	reference.EachStored(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		m, err := Load(os.DirFS(c.Dir))
		if err != nil {
			t.Fatal(err)
		}
		compareForward[float32](t, c, m, 1e-5)
	})
}

func TestCrossAttentionsEqualThoseOfTransformers(t *testing.T) {
	c := reference.Open(t, "testdata/crossattention")
	m := drawn[float32](t, c)
	tokens, source := inputs[float32](t, c)
	looks, err := m.CrossAttentions(tokens, source)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(looks)*len(looks[0]), len(c.Names("cross_attentions.")); got != want {
		t.Fatalf("%d attentions, want %d", got, want)
	}
	for s, blocks := range looks {
		for b, probabilities := range blocks {
			reference.Compare(t, c, fmt.Sprintf("cross_attentions.%d.%d", s, b), probabilities, 1e-5)
		}
	}
}

// drawn makes the case's model with drawn weights.
func drawn[T float.DType](t *testing.T, c *reference.Case) *Model {
	t.Helper()
	var config Config
	c.Config(t, &config)
	m, err := New[T](config, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	reference.Draw[T](t, c, m)
	return m
}

func inputs[T float.DType](t *testing.T, c *reference.Case) (layers.Tokens, layers.Source) {
	t.Helper()
	tokens := layers.Tokens{IDs: c.Ints(t, "input_ids"), Offsets: c.Ints(t, "offsets")}
	var source layers.Source
	if c.Has("encoder_states") {
		source.States = mat.NewDense[T](mat.WithShape(c.Shape(t, "encoder_states")...), mat.WithBacking(c.Floats(t, "encoder_states")))
		source.Offsets = c.Ints(t, "encoder_offsets")
	}
	return tokens, source
}

func compareForward[T float.DType](t *testing.T, c *reference.Case, m *Model, tolerance float64) {
	t.Helper()
	tokens, source := inputs[T](t, c)
	hidden := hiddenStates(m, tokens, source)
	if want := len(c.Names("hidden_states.")); len(hidden) != want {
		t.Fatalf("%d hidden states, want %d", len(hidden), want)
	}
	for i, h := range hidden {
		reference.Compare(t, c, fmt.Sprintf("hidden_states.%d", i), reference.Float64s(h), tolerance)
	}
	decoded, _, err := m.Decode(tokens, source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	reference.Compare(t, c, fmt.Sprintf("hidden_states.%d", len(hidden)-1), reference.Float64s(decoded), tolerance)
	logits := reference.Float64s(layers.MatMulT(decoded, m.Head()))
	if c.Has("logits") {
		reference.Compare(t, c, "logits", logits, tolerance)
		return
	}
	reference.Compare(t, c, "logits.every61", every61(logits, m.VocabSize(), 1), tolerance)
}

// hiddenStates are the embeddings and what leaves each block, the last after the final layer norm.
func hiddenStates(m *Model, tokens layers.Tokens, source layers.Source) []mat.Tensor {
	look, source := m.look(source, nil, tokens.Offsets.Len())
	x := m.embed(tokens, nil, nil)
	states := []mat.Tensor{x}
	for i, b := range m.Transformer.Blocks {
		x = b.Forward(x, tokens.Offsets, nil, look(i), source, nil)
		states = append(states, x)
	}
	states[len(states)-1] = m.Transformer.LNF.Forward(x)
	return states
}

// every61 keeps of a [rows, vocabulary·dim] matrix the dim columns of every 61st entry of the vocabulary.
func every61(x []float64, vocabulary, dim int) []float64 {
	var out []float64
	for len(x) > 0 {
		for v := 0; v < vocabulary; v += 61 {
			out = append(out, x[v*dim:(v+1)*dim]...)
		}
		x = x[vocabulary*dim:]
	}
	return out
}

func compareLossAndGradients[T float.DType](t *testing.T, c *reference.Case, m *Model, lossTolerance, tolerance float64) {
	t.Helper()
	tokens, source := inputs[T](t, c)
	x, _, err := m.Decode(tokens, source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := losses.LinearCrossEntropy(x, m.Head(), c.Ints(t, "targets"), losses.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reference.CompareLoss(t, c, result.Value, lossTolerance)
	if len(c.Names("grad.")) == 0 {
		return
	}
	ag.Backward(result.Loss)
	if c.Has("grad.every61") {
		grad := every61(reference.Float64s(m.Transformer.WTE.Weight.Grad()), m.VocabSize(), m.Dim())
		reference.Compare(t, c, "grad.every61", grad, tolerance)
		return
	}
	reference.CompareGradients(t, c, m, tolerance)
}
