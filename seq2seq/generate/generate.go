// Package generate finds the tokens that a decoder says of what it looks at:
// greedy search, sampling and beam search, with the options, the tokens and
// the scores of Hugging Face's generate.
//
// [Generate] is the whole of it: any [Decoder], the states of an encoder, and
// [Options]:
//
//	o := generate.DefaultOptions()
//	o.DecoderStartTokenID, o.EOSTokenID = tok.BOS(), generate.IDs{tok.EOS()}
//	o.NumBeams, o.MaxNewTokens = 4, 16
//	sequences, err := generate.Generate(ctx, decoder, layers.Source{Packed: states}, o)
//
// [Stream] gives the tokens of one item as they come, and [Text] their text.
// A [Processor] changes the scores of the next token, a [StoppingCriterion]
// ends a sequence; both are interfaces of one method. Options.Prefix is a
// prompt, and Options.PrefixAllowedTokens a constraint in general. With
// Options.AssistantModel a single item takes less time. [Filter] is the
// recipe's filter by itself.
//
// A batch gives each item the same tokens as it gets alone, and with sampling
// the same whatever the number of threads: see Options.Items.
package generate

import (
	"context"
	"fmt"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// Decoder is what a model needs to be decoded.
type Decoder interface {
	// Decode returns the hidden states [rows, dim] of tokens that continue
	// the sequences of the cache, and the cache with them. The source is read
	// at the first call for a cache. random is nil: no dropout.
	Decode(tokens layers.Tokens, source layers.Source, cache layers.Cache, random *layers.Random) (mat.Tensor, layers.Cache, error)
	// NewCache returns an empty cache for a number of sequences.
	NewCache(sequences int) layers.Cache
	// Head is the matrix [vocabulary, dim] that hidden states are multiplied
	// with: logits = hidden·headᵀ.
	Head() mat.Tensor
	// VocabSize is the number of tokens.
	VocabSize() int
	// MaxLength is the number of positions that the model knows.
	MaxLength() int
}

// Sequence is what was generated.
type Sequence struct {
	// Tokens are the prefix and the new tokens, without start and end token.
	Tokens []int
	// Score is a natural logarithm. Of beam search it is Hugging Face's
	// sequences_scores: the sum of the processed log-probabilities of the new
	// tokens, end included, over their number to the power of LengthPenalty.
	// Otherwise it is the sum of the log-probabilities that the model itself
	// gives the new tokens, end included.
	Score float64
	// Finished tells a sequence with an end, by an end token, a stop string
	// or a criterion, from one that was cut at its greatest length.
	Finished bool
}

// Generate returns, for each item of the source in order,
// Options.NumReturnSequences sequences, the best first if they come from beam
// search. An item is an encoder item or, if source.Of is set, one of its
// entries; a source without states is one item, for a decoder that looks at
// nothing.
//
// An error is one of the options (see [Options.Check]), of the decoder, of
// logits that are no numbers, or the context's, whose end is noticed between
// two tokens. The decoder's parameters should be frozen, or a graph is built.
func Generate(ctx context.Context, d Decoder, source layers.Source, o Options) ([]Sequence, error) {
	items, err := o.prepare(d, source)
	if err != nil || items == 0 {
		return nil, err
	}
	if o.NumBeams > 1 {
		return beamSearch(ctx, d, source, &o, items)
	}
	out := make([]Sequence, items*o.NumReturnSequences)
	err = search(ctx, d, source, &o, items, func(s *sequence, over bool) bool {
		if over {
			out[s.place] = s.result(&o)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare checks the options and returns the number of items.
func (o *Options) prepare(d Decoder, source layers.Source) (items int, err error) {
	if err := o.Check(d.VocabSize(), d.MaxLength()); err != nil {
		return 0, err
	}
	if a := o.AssistantModel; a != nil && a.VocabSize() != d.VocabSize() {
		return 0, fmt.Errorf("generate: the assistant has %d tokens, the model %d: they must be the same", a.VocabSize(), d.VocabSize())
	}
	switch {
	case source.States == nil:
		items = 1
	case source.Of != nil:
		items = len(source.Of)
	default:
		items = source.Offsets.Len()
	}
	if o.Items != nil && len(o.Items) != items {
		return 0, fmt.Errorf("generate: Items numbers %d items; the source has %d", len(o.Items), items)
	}
	return items, nil
}

// random is the stream of an item.
func (o *Options) random(item int) *layers.Random {
	n := uint64(item)
	if o.Items != nil {
		n = o.Items[item]
	}
	// A stream of a derived stream: one of NewRandom(1) may be one of NewRandom(2).
	return layers.NewRandom(o.Seed).Derive(generationStreams).Derive(n)
}

// generationStreams sets the streams of generation apart from others of the same seed.
const generationStreams = 0x67656e65726174

// prompts are the tokens that a number of sequences begin with.
func (o *Options) prompts(sequences int) [][]int {
	out := make([][]int, sequences)
	for i := range out {
		out[i] = o.start()
	}
	return out
}

// strip takes the start token and an end token away.
func (o *Options) strip(tokens []int) []int {
	tokens = tokens[1:]
	if n := len(tokens) - 1; n >= len(o.Prefix) && slices.Contains(o.EOSTokenID, tokens[n]) {
		tokens = tokens[:n]
	}
	return tokens
}
