package reference

import (
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

// Draw gives the parameters of a model with elements of type T the case's drawn weights. It fails unless they are
// those of the case, name by name and shape by shape, up to ignored ones.
func Draw[T float.DType](t testing.TB, c *Case, model any, ignored ...string) {
	t.Helper()
	shapes := map[string][]int{}
	for _, p := range c.Meta.Parameters {
		shapes[p.Name] = p.Shape
	}
	for _, p := range layers.Parameters(model) {
		if shape, ok := shapes[p.Name]; !ok || !slices.Equal(shape, p.Shape) {
			if !slices.Contains(ignored, p.Name) {
				t.Fatalf("%s: the model has %s %v, the reference %v", c.Dir, p.Name, p.Shape, shape)
			}
		}
		delete(shapes, p.Name)
		data := mat.Data[T](p.Value)
		for i, w := range c.Meta.Weights.Tensor(p.Name, p.Shape...) {
			data[i] = T(w)
		}
	}
	for name := range shapes {
		t.Fatalf("%s: the model lacks %s", c.Dir, name)
	}
}

// Float64s are the elements of a matrix, row by row.
func Float64s(x mat.Tensor) []float64 {
	return x.Value().(mat.Matrix).Data().F64()
}

// CompareGradients fails unless each parameter's gradient equals the case's within tolerance times its largest value,
// and a gradient that is zero by mathematics within tolerance times the largest of all. A parameter without a golden
// gradient must have none.
func CompareGradients(t testing.TB, c *Case, model any, tolerance float64) {
	t.Helper()
	largest := 0.0
	for _, name := range c.Names("grad.") {
		largest = max(largest, Largest(c.Floats(t, "grad."+name)))
	}
	compared := 0
	for _, p := range layers.Parameters(model) {
		name := "grad." + p.Name
		if !c.Has(name) {
			if p.Value.HasGrad() {
				t.Errorf("%s has a gradient, want none", p.Name)
			}
			continue
		}
		compared++
		want := c.Floats(t, name)
		if !p.Value.HasGrad() {
			t.Errorf("%s has no gradient", p.Name)
			continue
		}
		scale := Largest(want)
		if scale == 0 {
			scale = largest
		}
		off := CompareWithin(t, name, Float64s(p.Value.Grad()), want, tolerance*scale)
		Measured(t, name, off, scale, tolerance, c.floor(name))
	}
	if want := len(c.Names("grad.")); compared != want {
		t.Errorf("%d gradients compared, want %d", compared, want)
	}
}
