package layers_test

import (
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func TestGradientsReachTheParametersAndAreNotKeptOnTheWay(t *testing.T) {
	row := func(x ...float32) mat.Tensor {
		return mat.NewDense[float32](mat.WithShape(1, 2), mat.WithBacking(x), mat.WithGrad(true))
	}
	a, b := row(1, 2), row(3, 4)
	sum := layers.Residual(a, b)
	twice := layers.Residual(sum, sum)
	last := layers.Residual(layers.Share(twice), a)
	last.AccGrad(row(1, 10))
	for pass := 1; pass <= 2; pass++ {
		if err := ag.Backward(last); err != nil {
			t.Fatal(err)
		}
		last.AccGrad(row(1, 10))
		if g := mat.Data[float32](a.Grad()); !slices.Equal(g, []float32{3 * float32(pass), 30 * float32(pass)}) {
			t.Errorf("pass %d: gradient of a %v", pass, g)
		}
		if g := mat.Data[float32](b.Grad()); !slices.Equal(g, []float32{2 * float32(pass), 20 * float32(pass)}) {
			t.Errorf("pass %d: gradient of b %v", pass, g)
		}
		if sum.HasGrad() || twice.HasGrad() {
			t.Errorf("pass %d: gradients of results were kept", pass)
		}
	}
}
