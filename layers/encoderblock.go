package layers

import (
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// EncoderBlock is a pre-norm transformer block of bidirectional self-attention
// and an MLP, without dropout:
//
//	h = x + Output(attention(Query(n), Key(n), Value(n)))  with n = Before(x)
//	y = h + Down(act(Up(After(h))))
type EncoderBlock struct {
	Before, After                       *LayerNorm
	Query, Key, Value, Output, Up, Down *Linear
	NumHeads                            int
	Act                                 Activation
}

// Whole takes x [rows, dim], the rows of packed sequences, to the same shape, a
// sequence at a time through all of the block: much faster than layer by
// layer, with the same bits. It returns nil where the layers are to be used:
// where a gradient is asked for, or any of them is not [BFloat16], or [Pack]
// has not packed its weight yet, or the machine has no products in bfloat16.
func (l *EncoderBlock) Whole(x mat.Tensor, sequences Offsets) mat.Tensor {
	linear := []*Linear{l.Query, l.Key, l.Value, l.Output, l.Up, l.Down}
	tensors := []mat.Tensor{x, l.Before.Weight, l.Before.Bias, l.After.Weight, l.After.Bias}
	for _, d := range linear {
		if d.Precision != BFloat16 {
			return nil
		}
		tensors = append(tensors, d.Weight, optional(d.Bias))
	}
	if isFloat64(x) || requiresGrad(tensors...) {
		return nil
	}
	dense := make([]kernel.Dense, len(linear))
	for i, d := range linear {
		packed := d.panels.again(d.Weight)
		if packed == nil {
			return nil
		}
		dense[i] = kernel.Dense{Weight: packed, Bias: values[float32](optional(d.Bias))}
	}
	rows, dim := dims(x)
	b := kernel.EncoderBlock{
		Heads: l.NumHeads, HeadDim: dim / l.NumHeads, Scale: 1 / math.Sqrt(float64(dim/l.NumHeads)),
		Eps: [2]float64{l.Before.Eps, l.After.Eps}, Act: l.Act,
		Query: dense[0], Key: dense[1], Value: dense[2], Output: dense[3], Up: dense[4], Down: dense[5],
	}
	for i, n := range []*LayerNorm{l.Before, l.After} {
		b.Gamma[i], b.Beta[i] = values[float32](n.Weight), values[float32](n.Bias)
	}
	if !b.Fits() {
		return nil
	}
	y := buffer[float32](rows * dim)
	b.Forward(y, values[float32](x), sequences.Spans())
	return matrix(y, rows, dim)
}
