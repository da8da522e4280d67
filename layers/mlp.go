package layers

import "github.com/nlpodyssey/spago/mat"

// Affine is a linear layer with a fused activation: [Linear] or [Conv1D].
type Affine interface {
	Forward(x mat.Tensor, act Activation) mat.Tensor
}

// MLP is the feed-forward part of a transformer block: residual plus
// down(act(up(x))) with dropout, for x and residual [rows, dim].
func MLP(residual, x mat.Tensor, up, down Affine, act Activation, dropout float64, random *Random) mat.Tensor {
	h := up.Forward(x, act)
	y := AddTo(residual, h, down, dropout, random)
	Drop(y, h)
	return y
}
