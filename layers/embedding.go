package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Embedding is a table of vectors, one for each id.
type Embedding struct {
	nn.Module
	Weight *nn.Param `param:"weight"` // [size, dim]

	head *PackedHead // see Pack
}

// Head is what is kept of the table as the head of a language model, nil
// without [Pack].
func (l *Embedding) Head() *PackedHead { return l.head }

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
	if l.head.packed() && !l.Weight.RequiresGrad() && heldBy(l.Weight) == nil {
		_, dim := dims(l.Weight)
		y := buffer[float32](len(ids) * dim)
		mmap.CopyRows(y, values[float32](l.Weight), ids, dim)
		return matrix(y, len(ids), dim)
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
	return Unfold(x, rows, 1)
}

// Unfold puts rows of x [n, dim] side by side, each new row made of the next
// side of the given ones, which may repeat: [len(rows)/side, side·dim]. A row
// of -1 gives zeros. With a [Linear] after it, it is a convolution: the rows
// are those of each position's neighbours, and -1 pads.
func Unfold(x mat.Tensor, rows []int, side int) mat.Tensor {
	if side < 1 || len(rows)%side != 0 {
		panic(fmt.Sprintf("layers: %d rows do not divide into rows of %d side by side", len(rows), side))
	}
	if isFloat64(x) {
		return Apply(&unfoldOp[float64]{x, rows, side})
	}
	return Apply(&unfoldOp[float32]{x, rows, side})
}

type unfoldOp[T kernel.Float] struct {
	x    mat.Tensor
	rows []int
	side int
}

func (f *unfoldOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *unfoldOp[T]) Forward() (mat.Tensor, error) {
	_, dim := dims(f.x)
	x, y := values[T](f.x), buffer[T](len(f.rows)*dim)
	for i, r := range f.rows {
		to := y[i*dim : (i+1)*dim]
		if r < 0 {
			clear(to)
		} else {
			copy(to, x[r*dim:])
		}
	}
	return matrix(y, len(f.rows)/f.side, f.side*dim), nil
}

func (f *unfoldOp[T]) Backward(gy mat.Tensor) error {
	_, dim := dims(f.x)
	g, dx := values[T](gy), gradient[T](f.x)
	for i, r := range f.rows {
		if r >= 0 {
			kernel.Axpy(1, g[i*dim:(i+1)*dim], dx[r*dim:(r+1)*dim])
		}
	}
	accumulate(f.x, dx)
	return nil
}
