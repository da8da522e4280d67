package losses_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/gradcheck"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

var labels = []int{2, losses.IgnoreIndex, 0, 6, losses.IgnoreIndex}

func TestGradientsOfLinearCrossEntropy(t *testing.T) {
	for _, o := range []losses.Options{{}, {LabelSmoothing: 0.1}, {Normalizer: 17}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("hidden", 5, 4), gradcheck.Matrix("head", 7, 4)}, func(x []mat.Tensor) mat.Tensor {
				r, err := losses.LinearCrossEntropy(x[0], x[1], labels, o)
				if err != nil {
					t.Fatal(err)
				}
				return r.Loss
			})
		})
	}
}

func TestTheLossIsTheMeanOverLabelledRows(t *testing.T) {
	// With a head of zeros every class has the same probability.
	x, w := mat.NewDense[float32](mat.WithShape(5, 4)), mat.NewDense[float32](mat.WithShape(7, 4))
	r, err := losses.LinearCrossEntropy(x, w, labels, losses.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Log(7); r.Counted != 3 || math.Abs(r.Value-want) > 1e-6 {
		t.Errorf("loss %v over %d rows, want %v over 3", r.Value, r.Counted, want)
	}
	for i, label := range labels {
		if counted := r.Rows[i] != 0; counted != (label != losses.IgnoreIndex) {
			t.Errorf("row %d has loss %v", i, r.Rows[i])
		}
	}
}

func TestBadLabelsAreErrors(t *testing.T) {
	x, w := mat.NewDense[float32](mat.WithShape(2, 4)), mat.NewDense[float32](mat.WithShape(7, 4))
	if _, err := losses.LinearCrossEntropy(x, w, []int{-100, -100}, losses.Options{}); !errors.Is(err, losses.ErrNoLabels) {
		t.Errorf("all masked: %v", err)
	}
	if _, err := losses.LinearCrossEntropy(x, w, []int{1, 7}, losses.Options{}); err == nil || !strings.Contains(err.Error(), "label 7") {
		t.Errorf("label outside the vocabulary: %v", err)
	}
	if _, err := losses.LinearCrossEntropy(x, w, []int{1, 2}, losses.Options{LabelSmoothing: 1}); err == nil {
		t.Error("label smoothing of 1 was taken")
	}
}

func TestGoingBackTwiceGivesTheGradientsTwice(t *testing.T) {
	matrix := func(rows int, x ...float32) mat.Tensor {
		return mat.NewDense[float32](mat.WithShape(rows, 2), mat.WithBacking(x), mat.WithGrad(true))
	}
	x, w := matrix(2, 1, -2, 0.5, 3), matrix(3, 0.1, 0.2, -0.3, 0.4, 0.5, -0.6)
	r, err := losses.LinearCrossEntropy(x, w, []int{2, 0}, losses.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var once [2][]float32
	for pass := range 2 {
		if err := ag.Backward(r.Loss); err != nil {
			t.Fatal(err)
		}
		for i, p := range []mat.Tensor{x, w} {
			g := slices.Clone(mat.Data[float32](p.Grad()))
			for j := range g {
				if pass == 1 && g[j] != 2*once[i][j] {
					t.Errorf("operand %d: gradient %v, after once %v", i, g, once[i])
				}
			}
			once[i] = g
		}
		r.Loss.ZeroGrad()
	}
}
