// Package vit is the Vision Transformer (Dosovitskiy et al., 2020,
// arXiv:2010.11929), and DeiT with its distillation token (Touvron et al.,
// 2020, arXiv:2012.12877), with the parameters of Hugging Face's ViTModel and
// DeiTModel.
//
// [Load] reads a checkpoint folder and [New] makes a model from a [Config].
// [Model.Encode] turns a batch of pictures, each prepared by a
// [vision.Processor], into packed states: for each picture a row for the
// class token (for DeiT another for distillation) and one for each patch. The
// pictures of a batch may differ in size; position embeddings are then
// interpolated.
package vit

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Model is a ViT encoder. Shapes: D is the hidden size, N the patches of all
// pictures plus their special tokens.
type Model struct {
	nn.Module
	Config     Config
	Embeddings *Embeddings       `param:"embeddings"`
	Layers     []*Layer          `param:"encoder.layer"`
	LayerNorm  *layers.LayerNorm `param:"layernorm"`
	// Pooler is not used: checkpoints have one, so it is carried along.
	Pooler *layers.Linear `param:"pooler.dense"`
}

// Layer is one pre-norm transformer block.
type Layer struct {
	nn.Module
	Config          Config
	Query           *layers.Linear    `param:"attention.attention.query"`
	Key             *layers.Linear    `param:"attention.attention.key"`
	Value           *layers.Linear    `param:"attention.attention.value"`
	AttentionOutput *layers.Linear    `param:"attention.output.dense"`
	Intermediate    *layers.Linear    `param:"intermediate.dense"`
	Output          *layers.Linear    `param:"output.dense"`
	LayerNormBefore *layers.LayerNorm `param:"layernorm_before"`
	LayerNormAfter  *layers.LayerNorm `param:"layernorm_after"`
}

// New returns a model whose weights are drawn as Hugging Face draws them:
// normal with Config.InitializerRange, biases 0. With a nil random they are
// all 0, to be read from a file. Element type T is float32
// but for gradient checks.
func New[T float.DType](c Config, random *layers.Random) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	m := &Model{
		Config:     c,
		Embeddings: newEmbeddings[T](c),
		LayerNorm:  layers.NewLayerNorm[T](c.HiddenSize, c.LayerNormEps),
		Pooler:     layers.NewLinear[T](c.HiddenSize, c.HiddenSize, true),
	}
	for range c.NumHiddenLayers {
		d := c.HiddenSize
		m.Layers = append(m.Layers, &Layer{
			Config:          c,
			Query:           layers.NewLinear[T](d, d, c.QKVBias),
			Key:             layers.NewLinear[T](d, d, c.QKVBias),
			Value:           layers.NewLinear[T](d, d, c.QKVBias),
			AttentionOutput: layers.NewLinear[T](d, d, true),
			Intermediate:    layers.NewLinear[T](d, c.IntermediateSize, true),
			Output:          layers.NewLinear[T](c.IntermediateSize, d, true),
			LayerNormBefore: layers.NewLayerNorm[T](d, c.LayerNormEps),
			LayerNormAfter:  layers.NewLayerNorm[T](d, c.LayerNormEps),
		})
	}
	m.initialize(random)
	return m, nil
}

// initialize draws what has more than one dimension; biases stay 0 and the
// weights of layer norms 1.
func (m *Model) initialize(random *layers.Random) {
	if random == nil {
		return
	}
	for _, p := range layers.Parameters(m) {
		if len(p.Shape) > 1 {
			layers.InitNormal(p.Value, m.Config.InitializerRange, random)
		}
	}
}

// Dim is the width of the states.
func (m *Model) Dim() int { return m.Config.HiddenSize }

// partRows bounds the rows of the pictures that go through the model at once when no gradient is asked for: 8 pictures of 224
// pixels in patches of 16. More are no faster, and memory would grow with them.
const partRows = 1600

// Encode returns the states of each picture, [N, D]. random is the stream
// for dropout, nil in evaluation.
//
// Without dropout and gradients, large batches are encoded in parts, so that only
// pixels and states grow with the batch; the states keep their bits.
func (m *Model) Encode(pictures []vision.Pixels, random *layers.Random) (layers.Packed, error) {
	if err := m.Embeddings.check(pictures); err != nil {
		return layers.Packed{}, err
	}
	if _, trained := layers.Count(m); trained > 0 || random != nil {
		return m.encode(pictures, random)
	}
	var parts []layers.Packed
	for _, n := range m.parts(pictures) {
		part, err := m.encode(pictures[:n], nil)
		if err != nil {
			return layers.Packed{}, err
		}
		parts, pictures = append(parts, part), pictures[n:]
	}
	return layers.Join(parts...), nil
}

// parts divides pictures, in order, into as few parts as partRows lets, of
// about as many rows each.
func (m *Model) parts(pictures []vision.Pixels) (lengths []int) {
	total := 0
	for _, p := range pictures {
		total += m.rows(p)
	}
	want := max(1, (total+partRows-1)/partRows)
	before, length := 0, 0
	for _, p := range pictures {
		// A new part, unless the picture's middle lies in this one.
		if middle := before + m.rows(p)/2; length > 0 && middle*want >= (len(lengths)+1)*total {
			lengths, length = append(lengths, length), 0
		}
		before, length = before+m.rows(p), length+1
	}
	return append(lengths, length)
}

// rows of a picture's states.
func (m *Model) rows(p vision.Pixels) int {
	special, rows, cols := m.Grid(p.Height, p.Width)
	return special + rows*cols
}

// encode takes the pictures through the model at once.
func (m *Model) encode(pictures []vision.Pixels, random *layers.Random) (layers.Packed, error) {
	x, offsets, err := m.Embeddings.forward(pictures)
	if err != nil {
		return layers.Packed{}, err
	}
	x = layers.Dropout(x, m.Config.HiddenDropout, random)
	for _, layer := range m.Layers {
		y := layer.Forward(x, offsets, random)
		layers.Drop(y, x)
		x = y
	}
	y := m.LayerNorm.Forward(x)
	layers.Drop(y, x)
	return layers.Packed{States: y, Offsets: offsets}, nil
}

// HiddenStates returns what enters the first layer and what leaves each, all
// [N, D], before the final layer norm.
func (m *Model) HiddenStates(pictures []vision.Pixels) ([]mat.Tensor, error) {
	if err := m.Embeddings.check(pictures); err != nil {
		return nil, err
	}
	x, offsets, err := m.Embeddings.forward(pictures)
	if err != nil {
		return nil, err
	}
	states := []mat.Tensor{x}
	for _, layer := range m.Layers {
		x = layer.Forward(x, offsets, nil)
		states = append(states, x)
	}
	return states, nil
}

// Forward takes x [N, D] to the same shape.
func (l *Layer) Forward(x mat.Tensor, offsets layers.Offsets, random *layers.Random) mat.Tensor {
	act, err := layers.ParseActivation(l.Config.HiddenAct)
	if err != nil {
		panic("vit: " + err.Error())
	}
	if random == nil {
		if y := l.block(act).Whole(x, offsets); y != nil {
			return y
		}
	}
	h := l.LayerNormBefore.Forward(x)
	y := l.attend(x, h, offsets, random)
	layers.Drop(y, h)
	h = l.LayerNormAfter.Forward(y)
	z := layers.MLP(y, h, l.Intermediate, l.Output, act, l.Config.HiddenDropout, random)
	layers.Drop(z, h, y)
	return z
}

// block is the layer as a whole.
func (l *Layer) block(act layers.Activation) *layers.EncoderBlock {
	return &layers.EncoderBlock{
		Before: l.LayerNormBefore, After: l.LayerNormAfter,
		Query: l.Query, Key: l.Key, Value: l.Value, Output: l.AttentionOutput, Up: l.Intermediate, Down: l.Output,
		NumHeads: l.Config.NumAttentionHeads, Act: act,
	}
}

// attend adds to x bidirectional self-attention within each picture to h,
// which is x normalised.
func (l *Layer) attend(x, h mat.Tensor, offsets layers.Offsets, random *layers.Random) mat.Tensor {
	// Queries, keys and values read h; the chain keeps the sum of their
	// gradients the same from run to run.
	hk := layers.Share(h)
	hv := layers.Share(hk)
	q := l.Query.Forward(h, layers.Identity)
	k := l.Key.Forward(hk, layers.Identity)
	v := l.Value.Forward(hv, layers.Identity)
	spans := offsets.Spans()
	out := layers.Attention(layers.Columns{X: q}, layers.Columns{X: k}, layers.Columns{X: v}, layers.AttentionOptions{
		NumHeads: l.Config.NumAttentionHeads, Dim: l.Config.HiddenSize,
		Query: spans, Source: spans, Precision: l.Query.Precision,
		Dropout: l.Config.AttentionDropout, Random: random,
	})
	y := layers.AddTo(x, out, l.AttentionOutput, l.Config.HiddenDropout, random)
	layers.Drop(y, out, q, k, v)
	return y
}

// Grid tells how the states of a picture of the given size in pixels are laid
// out: special tokens first, then the patches row by row.
func (m *Model) Grid(height, width int) (special, rows, cols int) {
	rows, cols = m.Config.grid(height, width)
	return len(m.Embeddings.special()), rows, cols
}
