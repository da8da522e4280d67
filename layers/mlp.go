package layers

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Affine is a linear layer with a fused activation: [Linear] or [Conv1D].
type Affine interface {
	Forward(x mat.Tensor, act Activation) mat.Tensor
}

// MLP is the feed-forward part of a transformer block: residual plus
// down(act(up(x))) with dropout, for x and residual [rows, dim].
func MLP(residual, x mat.Tensor, up, down Affine, act Activation, dropout float64, random *Random) mat.Tensor {
	if y := wholeMLP(residual, x, up, down, act, dropout); y != nil {
		return y
	}
	h := up.Forward(x, act)
	y := AddTo(residual, h, down, dropout, random)
	Drop(y, h)
	return y
}

// wholeMLP is MLP without a graph, for many rows: the hidden layer's, often a
// multiple of 4 KB long, are [kernel.RowStride] apart, as products would copy
// them first if they were next to each other. It returns nil where the layers
// are to be used.
func wholeMLP(residual, x mat.Tensor, up, down Affine, act Activation, dropout float64) mat.Tensor {
	o, ok := manyRows(up, down)
	if !ok || dropout > 0 || isFloat64(x) || requiresGrad(residual, x, o[0].w, o[0].b, o[1].w, o[1].b) {
		return nil
	}
	first := newAffine[float32](x, o[0])
	in, out := o[1].sides()
	if rows, width := dims(residual); rows != first.rows || width != out || in != first.out {
		return nil // a layer says what is wrong
	}
	apart := kernel.RowStride(first.out)
	h, y := buffer[float32](first.rows*apart), buffer[float32](residual.Size())
	defer giveBack(h)
	multiply(o[0], false, first.rows, values[float32](x), first.in, h, apart, &kernel.Epilogue[float32]{Bias: values[float32](o[0].b), Activation: act})
	multiply(o[1], false, first.rows, h, apart, y, out, &kernel.Epilogue[float32]{Bias: values[float32](o[1].b), Residual: values[float32](residual)})
	return matrix(y, first.rows, out)
}

// manyRows are the options of layers that multiply many rows with their weights
// as they are.
func manyRows(ls ...Affine) (o []affineOptions, ok bool) {
	for _, l := range ls {
		switch l := l.(type) {
		case *Linear:
			o = append(o, l.options())
		case *Conv1D:
			o = append(o, l.options())
		default:
			return nil, false
		}
		if heldBy(o[len(o)-1].w) != nil {
			return nil, false
		}
	}
	return o, true
}
