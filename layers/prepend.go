package layers

import (
	"fmt"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Prepend puts the special tokens (each [1, dim]) before the rows of every
// sequence of x [rows, dim] and adds to sequence i its positions[i]
// [len(tokens) + rows of i, dim]: a vision transformer's embedding of patches.
// Sequences may share positions. It returns the new rows and their offsets;
// the error says which positions do not fit their sequence.
func Prepend(x mat.Tensor, offsets Offsets, tokens, positions []mat.Tensor) (mat.Tensor, Offsets, error) {
	rows, dim := dims(x)
	if offsets.Rows() != rows || offsets.Len() != len(positions) {
		panic(fmt.Sprintf("layers: prepend: %d rows and %d positions for offsets %v", rows, len(positions), offsets))
	}
	for _, t := range tokens {
		checkLen("prepend", "token", t, dim)
	}
	lengths := make([]int, offsets.Len())
	for i, p := range positions {
		lengths[i] = len(tokens) + offsets[i+1] - offsets[i]
		if n, d := dims(p); n != lengths[i] || d != dim {
			return nil, nil, fmt.Errorf("position embeddings are %v, but sequence %d has %d rows of %d", p.Shape(), i, lengths[i], dim)
		}
	}
	out := OffsetsOf(lengths...)
	if isFloat64(x) {
		return Apply(&prependOp[float64]{x, offsets, out, tokens, positions}), out, nil
	}
	return Apply(&prependOp[float32]{x, offsets, out, tokens, positions}), out, nil
}

type prependOp[T kernel.Float] struct {
	x         mat.Tensor
	in, out   Offsets
	tokens    []mat.Tensor
	positions []mat.Tensor // of each sequence
}

func (f *prependOp[T]) Operands() []mat.Tensor {
	ops := append([]mat.Tensor{f.x}, f.tokens...)
	for _, p := range f.positions {
		if !slices.Contains(ops, p) {
			ops = append(ops, p)
		}
	}
	return ops
}

func (f *prependOp[T]) Forward() (mat.Tensor, error) {
	_, dim := dims(f.x)
	x, y := values[T](f.x), buffer[T](f.out.Rows()*dim)
	for i, p := range f.positions {
		to := y[f.out[i]*dim : f.out[i+1]*dim]
		for j, t := range f.tokens {
			copy(to[j*dim:], values[T](t))
		}
		copy(to[len(f.tokens)*dim:], x[f.in[i]*dim:f.in[i+1]*dim])
		kernel.Add(to, to, values[T](p))
	}
	return matrix(y, f.out.Rows(), dim), nil
}

func (f *prependOp[T]) Backward(gy mat.Tensor) error {
	_, dim := dims(f.x)
	g, special := values[T](gy), len(f.tokens)
	ops := f.Operands()
	grads := map[mat.Tensor][]T{}
	for _, x := range ops {
		grads[x] = gradient[T](x)
	}
	for i, p := range f.positions {
		from := g[f.out[i]*dim : f.out[i+1]*dim]
		for j, t := range f.tokens {
			if d := grads[t]; d != nil {
				kernel.Axpy(1, from[j*dim:(j+1)*dim], d)
			}
		}
		if d := grads[f.x]; d != nil {
			copy(d[f.in[i]*dim:f.in[i+1]*dim], from[special*dim:])
		}
		if d := grads[p]; d != nil {
			kernel.Axpy(1, from, d)
		}
	}
	for _, x := range ops {
		accumulate(x, grads[x])
	}
	return nil
}
