package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Residual is a + b, elementwise, for matrices of one shape.
func Residual(a, b mat.Tensor) mat.Tensor {
	ar, ac := dims(a)
	if br, bc := dims(b); ar != br || ac != bc {
		panic(fmt.Sprintf("layers: residual: shapes %v and %v differ", a.Shape(), b.Shape()))
	}
	if isFloat64(a) {
		return Apply(&residualOp[float64]{a: a, b: b})
	}
	return Apply(&residualOp[float32]{a: a, b: b})
}

// AddTo is residual + dropout(l(x)), the end of each part of a transformer's
// block, for x [rows, in] and residual [rows, out]. Without dropout it is one
// operator, with the same bits.
func AddTo(residual, x mat.Tensor, l Affine, dropout float64, random *Random) mat.Tensor {
	if onto, ok := l.(interface {
		forwardOnto(residual, x mat.Tensor) mat.Tensor
	}); ok && (dropout == 0 || random == nil) {
		return onto.forwardOnto(residual, x)
	}
	return Residual(residual, Dropout(l.Forward(x, Identity), dropout, random))
}

type residualOp[T kernel.Float] struct{ a, b mat.Tensor }

func (f *residualOp[T]) passes() {}

func (f *residualOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.a, f.b} }

func (f *residualOp[T]) Forward() (mat.Tensor, error) {
	rows, cols := dims(f.a)
	y := buffer[T](rows * cols)
	kernel.Add(y, values[T](f.a), values[T](f.b))
	return matrix(y, rows, cols), nil
}

func (f *residualOp[T]) Backward(gy mat.Tensor) error {
	pass[T](gy, f.a, f.b)
	return nil
}

// Share passes x on unchanged, as a node of its own.
//
// Spago adds the gradients of a tensor's consumers in the order in which
// goroutines finish, so with three or more consumers the last bits of the sum
// would vary from run to run. A tensor that many blocks read is therefore
// handed down a chain: block i reads x_i, and x_{i+1} = Share(x_i). Each link
// has two consumers, whose sum does not depend on the order.
func Share(x mat.Tensor) mat.Tensor {
	if !wants(x) {
		return x
	}
	if isFloat64(x) {
		return Apply(&shareOp[float64]{x})
	}
	return Apply(&shareOp[float32]{x})
}

type shareOp[T kernel.Float] struct{ x mat.Tensor }

func (f *shareOp[T]) passes()                      {}
func (f *shareOp[T]) shares()                      {}
func (f *shareOp[T]) Operands() []mat.Tensor       { return []mat.Tensor{f.x} }
func (f *shareOp[T]) Backward(gy mat.Tensor) error { pass[T](gy, f.x); return nil }

func (f *shareOp[T]) Forward() (mat.Tensor, error) {
	// A matrix of its own over the same elements: it has its own gradient.
	rows, cols := dims(f.x)
	return matrix(values[T](f.x), rows, cols), nil
}
