package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Dropout sets each element to zero with probability p and scales the others
// by 1/(1-p). With a nil stream or p = 0 it returns x itself.
func Dropout(x mat.Tensor, p float64, random *Random) mat.Tensor {
	if p < 0 || p >= 1 {
		panic(fmt.Sprintf("layers: dropout probability %v is outside [0, 1)", p))
	}
	if random == nil || p == 0 {
		return x
	}
	seed := random.Next()
	if isFloat64(x) {
		return Apply(&dropoutOp[float64]{x: x, p: p, seed: seed})
	}
	return Apply(&dropoutOp[float32]{x: x, p: p, seed: seed})
}

type dropoutOp[T kernel.Float] struct {
	x    mat.Tensor
	p    float64
	seed uint64
}

func (f *dropoutOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *dropoutOp[T]) Forward() (mat.Tensor, error) {
	rows, cols := dims(f.x)
	return matrix(f.masked(values[T](f.x)), rows, cols), nil
}

func (f *dropoutOp[T]) Backward(gy mat.Tensor) error {
	accumulate(f.x, f.masked(values[T](gy)))
	return nil
}

func (f *dropoutOp[T]) masked(x []T) []T {
	y := buffer[T](len(x))
	threshold := uint64(f.p * (1 << 53))
	scale := T(1 / (1 - f.p))
	kernel.Parallel(len(x), 1<<14, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if mix(f.seed+uint64(i)*0x9e3779b97f4a7c15)>>11 >= threshold {
				y[i] = x[i] * scale
			} else {
				y[i] = 0
			}
		}
	})
	return y
}
