package gpt2

import (
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Folded returns a model that computes the same, in which what scales the
// result of a cross-attention ([Gated], [LayerScale]) is part of the weight
// and bias of c_proj, as Hugging Face's class needs it. All other parameters
// are shared with m, which stays as it is. Without such a variant it is m.
func (m *Model) Folded() nn.Model {
	left := slices.DeleteFunc(slices.Clone(m.Config.CrossAttentionType), func(v Variant) bool { return v == Gated || v == LayerScale })
	if len(left) == len(m.Config.CrossAttentionType) {
		return m
	}
	folded, transformer := *m, *m.Transformer
	folded.Config.CrossAttentionType = left.normal()
	folded.Transformer, transformer.Blocks = &transformer, make([]*Block, len(m.Transformer.Blocks))
	for i, b := range m.Transformer.Blocks {
		block, cross := *b, *b.CrossAttention
		cross.config.CrossAttentionType = folded.Config.CrossAttentionType
		cross.CProj, cross.Output = scaled(cross.CProj, cross.Output.Factors(m.Config.Dim)), nil
		block.CrossAttention, transformer.Blocks[i] = &cross, &block
	}
	return &folded
}

// Extras names what the model has that Hugging Face's class has no place for;
// "" if there is nothing.
func (m *Model) Extras() string {
	if len(m.Config.CrossAttentionType) == 0 {
		return ""
	}
	return "a cross-attention that is " + m.Config.CrossAttentionType.String()
}

// scaled is a copy of a layer whose result is multiplied by factors.
func scaled(l *layers.Conv1D, factors []float64) *layers.Conv1D {
	return &layers.Conv1D{Weight: scaledParam(l.Weight, factors), Bias: scaledParam(l.Bias, factors), Precision: l.Precision}
}

// scaledParam is a copy of p in which element i is multiplied by factor i
// modulo their number.
func scaledParam(p *nn.Param, factors []float64) *nn.Param {
	if p == nil {
		return nil
	}
	value := p.Value().(mat.Matrix)
	data := slices.Clone(value.Data().F64())
	for i := range data {
		data[i] *= factors[i%len(factors)]
	}
	return (&nn.Param{Matrix: value.NewMatrix(mat.WithShape(p.Shape()...), mat.WithBacking(data))}).WithGrad(p.RequiresGrad())
}
