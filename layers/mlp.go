package layers

import "github.com/nlpodyssey/spago/mat"

// Affine is a linear layer with a fused activation: [Linear] or [Conv1D].
type Affine interface {
	Forward(x mat.Tensor, act Activation) mat.Tensor
}

// MLP is the feed-forward part of a transformer block, down(act(up(x))), with
// dropout on the result. It takes x [rows, dim] to the same shape.
func MLP(x mat.Tensor, up, down Affine, act Activation, dropout float64, random *Random) mat.Tensor {
	h := up.Forward(x, act)
	y := down.Forward(h, Identity)
	Drop(y, h)
	return Dropout(y, dropout, random)
}
