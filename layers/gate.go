package layers

import (
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Gate multiplies by the tanh of a learnt number that starts at 0, so that a
// branch that is new to a pretrained model changes nothing at first (Alayrac
// et al., 2022, arXiv:2204.14198).
type Gate struct {
	nn.Module
	Alpha *nn.Param `param:",vector"` // [1]
}

// NewGate returns a closed gate.
func NewGate[T float.DType]() *Gate { return &Gate{Alpha: Zeros[T](1, 1)} }

// Forward takes x [rows, dim] to the same shape.
func (g *Gate) Forward(x mat.Tensor) mat.Tensor {
	if isFloat64(x) {
		return Apply(&gateOp[float64]{x: x, alpha: g.Alpha})
	}
	return Apply(&gateOp[float32]{x: x, alpha: g.Alpha})
}

// Factors are what each of dim columns is multiplied by.
func (g *Gate) Factors(dim int) []float64 {
	out := make([]float64, dim)
	for i := range out {
		out[i] = math.Tanh(g.Alpha.Item().F64())
	}
	return out
}

type gateOp[T kernel.Float] struct{ x, alpha mat.Tensor }

func (f *gateOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x, f.alpha} }

func (f *gateOp[T]) open() float64 { return math.Tanh(float64(values[T](f.alpha)[0])) }

func (f *gateOp[T]) Forward() (mat.Tensor, error) {
	rows, cols := dims(f.x)
	y := make([]T, rows*cols)
	kernel.Axpy(T(f.open()), values[T](f.x), y)
	return matrix(y, rows, cols), nil
}

func (f *gateOp[T]) Backward(gy mat.Tensor) error {
	g, open := values[T](gy), f.open()
	if dx := gradient[T](f.x); dx != nil {
		kernel.Axpy(T(open), g, dx)
		accumulate(f.x, dx)
	}
	if wants(f.alpha) {
		accumulate(f.alpha, []T{T((1 - open*open) * kernel.Dot(g, values[T](f.x)))})
	}
	return nil
}
