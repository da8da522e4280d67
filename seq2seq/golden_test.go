package seq2seq_test

import (
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat/float"
)

func TestLossAndGradientsEqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compare(t, c, drawn[float32](t, c), 1e-5, 1e-6, 1e-5)
	})
}

// The golden numbers are results in float64, rounded to float32.
func TestInFloat64TooTheyEqualThoseOfTransformers(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compare(t, c, drawn[float64](t, c), 2e-7, 1e-12, 2e-7)
	})
}

// drawn makes the case's model with drawn weights.
func drawn[T float.DType](t *testing.T, c *reference.Case) *seq2seq.EncoderDecoder[vision.Pixels] {
	t.Helper()
	var config struct {
		Encoder vit.Config
		Decoder gpt2.Config
	}
	c.Config(t, &config)
	encoder, err := vit.New[T](config.Encoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	encoder.Pooler = nil // transformers made none
	decoder, err := gpt2.New[T](config.Decoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	m := seq2seq.NewEncoderDecoder[T](seq2seq.Encoder[vision.Pixels](encoder), decoder, layers.NewRandom(0))
	reference.Draw[T](t, c, m)
	for _, p := range layers.Parameters(m) {
		p.Value.SetRequiresGrad(c.Has("grad." + p.Name))
	}
	return m
}

// compare holds states, logits, loss and gradients to those of the case.
func compare(t *testing.T, c *reference.Case, m *seq2seq.EncoderDecoder[vision.Pixels], statesWithin, lossWithin, gradientsWithin float64) {
	t.Helper()
	states, err := m.Encoder.Encode(pictures(t, c), nil)
	if err != nil {
		t.Fatal(err)
	}
	reference.Compare(t, c, "encoder_states", reference.Float64s(states.States), statesWithin)

	source := layers.Source{Packed: m.Project(states), Of: c.Ints(t, "of")}
	tokens := layers.Tokens{IDs: c.Ints(t, "input_ids"), Offsets: c.Ints(t, "offsets")}
	logits, err := m.Logits(source, tokens)
	if err != nil {
		t.Fatal(err)
	}
	reference.Compare(t, c, "logits", reference.Float64s(logits), statesWithin)

	result, err := m.Loss(source, tokens, c.Ints(t, "targets"), losses.Options{LabelSmoothing: c.Meta.LabelSmoothing}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reference.CompareLoss(t, c, result.Value, lossWithin)
	ag.Backward(result.Loss)
	reference.CompareGradients(t, c, m, gradientsWithin)

	m.Hold(layers.Float32)
	if logits, err = m.Logits(source, tokens); err != nil {
		t.Fatal(err)
	}
	want := c.Floats(t, "logits")
	off := reference.CompareWithin(t, "logits of held weights", reference.Float64s(logits), want, statesWithin*reference.Largest(want))
	reference.Measured(t, "held", off, reference.Largest(want), statesWithin, c.Meta.Floor["logits"])
}

// pictures are the case's pixel values.
func pictures(t *testing.T, c *reference.Case) []vision.Pixels {
	t.Helper()
	shape, values := c.Shape(t, "pixel_values"), c.Floats(t, "pixel_values")
	out := make([]vision.Pixels, shape[0])
	for i := range out {
		n := len(values) / len(out)
		out[i] = vision.Pixels{Height: shape[2], Width: shape[3], Data: values[i*n : (i+1)*n]}
	}
	return out
}
