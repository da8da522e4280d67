// Package gradcheck holds the gradients of operators against finite
// differences, in float64.
package gradcheck

import (
	"fmt"
	"math"
	"testing"

	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

// Operand is a matrix that an operator reads.
type Operand struct {
	Name       string
	Rows, Cols int
}

// Matrix names an operand of rows × cols elements.
func Matrix(name string, rows, cols int) Operand { return Operand{Name: name, Rows: rows, Cols: cols} }

// Run checks the gradient of a weighted sum of f's result with respect to
// every operand: once with all of them asking for a gradient, and once for
// every non-empty subset, where the others must get none. f must be smooth
// near the operands, which are drawn from [-1, 1].
func Run(t *testing.T, operands []Operand, f func(x []mat.Tensor) mat.Tensor) {
	t.Helper()
	for subset := 1; subset < 1<<len(operands); subset++ {
		t.Run(fmt.Sprintf("wanted=%0*b", len(operands), subset), func(t *testing.T) {
			check(t, operands, subset, f)
		})
	}
	t.Run("wanted=none", func(t *testing.T) {
		y := f(tensors(operands, 0))
		if _, graph := y.(*ag.Operator); graph {
			t.Error("a graph was kept though nothing requires a gradient")
		}
	})
}

func tensors(operands []Operand, wanted int) []mat.Tensor {
	out := make([]mat.Tensor, len(operands))
	state := uint64(len(operands))
	for i, o := range operands {
		data := make([]float64, o.Rows*o.Cols)
		for j := range data {
			data[j] = uniform(&state)
		}
		out[i] = mat.NewDense[float64](mat.WithShape(o.Rows, o.Cols), mat.WithBacking(data), mat.WithGrad(wanted>>i&1 == 1))
	}
	return out
}

func check(t *testing.T, operands []Operand, wanted int, f func(x []mat.Tensor) mat.Tensor) {
	x := tensors(operands, wanted)
	y := f(x)
	weights := make([]float64, y.Size())
	state := uint64(99)
	for i := range weights {
		weights[i] = uniform(&state)
	}
	y.AccGrad(mat.NewDense[float64](mat.WithShape(y.Shape()...), mat.WithBacking(weights)))
	if err := ag.Backward(y); err != nil {
		t.Fatal(err)
	}
	value := func() float64 {
		sum := 0.0
		for i, v := range mat.Data[float64](f(tensorsOf(x)).Value()) {
			sum += v * weights[i]
		}
		return sum
	}
	for i, o := range operands {
		if wanted>>i&1 == 0 {
			if x[i].HasGrad() {
				t.Errorf("%s got a gradient that nobody asked for", o.Name)
			}
			continue
		}
		if !x[i].HasGrad() {
			t.Errorf("%s got no gradient", o.Name)
			continue
		}
		got, data := mat.Data[float64](x[i].Grad()), mat.Data[float64](x[i])
		for j := range data {
			if want := slope(data, j, value); math.Abs(got[j]-want) > 1e-6*(1+math.Abs(want)) {
				t.Fatalf("gradient of %s at %d: %.10g, finite differences say %.10g", o.Name, j, got[j], want)
			}
		}
	}
}

// tensorsOf returns plain matrices over the same elements, so that the
// evaluation keeps no graph.
func tensorsOf(x []mat.Tensor) []mat.Tensor {
	out := make([]mat.Tensor, len(x))
	for i, t := range x {
		out[i] = mat.NewDense[float64](mat.WithShape(t.Shape()...), mat.WithBacking(mat.Data[float64](t)))
	}
	return out
}

// slope is the five-point estimate of the derivative along data[j].
func slope(data []float64, j int, value func() float64) float64 {
	const h = 1e-3
	x := data[j]
	at := func(d float64) float64 { data[j] = x + d; return value() }
	s := (at(-2*h) - 8*at(-h) + 8*at(h) - at(2*h)) / (12 * h)
	data[j] = x
	return s
}

// uniform returns a number in [-1, 1) from a linear congruential generator
// (Knuth's MMIX constants).
func uniform(state *uint64) float64 {
	*state = *state*6364136223846793005 + 1442695040888963407
	return float64(*state>>11)/(1<<52) - 1
}
