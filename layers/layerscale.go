package layers

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// LayerScale multiplies each column by a learnt number that starts small, so
// that a new branch sets in gently (Touvron et al., 2021, arXiv:2103.17239).
type LayerScale struct {
	nn.Module
	Scale *nn.Param `param:",vector"` // [dim]
}

// NewLayerScale returns a scale that is start in all of dim columns.
func NewLayerScale[T float.DType](dim int, start float64) *LayerScale {
	l := &LayerScale{Scale: Zeros[T](dim, 1)}
	Fill(l.Scale, start)
	return l
}

// Forward takes x [rows, dim] to the same shape.
func (l *LayerScale) Forward(x mat.Tensor) mat.Tensor {
	_, dim := dims(x)
	checkLen("layer scale", "scale", l.Scale, dim)
	if isFloat64(x) {
		return Apply(&layerScaleOp[float64]{x: x, scale: l.Scale})
	}
	return Apply(&layerScaleOp[float32]{x: x, scale: l.Scale})
}

// Factors are what each of dim columns is multiplied by.
func (l *LayerScale) Factors(int) []float64 { return l.Scale.Data().F64() }

type layerScaleOp[T kernel.Float] struct{ x, scale mat.Tensor }

func (f *layerScaleOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x, f.scale} }

func (f *layerScaleOp[T]) Forward() (mat.Tensor, error) {
	rows, cols := dims(f.x)
	y := make([]T, rows*cols)
	kernel.ScaleColumns(y, values[T](f.x), values[T](f.scale), rows)
	return matrix(y, rows, cols), nil
}

func (f *layerScaleOp[T]) Backward(gy mat.Tensor) error {
	rows, cols := dims(f.x)
	g := values[T](gy)
	if dx := gradient[T](f.x); dx != nil {
		kernel.ScaleColumns(dx, g, values[T](f.scale), rows)
		accumulate(f.x, dx)
	}
	if ds := gradient[T](f.scale); ds != nil {
		kernel.SumColumnProducts(ds, g, values[T](f.x), rows, cols)
		accumulate(f.scale, ds)
	}
	return nil
}
