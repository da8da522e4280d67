// Package gpt2 is GPT-2 (Radford et al., 2019) as a language model and, with
// cross-attention in every block, as the decoder of an encoder-decoder, with
// the parameters of Hugging Face's GPT2LMHeadModel.
//
// [Load] reads a checkpoint folder and [New] makes a model from a [Config].
// [Model.Decode] turns packed token sequences into hidden states; the LM head
// is the token embedding itself ([Model.Head]). A key/value cache goes in and
// comes out: see [Model.NewCache].
package gpt2

import (
	"fmt"
	"math"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Model is a GPT-2 with its LM head. D is Config.Dim.
type Model struct {
	nn.Module
	Config      Config
	Transformer *Transformer `param:"transformer"`
	// LMHead [vocabulary, D] is nil when it is tied to the token embedding.
	LMHead *nn.Param `param:"lm_head.weight"`
}

// Transformer is the model without its head.
type Transformer struct {
	nn.Module
	WTE    *layers.Embedding `param:"wte"` // tokens [vocabulary, D]
	WPE    *layers.Embedding `param:"wpe"` // positions [n_positions, D]
	Blocks []*Block          `param:"h"`
	LNF    *layers.LayerNorm `param:"ln_f"`
}

// New returns a model whose weights are drawn as Hugging Face draws them:
// normal with Config.InitializerRange, the c_proj weights scaled down by
// sqrt(2·n_layer), biases 0. With a nil random they are all 0, to be read from
// a file.
func New[T float.DType](c Config, random *layers.Random) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("gpt2: %w", err)
	}
	act, err := layers.ParseActivation(c.ActivationFunction)
	if err != nil {
		return nil, fmt.Errorf("gpt2: activation_function: %w", err)
	}
	m := &Model{Config: c, Transformer: &Transformer{
		WTE: layers.NewEmbedding[T](c.VocabSize, c.Dim),
		WPE: layers.NewEmbedding[T](c.NumPositions, c.Dim),
		LNF: layers.NewLayerNorm[T](c.Dim, c.LayerNormEpsilon),
	}}
	for i := range c.NumLayers {
		m.Transformer.Blocks = append(m.Transformer.Blocks, newBlock[T](c, i, act))
	}
	if !c.TieWordEmbeddings {
		m.LMHead = layers.Zeros[T](c.VocabSize, c.Dim)
	}
	if random != nil {
		m.initialize(random, func(string) bool { return true })
	}
	return m, nil
}

// initialize draws the weights whose names are chosen.
func (m *Model) initialize(random *layers.Random, chosen func(name string) bool) {
	for _, p := range layers.Parameters(m) {
		if len(p.Shape) < 2 || !chosen(p.Name) {
			continue
		}
		std := m.Config.InitializerRange
		if strings.HasSuffix(p.Name, "c_proj.weight") {
			std /= math.Sqrt(2 * float64(m.Config.NumLayers))
		}
		layers.InitNormal(p.Value, std, random)
	}
}

// Dim is the width of the hidden states.
func (m *Model) Dim() int { return m.Config.Dim }

// VocabSize is the number of tokens.
func (m *Model) VocabSize() int { return m.Config.VocabSize }

// MaxLength is the number of positions that the model knows.
func (m *Model) MaxLength() int { return m.Config.NumPositions }

// Head is the weight of the LM head [vocabulary, D], which has no bias.
func (m *Model) Head() mat.Tensor { return m.head() }

func (m *Model) head() *nn.Param {
	if m.LMHead != nil {
		return m.LMHead
	}
	return m.Transformer.WTE.Weight
}

// PackedHead is what [layers.Pack] keeps of the head, nil if that is nothing.
func (m *Model) PackedHead() *layers.PackedHead {
	if m.LMHead != nil {
		return nil
	}
	return m.Transformer.WTE.Head()
}

// SetDropout replaces the three dropout probabilities of the configuration.
func (m *Model) SetDropout(p float64) {
	m.Config.ResidualDropout, m.Config.EmbeddingDropout, m.Config.AttentionDropout = p, p, p
	for _, b := range m.Transformer.Blocks {
		b.MLP.dropout = p
		b.Attn.config = m.Config
		if b.CrossAttention != nil {
			b.CrossAttention.config = m.Config
		}
	}
}

// Hold brings the weights that decoding with a cache reads for every token
// into the order in which it reads them, in the given precision, as
// [layers.Conv1D.Hold] does. A loss takes them as they are then held, and so
// does what is saved. The weights that make keys and values, which are needed
// once for each input, are kept as [layers.Pack] keeps them. The model can then
// no longer be trained.
func (m *Model) Hold(p layers.Precision) {
	// The head is the largest: the first, it is in memory in both orders before the others are.
	layers.Hold(m.head(), true, p)
	for _, b := range m.Transformer.Blocks {
		for _, l := range b.decoding() {
			l.Hold(p)
		}
		if b.CrossAttention != nil {
			layers.Pack(b.CrossAttention.CAttn)
		}
	}
	m.order()
}

// order tells in which order decoding reads the weights that are held.
func (m *Model) order() {
	var weights []*nn.Param
	for _, b := range m.Transformer.Blocks {
		for _, l := range b.decoding() {
			weights = append(weights, l.Weight)
		}
	}
	layers.InOrder(append(weights, m.head())...)
}

// Cache is GPT-2's memory of the tokens it has seen and of the encoder's keys
// and values.
type Cache struct {
	self   *layers.KeyValues
	cross  []seen // of each block; nil before the first call
	lent   bool   // cross is another cache's
	source layers.Source
	model  *Model
}

// NewCache returns an empty cache for a number of sequences.
func (m *Model) NewCache(sequences int) layers.Cache {
	return &Cache{self: layers.NewKeyValues(len(m.Transformer.Blocks), sequences, m.Config.Dim), model: m}
}

// Truncate keeps the first lengths[i] tokens of each sequence i.
func (c *Cache) Truncate(lengths []int) { c.self.Truncate(lengths) }

// Release gives the memory back, as [layers.ReleasableCache] says. A cache that
// [Model.NewCacheWith] has made of it must not be used afterwards either.
func (c *Cache) Release() {
	c.self.Release()
	for _, s := range c.cross {
		if s.keys != nil && !c.lent {
			s.keys.Release()
		}
	}
	c.cross = nil
}

// Sequences is the number of sequences in the cache.
func (c *Cache) Sequences() int { return c.self.Sequences() }

// Keep selects sequences as [layers.Cache] says.
func (c *Cache) Keep(keep []int) {
	c.self.Keep(keep)
	of := make([]int, len(keep))
	for n, i := range keep {
		of[n] = i
		if c.source.Of != nil {
			of[n] = c.source.Of[i]
		}
	}
	c.source.Of = of
}

// lengths are the tokens of each sequence; nil without a cache.
func (c *Cache) lengths() []int {
	if c == nil {
		return nil
	}
	n := make([]int, c.Sequences())
	for i := range n {
		n[i] = c.self.Length(i)
	}
	return n
}

// Check returns an error if a token is outside the vocabulary, or a sequence
// longer than the model has positions for; past are the tokens of each
// sequence in the cache, nil for none.
func (m *Model) Check(tokens layers.Tokens, past []int) error {
	for i := range tokens.Offsets.Len() {
		n := tokens.Offsets[i+1] - tokens.Offsets[i]
		if past != nil {
			n += past[i]
		}
		if n > m.Config.NumPositions {
			return fmt.Errorf("gpt2: sequence %d has %d tokens; the model has %d positions", i, n, m.Config.NumPositions)
		}
	}
	if err := m.Transformer.WTE.Check(tokens.IDs); err != nil {
		return fmt.Errorf("gpt2: token %w", err)
	}
	return nil
}

// Decode returns the hidden states of the tokens [rows, D], before the head.
//
// Each sequence sees its own earlier tokens and, if source has states
// ([source rows, D]), the item of the source that it belongs to. With a cache,
// the tokens continue the sequences in it; it is updated and returned, and
// source is then read at the first call only, and may be empty later on.
// random is the stream for dropout, nil in evaluation.
func (m *Model) Decode(tokens layers.Tokens, source layers.Source, cache layers.Cache, random *layers.Random) (mat.Tensor, layers.Cache, error) {
	c, _ := cache.(*Cache)
	past := c.lengths()
	if err := m.Check(tokens, past); err != nil {
		return nil, nil, err
	}
	look, source := m.look(source, c, tokens.Offsets.Len())
	x := m.embed(tokens, past, random)
	if c != nil {
		c.self.Extend(tokens.Offsets)
	}
	for i, block := range m.Transformer.Blocks {
		var self *layers.LayerKeyValues
		if c != nil {
			self = c.self.Layer(i)
		}
		y := block.Forward(x, tokens.Offsets, self, look(i), source, random)
		layers.Drop(y, x)
		x = y
	}
	y := m.Transformer.LNF.Forward(x)
	layers.Drop(y, x)
	if c == nil {
		return y, nil, nil
	}
	return y, c, nil
}

// embed adds the embeddings of tokens and positions.
func (m *Model) embed(tokens layers.Tokens, past []int, random *layers.Random) mat.Tensor {
	positions := make([]int, len(tokens.IDs))
	for i := range tokens.Offsets.Len() {
		for r := tokens.Offsets[i]; r < tokens.Offsets[i+1]; r++ {
			positions[r] = r - tokens.Offsets[i]
			if past != nil {
				positions[r] += past[i]
			}
		}
	}
	token, position := m.Transformer.WTE.Forward(tokens.IDs), m.Transformer.WPE.Forward(positions)
	x := layers.Residual(token, position)
	layers.Drop(x, token, position)
	return layers.Dropout(x, m.Config.EmbeddingDropout, random)
}

// look returns a function that gives what each block looks at, and the
// source. With a cache these are keys and values, which are made at the first
// call and then kept: many steps look at them.
func (m *Model) look(source layers.Source, c *Cache, sequences int) (func(block int) seen, layers.Source) {
	if c != nil && c.cross != nil {
		return func(i int) seen { return c.cross[i] }, c.source
	}
	if source.States == nil {
		return func(int) seen { return seen{} }, source
	}
	if !m.Config.AddCrossAttention {
		panic("gpt2: encoder states for a model without cross-attention")
	}
	source.Check(sequences)
	if c != nil {
		c.cross, c.source = make([]seen, len(m.Transformer.Blocks)), source
		for i, b := range m.Transformer.Blocks {
			c.cross[i] = b.CrossAttention.see(source)
		}
		c.source.States = nil // not needed any more
		return func(i int) seen { return c.cross[i] }, source
	}
	states := make([]mat.Tensor, len(m.Transformer.Blocks))
	for i := range states {
		states[i] = source.States
		if i > 0 {
			states[i] = layers.Share(states[i-1])
		}
	}
	shared := layers.NewStates(source.States, source.Offsets.Spans())
	return func(i int) seen { return seen{states: states[i], shared: shared} }, source
}
