package generate_test

import (
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/nlpodyssey/spago/mat"
)

// table is a decoder whose logits [vocabulary] are a function of an item and
// the tokens so far.
type table struct {
	vocabulary, positions int
	logits                func(tokens []int, item int) []float32
	constant              []float32 // the logits, if they are the same whatever came before
	fed                   []int     // number of sequences of each call
	tokens                int       // of all calls
}

type history struct {
	tokens [][]int
	items  []int
}

func (h *history) Sequences() int { return len(h.tokens) }

func (h *history) Keep(keep []int) {
	old := *h
	h.tokens, h.items = nil, nil
	for _, i := range keep {
		h.tokens, h.items = append(h.tokens, slices.Clone(old.tokens[i])), append(h.items, old.items[i])
	}
}

func (d *table) NewCache(n int) layers.Cache {
	h := &history{tokens: make([][]int, n), items: make([]int, n)}
	for i := range h.items {
		h.items[i] = i
	}
	return h
}

func (d *table) VocabSize() int { return d.vocabulary }
func (d *table) MaxLength() int { return d.positions }

// Head is the identity: the hidden states are the logits. If these are
// constant, the states are 1 and the head has the logits.
func (d *table) Head() mat.Tensor {
	if d.constant != nil {
		return mat.NewDense[float32](mat.WithShape(d.vocabulary, 1), mat.WithBacking(d.constant))
	}
	identity := make([]float32, d.vocabulary*d.vocabulary)
	for i := range d.vocabulary {
		identity[i*(d.vocabulary+1)] = 1
	}
	return mat.NewDense[float32](mat.WithShape(d.vocabulary, d.vocabulary), mat.WithBacking(identity))
}

// Decode gives numbers for the last token of each sequence only.
func (d *table) Decode(tokens layers.Tokens, source layers.Source, cache layers.Cache, _ *layers.Random) (mat.Tensor, layers.Cache, error) {
	h := cache.(*history)
	if source.Of != nil {
		h.items = slices.Clone(source.Of)
	}
	d.fed, d.tokens = append(d.fed, tokens.Offsets.Len()), d.tokens+len(tokens.IDs)
	if d.constant != nil {
		n := tokens.Offsets.Rows()
		return mat.NewDense[float32](mat.WithShape(n, 1), mat.WithBacking(slices.Repeat([]float32{1}, n))), h, nil
	}
	hidden := make([]float32, tokens.Offsets.Rows()*d.vocabulary)
	for i := range hidden {
		hidden[i] = float32(math.NaN())
	}
	for i, span := range tokens.Offsets.Spans() {
		h.tokens[i] = append(h.tokens[i], tokens.IDs[span.Start:span.End]...)
		copy(hidden[(span.End-1)*d.vocabulary:span.End*d.vocabulary], d.logits(h.tokens[i], h.items[i]))
	}
	return mat.NewDense[float32](mat.WithShape(tokens.Offsets.Rows(), d.vocabulary), mat.WithBacking(hidden)), h, nil
}

// items is a source of n items.
func items(n int) layers.Source {
	return layers.Source{Packed: layers.Packed{
		States:  mat.NewDense[float32](mat.WithShape(n, 1)),
		Offsets: layers.OffsetsOf(slices.Repeat([]int{1}, n)...),
	}}
}

// always has the same logits whatever came before.
func always(logits ...float32) *table {
	return &table{vocabulary: len(logits), positions: 100, constant: logits}
}

// counter says the token after the last one, up to the item's number, and
// then token 0.
func counter(vocabulary int) *table {
	return &table{vocabulary: vocabulary, positions: 100, logits: func(tokens []int, item int) []float32 {
		x := make([]float32, vocabulary)
		if last := tokens[len(tokens)-1]; last < item {
			x[last+1] = 9
		} else {
			x[0] = 9
		}
		return x
	}}
}

// from0 are the default options with 0 for start and end.
func from0() generate.Options {
	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.EOSTokenID, o.PadTokenID = 0, generate.IDs{0}, 0
	return o
}
