package gpt2

import (
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
)

// Assistant returns a model for generate.Options.AssistantModel, which guesses
// what m will say, nearly always rightly: m with the weights that decoding
// reads for every token rounded as [Model.Hold] does in [layers.Int8]. They
// take a quarter of the memory that m's take; all else is shared. Make it after
// Hold, and anew once m has been trained further.
func (m *Model) Assistant() generate.Decoder {
	a, transformer := *m, *m.Transformer
	a.LMHead, a.Transformer, transformer.Blocks = layers.HoldInt8(m.head(), true), &transformer, make([]*Block, len(m.Transformer.Blocks))
	for i, b := range m.Transformer.Blocks {
		block, self, mlp := *b, *b.Attn, *b.MLP
		self.CAttn, self.CProj = rounded(self.CAttn), rounded(self.CProj)
		mlp.CFC, mlp.CProj = rounded(mlp.CFC), rounded(mlp.CProj)
		block.Attn, block.MLP = &self, &mlp
		if b.CrossAttention != nil {
			cross := *b.CrossAttention
			cross.QAttn, cross.CProj = rounded(cross.QAttn), rounded(cross.CProj)
			block.CrossAttention = &cross
		}
		transformer.Blocks[i] = &block
	}
	a.order()
	return &a
}

// rounded is a layer with its weight held in int8.
func rounded(l *layers.Conv1D) *layers.Conv1D {
	return &layers.Conv1D{Weight: layers.HoldInt8(l.Weight, false), Bias: l.Bias}
}

// NewCacheWith is [Model.NewCache] for sequences that look at the same source
// as those of another cache. If that is of a model which makes the same keys
// and values of the encoder's states, as m and its [Model.Assistant] do, they
// are taken from there.
func (m *Model) NewCacheWith(sequences int, other layers.Cache) layers.Cache {
	c := m.NewCache(sequences).(*Cache)
	if o, ok := other.(*Cache); ok && o.cross != nil && m.sees(o.model) {
		c.cross, c.lent, c.source = o.cross, true, o.source
	}
	return c
}

// sees reports whether m makes the keys and values of the encoder's states
// that the other model makes.
func (m *Model) sees(other *Model) bool {
	if len(m.Transformer.Blocks) != len(other.Transformer.Blocks) || !m.Config.AddCrossAttention || !other.Config.AddCrossAttention {
		return false
	}
	for i, b := range m.Transformer.Blocks {
		if x, y := b.CrossAttention, other.Transformer.Blocks[i].CrossAttention; x.CAttn != y.CAttn || x.Norm != y.Norm {
			return false
		}
	}
	return true
}
