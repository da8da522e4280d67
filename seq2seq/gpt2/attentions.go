package gpt2

import "github.com/ekphrasis-ml/ekphrasis/layers"

// CrossAttentions returns how each token looked at the encoder's rows:
// for each sequence and block the probabilities [heads, tokens, source rows].
// The errors are those of [Model.Decode].
func (m *Model) CrossAttentions(tokens layers.Tokens, source layers.Source) ([][][]float32, error) {
	if err := m.Check(tokens, nil); err != nil {
		return nil, err
	}
	n := tokens.Offsets.Len()
	look, source := m.look(source, nil, n)
	out := make([][][]float32, n)
	x := m.embed(tokens, nil, nil)
	for i, b := range m.Transformer.Blocks {
		x = b.Attn.Forward(x, b.LN1.Forward(x), tokens.Offsets, nil, nil)
		h := b.LNCrossAttn.Forward(x)
		k, _, o := b.CrossAttention.look(b.CrossAttention.KeyValues(source.States), tokens.Offsets, source)
		q := layers.Columns{X: b.CrossAttention.Queries(h, false)}
		for s := range n {
			out[s] = append(out[s], layers.AttentionWeights(q, k, o, s))
		}
		x = b.CrossAttention.Forward(x, h, tokens.Offsets, look(i), source, false, nil)
		x = b.MLP.Forward(x, b.LN2.Forward(x), false, nil)
	}
	return out, nil
}
