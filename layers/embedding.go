package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Embedding is a table of vectors, one for each id.
type Embedding struct {
	nn.Module
	Weight *nn.Param `param:"weight"` // [size, dim]
}

// NewEmbedding returns a table of zeros.
func NewEmbedding[T float.DType](size, dim int) *Embedding {
	return &Embedding{Weight: Zeros[T](size, dim)}
}

// Forward looks up the ids: [len(ids), dim]. An id outside the table panics;
// check ids that come from a user with [Embedding.Check].
func (l *Embedding) Forward(ids []int) mat.Tensor {
	if err := l.Check(ids); err != nil {
		panic("layers: " + err.Error())
	}
	return Gather(l.Weight, ids)
}

// Check returns an error that names the first id outside the table.
func (l *Embedding) Check(ids []int) error {
	size, _ := dims(l.Weight)
	for i, id := range ids {
		if id < 0 || id >= size {
			return fmt.Errorf("id %d at position %d is outside the embedding table of %d entries", id, i, size)
		}
	}
	return nil
}

// Gather returns the given rows of x [n, dim], which may repeat:
// [len(rows), dim].
func Gather(x mat.Tensor, rows []int) mat.Tensor {
	if h := heldBy(x); h != nil && h.transposed {
		return h.gather(rows)
	}
	if isFloat64(x) {
		return Apply(&gatherOp[float64]{x, rows})
	}
	return Apply(&gatherOp[float32]{x, rows})
}

type gatherOp[T kernel.Float] struct {
	w   mat.Tensor
	ids []int
}

func (f *gatherOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.w} }

func (f *gatherOp[T]) Forward() (mat.Tensor, error) {
	_, dim := dims(f.w)
	w, y := values[T](f.w), buffer[T](len(f.ids)*dim)
	for i, id := range f.ids {
		copy(y[i*dim:(i+1)*dim], w[id*dim:])
	}
	return matrix(y, len(f.ids), dim), nil
}

func (f *gatherOp[T]) Backward(gy mat.Tensor) error {
	_, dim := dims(f.w)
	g, dw := values[T](gy), gradient[T](f.w)
	for i, id := range f.ids {
		kernel.Axpy(1, g[i*dim:(i+1)*dim], dw[id*dim:(id+1)*dim])
	}
	accumulate(f.w, dw)
	return nil
}
