package vit

import (
	"fmt"
	"os"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat/float"
)

func TestStatesEqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compareStates(t, c, drawn[float32](t, c), 1e-5)
	})
}

// The golden numbers are results in float64, rounded to float32.
func TestStatesInFloat64EqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compareStates(t, c, drawn[float64](t, c), 2e-7)
	})
}

func TestLoadedCheckpointsGiveTheStatesOfTransformers(t *testing.T) {
	reference.EachStored(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		m, err := Load(os.DirFS(c.Dir))
		if err != nil {
			t.Fatal(err)
		}
		compareStates(t, c, m, 1e-5)
	})
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
	// A pooler is always there, but transformers need not have made one.
	reference.Draw[T](t, c, m, "pooler.dense.weight", "pooler.dense.bias")
	return m
}

func compareStates(t *testing.T, c *reference.Case, m *Model, tolerance float64) {
	t.Helper()
	pictures := pictures(t, c)
	hidden, err := m.HiddenStates(pictures)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(c.Names("hidden_states.")); len(hidden) != want {
		t.Fatalf("%d hidden states, want %d", len(hidden), want)
	}
	for i, h := range hidden {
		reference.Compare(t, c, fmt.Sprintf("hidden_states.%d", i), reference.Float64s(h), tolerance)
	}
	out, err := m.Encode(pictures, nil)
	if err != nil {
		t.Fatal(err)
	}
	reference.Compare(t, c, "last_hidden_state", reference.Float64s(out.States), tolerance)
}

// pictures are the case's pixel values: one tensor, or several of different sizes.
func pictures(t *testing.T, c *reference.Case) []vision.Pixels {
	t.Helper()
	var out []vision.Pixels
	for _, name := range c.Names("pixel_values") {
		shape, values := c.Shape(t, "pixel_values"+name), c.Floats(t, "pixel_values"+name)
		n := len(values) / shape[0]
		for i := range shape[0] {
			out = append(out, vision.Pixels{Height: shape[2], Width: shape[3], Data: values[i*n : (i+1)*n]})
		}
	}
	return out
}
