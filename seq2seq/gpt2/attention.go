package gpt2

import (
	"math"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// SelfAttention is causal attention among the tokens of a sequence.
type SelfAttention struct {
	nn.Module
	CAttn  *layers.Conv1D `param:"c_attn"` // queries, keys, values side by side: [D, 3D]
	CProj  *layers.Conv1D `param:"c_proj"` // [D, D]
	config Config
	scale  float64
}

// CrossAttention lets tokens look at the encoder's states. What it may have
// beyond Hugging Face's is described with [Variant].
type CrossAttention struct {
	nn.Module
	CAttn  *layers.Conv1D       `param:"c_attn"`  // keys and values of the encoder's states: [D, 2D]
	QAttn  *layers.Conv1D       `param:"q_attn"`  // queries: [D, D]
	CProj  *layers.Conv1D       `param:"c_proj"`  // [D, D]
	Norm   *layers.QueryKeyNorm `param:"qk_gain"` // of queries and keys, or nil
	Output Output               `param:""`        // what the result is scaled by, or nil
	config Config
	scale  float64
}

// attentionScale is the factor of the scores in block layer.
func (c Config) attentionScale(layer int) float64 {
	scale := 1.0
	if c.ScaleAttnWeights {
		scale = 1 / math.Sqrt(float64(c.Dim/c.NumHeads))
	}
	if c.ScaleAttnByInverseLayerIdx {
		scale /= float64(layer + 1)
	}
	return scale
}

func newSelfAttention[T float.DType](c Config, layer int) *SelfAttention {
	return &SelfAttention{
		CAttn: layers.NewConv1D[T](c.Dim, 3*c.Dim), CProj: layers.NewConv1D[T](c.Dim, c.Dim),
		config: c, scale: c.attentionScale(layer),
	}
}

func newCrossAttention[T float.DType](c Config, layer int) *CrossAttention {
	return &CrossAttention{
		CAttn: layers.NewConv1D[T](c.Dim, 2*c.Dim), QAttn: layers.NewConv1D[T](c.Dim, c.Dim), CProj: layers.NewConv1D[T](c.Dim, c.Dim),
		Norm: newNorm[T](c), Output: newOutput[T](c),
		config: c, scale: c.attentionScale(layer),
	}
}

// Forward adds to the residual what x sees of x, both [rows, D]. With a cache,
// the sequences also see the tokens in it, and theirs are added to it.
func (a *SelfAttention) Forward(residual, x mat.Tensor, offsets layers.Offsets, cache *layers.LayerKeyValues, random *layers.Random) mat.Tensor {
	d := a.config.Dim
	qkv := project(a.CAttn, cache != nil).Forward(x, layers.Identity)
	q, k, v := layers.Columns{X: qkv}, layers.Columns{X: qkv, From: d}, layers.Columns{X: qkv, From: 2 * d}
	query := offsets.Spans()
	source, rows := query, []int(nil)
	if cache != nil {
		cache.Append(k)
		k, v, source, rows = cache.All()
	}
	out := layers.Attention(q, k, v, layers.AttentionOptions{
		NumHeads: a.config.NumHeads, Dim: d, Scale: a.scale, Causal: true,
		Query: query, Source: source, SourceRows: rows,
		Dropout: a.config.AttentionDropout, Random: random,
	})
	y := layers.AddTo(residual, out, project(a.CProj, cache != nil), a.config.ResidualDropout, random)
	layers.Drop(y, qkv, out)
	return y
}

// project is a layer as it is used in decoding with a cache, or otherwise.
func project(l *layers.Conv1D, decoding bool) layers.Affine {
	if decoding {
		return l.Few()
	}
	return l
}

// Queries are made of x [rows, D]: [rows, D].
func (a *CrossAttention) Queries(x mat.Tensor, decoding bool) mat.Tensor {
	q := project(a.QAttn, decoding).Forward(x, layers.Identity)
	if a.Norm != nil {
		q = a.Norm.Queries(q)
	}
	return q
}

// KeyValues projects the encoder's states [rows, D] to keys and values side
// by side [rows, 2D]: once for all sequences and steps that look at them.
func (a *CrossAttention) KeyValues(states mat.Tensor) mat.Tensor {
	kv := a.CAttn.Forward(states, layers.Identity)
	if a.Norm != nil {
		projected := kv
		kv = a.Norm.Keys(projected)
		layers.Drop(kv, projected)
	}
	return kv
}

// Forward adds to the residual what x sees of the source, both [rows, D].
// decoding says that the rows are the newest tokens of cached sequences.
func (a *CrossAttention) Forward(residual, x mat.Tensor, offsets layers.Offsets, seen seen, source layers.Source, decoding bool, random *layers.Random) mat.Tensor {
	q := a.Queries(x, decoding)
	out := a.attend(layers.Columns{X: q}, offsets, seen, source, random)
	project := project(a.CProj, decoding)
	if a.Output == nil {
		y := layers.AddTo(residual, out, project, a.config.ResidualDropout, random)
		layers.Drop(y, q, out)
		return y
	}
	out = a.Output.Forward(project.Forward(out, layers.Identity))
	return layers.Residual(residual, layers.Dropout(out, a.config.ResidualDropout, random))
}

func (a *CrossAttention) attend(q layers.Columns, offsets layers.Offsets, seen seen, source layers.Source, random *layers.Random) mat.Tensor {
	kv := seen.keyValues
	if kv == nil && a.Norm != nil && seen.keys == nil {
		kv = a.KeyValues(seen.states)
	}
	k, v, o := a.look(kv, offsets, source)
	o.Dropout, o.Random = a.config.AttentionDropout, random
	if seen.keys != nil && (kv == nil || !q.X.RequiresGrad()) {
		return layers.AttentionTo(q, seen.keys, o)
	}
	if kv == nil {
		o.States = seen.shared
		return layers.CrossAttention(q, seen.states, a.CAttn, o)
	}
	return layers.Attention(q, k, v, o)
}

// seen is what a cross-attention looks at: the encoder's states, or the keys
// and values that it made of them before. Without any there is nothing.
type seen struct {
	states, keyValues mat.Tensor
	shared            *layers.States // those that all blocks look at
	keys              *layers.Keys   // the keys and values in order, if no gradient of theirs is asked for
}

// see makes keys and values for many steps of decoding.
func (a *CrossAttention) see(source layers.Source) seen {
	kv := a.KeyValues(source.States)
	if kv.RequiresGrad() {
		return seen{keyValues: kv}
	}
	k, v, o := a.look(kv, nil, source)
	if a.CAttn.Precision != layers.Float32 {
		o.Precision = layers.BFloat16
	}
	keys := layers.PackKeys(k, v, o)
	if !a.QAttn.Held() { // a gradient of the queries may be asked for
		return seen{keyValues: kv, keys: keys}
	}
	layers.Drop(nil, kv)
	return seen{keys: keys}
}

func (s seen) nothing() bool { return s.states == nil && s.keyValues == nil && s.keys == nil }

func (a *CrossAttention) look(kv mat.Tensor, offsets layers.Offsets, source layers.Source) (k, v layers.Columns, o layers.AttentionOptions) {
	return layers.Columns{X: kv}, layers.Columns{X: kv, From: a.config.Dim}, layers.AttentionOptions{
		NumHeads: a.config.NumHeads, Dim: a.config.Dim, Scale: a.scale,
		Query: offsets.Spans(), Source: source.Offsets.Spans(), Of: source.Of,
	}
}
