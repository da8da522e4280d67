package layers

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// LayerNorm normalises each row to mean 0 and variance 1, then scales and
// shifts its columns (Ba et al., 2016, arXiv:1607.06450).
type LayerNorm struct {
	nn.Module
	Weight *nn.Param `param:"weight,vector"` // [dim]
	Bias   *nn.Param `param:"bias,vector"`   // [dim]
	Eps    float64
}

// NewLayerNorm returns a layer norm over dim columns with weight 1 and bias 0.
func NewLayerNorm[T float.DType](dim int, eps float64) *LayerNorm {
	l := &LayerNorm{Weight: Zeros[T](dim, 1), Bias: Zeros[T](dim, 1), Eps: eps}
	Fill(l.Weight, 1)
	return l
}

// Forward takes x [rows, dim] to the same shape.
func (l *LayerNorm) Forward(x mat.Tensor) mat.Tensor {
	_, dim := dims(x)
	checkLen("layer norm", "weight", l.Weight, dim)
	checkLen("layer norm", "bias", l.Bias, dim)
	if isFloat64(x) {
		return Apply(&layerNormOp[float64]{x: x, w: l.Weight, b: l.Bias, eps: l.Eps})
	}
	return Apply(&layerNormOp[float32]{x: x, w: l.Weight, b: l.Bias, eps: l.Eps})
}

type layerNormOp[T kernel.Float] struct {
	x, w, b    mat.Tensor
	eps        float64
	mean, rstd []T
}

func (f *layerNormOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x, f.w, f.b} }

func (f *layerNormOp[T]) Forward() (mat.Tensor, error) {
	rows, dim := dims(f.x)
	y := buffer[T](rows * dim)
	f.mean, f.rstd = make([]T, rows), make([]T, rows)
	kernel.LayerNorm(y, f.mean, f.rstd, values[T](f.x), values[T](f.w), values[T](f.b), rows, dim, f.eps)
	return matrix(y, rows, dim), nil
}

func (f *layerNormOp[T]) Backward(gy mat.Tensor) error {
	rows, dim := dims(f.x)
	dx, dw, db := gradient[T](f.x), gradient[T](f.w), gradient[T](f.b)
	kernel.LayerNormBackward(dx, dw, db, values[T](gy), values[T](f.x), f.mean, f.rstd, values[T](f.w), rows, dim)
	accumulate(f.x, dx)
	accumulate(f.w, dw)
	accumulate(f.b, db)
	return nil
}
