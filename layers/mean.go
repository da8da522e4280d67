package layers

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// MeanRows is the mean of the rows of each sequence: [sequences, dim]. A
// sequence without rows gives zeros.
func MeanRows(p Packed) mat.Tensor {
	if isFloat64(p.States) {
		return Apply(&meanRowsOp[float64]{p.States, p.Offsets})
	}
	return Apply(&meanRowsOp[float32]{p.States, p.Offsets})
}

type meanRowsOp[T kernel.Float] struct {
	x       mat.Tensor
	offsets Offsets
}

func (f *meanRowsOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *meanRowsOp[T]) Forward() (mat.Tensor, error) {
	_, dim := dims(f.x)
	x, y := values[T](f.x), make([]T, f.offsets.Len()*dim)
	for i := range f.offsets.Len() {
		f.each(i, func(row int, weight T) {
			kernel.Axpy(weight, x[row*dim:(row+1)*dim], y[i*dim:(i+1)*dim])
		})
	}
	return matrix(y, f.offsets.Len(), dim), nil
}

func (f *meanRowsOp[T]) Backward(gy mat.Tensor) error {
	_, dim := dims(f.x)
	g, dx := values[T](gy), gradient[T](f.x)
	for i := range f.offsets.Len() {
		f.each(i, func(row int, weight T) {
			kernel.Axpy(weight, g[i*dim:(i+1)*dim], dx[row*dim:(row+1)*dim])
		})
	}
	accumulate(f.x, dx)
	return nil
}

func (f *meanRowsOp[T]) each(sequence int, visit func(row int, weight T)) {
	from, to := f.offsets[sequence], f.offsets[sequence+1]
	for row := from; row < to; row++ {
		visit(row, 1/T(to-from))
	}
}
