package gpt2

import (
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Block is a pre-norm transformer block: self-attention, cross-attention if
// the model has an encoder to look at, and a feed-forward part, each added to
// what came in.
type Block struct {
	nn.Module
	LN1            *layers.LayerNorm `param:"ln_1"`
	Attn           *SelfAttention    `param:"attn"`
	LNCrossAttn    *layers.LayerNorm `param:"ln_cross_attn"`  // nil without cross-attention
	CrossAttention *CrossAttention   `param:"crossattention"` // nil without cross-attention
	LN2            *layers.LayerNorm `param:"ln_2"`
	MLP            *MLP              `param:"mlp"`
}

// MLP is the feed-forward part.
type MLP struct {
	nn.Module
	CFC        *layers.Conv1D `param:"c_fc"`   // [D, inner]
	CProj      *layers.Conv1D `param:"c_proj"` // [inner, D]
	activation layers.Activation
	dropout    float64
}

func newBlock[T float.DType](c Config, layer int, act layers.Activation) *Block {
	b := &Block{
		LN1:  layers.NewLayerNorm[T](c.Dim, c.LayerNormEpsilon),
		Attn: newSelfAttention[T](c, layer),
		LN2:  layers.NewLayerNorm[T](c.Dim, c.LayerNormEpsilon),
		MLP: &MLP{
			CFC: layers.NewConv1D[T](c.Dim, c.Inner()), CProj: layers.NewConv1D[T](c.Inner(), c.Dim),
			activation: act, dropout: c.ResidualDropout,
		},
	}
	if c.AddCrossAttention {
		b.LNCrossAttn = layers.NewLayerNorm[T](c.Dim, c.LayerNormEpsilon)
		b.CrossAttention = newCrossAttention[T](c, layer)
	}
	return b
}

// decoding are the layers that decoding with a cache goes through, in this order.
func (b *Block) decoding() []*layers.Conv1D {
	all := []*layers.Conv1D{b.Attn.CAttn, b.Attn.CProj}
	if c := b.CrossAttention; c != nil {
		all = append(all, c.QAttn, c.CProj)
	}
	return append(all, b.MLP.CFC, b.MLP.CProj)
}

// Forward takes x [rows, D] to the same shape.
func (b *Block) Forward(x mat.Tensor, offsets layers.Offsets, past *layers.LayerKeyValues, seen seen, source layers.Source, random *layers.Random) mat.Tensor {
	h := b.LN1.Forward(x)
	y := b.Attn.Forward(x, h, offsets, past, random)
	layers.Drop(y, h)
	if !seen.nothing() {
		x, h = y, b.LNCrossAttn.Forward(y)
		y = b.CrossAttention.Forward(x, h, offsets, seen, source, past != nil, random)
		layers.Drop(y, x, h)
	}
	x, h = y, b.LN2.Forward(y)
	y = b.MLP.Forward(x, h, past != nil, random)
	layers.Drop(y, x, h)
	return y
}

// Forward adds to the residual what comes of x, both [rows, D].
func (m *MLP) Forward(residual, x mat.Tensor, decoding bool, random *layers.Random) mat.Tensor {
	return layers.MLP(residual, x, project(m.CFC, decoding), project(m.CProj, decoding), m.activation, m.dropout, random)
}
