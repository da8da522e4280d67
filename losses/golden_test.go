package losses_test

import (
	"path/filepath"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

func TestTheLossEqualsThatOfPyTorch(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compareLoss[float32](t, c, 1e-6, 1e-5)
	})
}

// The golden numbers are results in float64, rounded to float32.
func TestTheLossInFloat64EqualsThatOfPyTorch(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compareLoss[float64](t, c, 1e-12, 2e-7)
	})
}

func compareLoss[T float.DType](t *testing.T, c *reference.Case, lossTolerance, tolerance float64) {
	t.Helper()
	var meta struct {
		Shape      [3]int // rows, dim, vocabulary
		Normalizer int
	}
	reference.ReadJSON(t, filepath.Join(c.Dir, "meta.json"), &meta)
	rows, dim, vocabulary := meta.Shape[0], meta.Shape[1], meta.Shape[2]
	weights := c.Meta.Weights
	x := parameter[T](rows, dim, reference.Fill("x", rows*dim, weights.Scale, weights.Seed))
	w := parameter[T](vocabulary, dim, reference.Fill("w", vocabulary*dim, weights.EmbeddingScale, weights.Seed))
	labels := c.Ints(t, "targets")

	result, err := losses.LinearCrossEntropy(x, w, labels, losses.Options{
		LabelSmoothing: c.Meta.LabelSmoothing, Normalizer: meta.Normalizer})
	if err != nil {
		t.Fatal(err)
	}
	reference.CompareLoss(t, c, result.Value, lossTolerance)
	reference.Compare(t, c, "rows", result.Rows, tolerance)

	ag.Backward(result.Loss)
	reference.Compare(t, c, "grad.x", reference.Float64s(x.Grad()), tolerance)
	grad := reference.Float64s(w.Grad())
	if kept := c.Shape(t, "grad.w")[0]; kept != vocabulary {
		var sampled []float64
		for v := 0; v < vocabulary; v += 61 {
			sampled = append(sampled, grad[v*dim:(v+1)*dim]...)
		}
		grad = sampled
	}
	reference.Compare(t, c, "grad.w", grad, tolerance)
}

func parameter[T float.DType](rows, cols int, values []float32) *nn.Param {
	return nn.NewParam(mat.NewDense[T](mat.WithShape(rows, cols), mat.WithBacking(values))).WithGrad(true)
}
