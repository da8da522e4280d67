package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// QueryKeyNorm keeps the scores of an attention in bounds, whatever becomes
// of the weights: each head of each query and key is divided by its root mean
// square, so that with scale 1/sqrt(head width) a score is at most
// Gain·sqrt(head width) (Henry et al., 2020, arXiv:2010.04245; the width for
// the start of the gain is that of Dehghani et al., 2023, arXiv:2302.05442).
type QueryKeyNorm struct {
	nn.Module
	Gain *nn.Param `param:",vector"` // [heads], of the queries
	Dim  int       // columns of queries and of keys: heads times head width

	one *nn.Param // [heads], of the keys
}

// queryKeyEps is added to a mean square.
const queryKeyEps = 1e-6

// NewQueryKeyNorm returns a normalisation whose gains are 1.
func NewQueryKeyNorm[T float.DType](dim, heads int) *QueryKeyNorm {
	n := &QueryKeyNorm{Gain: Zeros[T](heads, 1), Dim: dim, one: Zeros[T](heads, 1)}
	Fill(n.Gain, 1)
	Fill(n.one, 1)
	n.one.SetRequiresGrad(false)
	return n
}

// Queries takes queries [rows, Dim] to the same shape.
func (n *QueryKeyNorm) Queries(q mat.Tensor) mat.Tensor { return NormalizeHeads(q, n.Gain, n.Dim) }

// Keys takes keys and values side by side [rows, 2·Dim] to the same shape:
// values stay as they are.
func (n *QueryKeyNorm) Keys(kv mat.Tensor) mat.Tensor { return NormalizeHeads(kv, n.one, n.Dim) }

// NormalizeHeads divides each head of each row by its root mean square and
// multiplies it by the head's gain. The heads are the first dim columns of
// x [rows, ≥dim], as many as gain has elements; the columns after them are
// passed on as they are.
func NormalizeHeads(x mat.Tensor, gain *nn.Param, dim int) mat.Tensor {
	_, cols := dims(x)
	if heads := gain.Size(); dim > cols || dim%heads != 0 {
		panic(fmt.Sprintf("layers: %d heads in the first %d columns of a matrix %v", heads, dim, x.Shape()))
	}
	if isFloat64(x) {
		return Apply(&normalizeHeadsOp[float64]{x: x, gain: gain, dim: dim})
	}
	return Apply(&normalizeHeadsOp[float32]{x: x, gain: gain, dim: dim})
}

type normalizeHeadsOp[T kernel.Float] struct {
	x, gain mat.Tensor
	dim     int
	rms     []T // of each row and head
}

func (f *normalizeHeadsOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x, f.gain} }

func (f *normalizeHeadsOp[T]) Forward() (mat.Tensor, error) {
	rows, cols := dims(f.x)
	gain := values[T](f.gain)
	y := make([]T, rows*cols)
	if cols > f.dim {
		copy(y, values[T](f.x))
	}
	f.rms = make([]T, rows*len(gain))
	kernel.NormalizeHeads(y, cols, f.rms, values[T](f.x), cols, gain, rows, f.dim/len(gain), queryKeyEps)
	return matrix(y, rows, cols), nil
}

func (f *normalizeHeadsOp[T]) Backward(gy mat.Tensor) error {
	rows, cols := dims(f.x)
	gain := values[T](f.gain)
	dx, dgain := gradient[T](f.x), gradient[T](f.gain)
	if dx != nil && cols > f.dim {
		copy(dx, values[T](gy))
	}
	kernel.NormalizeHeadsBackward(dx, cols, dgain, values[T](gy), cols, f.rms, values[T](f.x), cols, gain, rows, f.dim/len(gain))
	accumulate(f.x, dx)
	accumulate(f.gain, dgain)
	return nil
}
