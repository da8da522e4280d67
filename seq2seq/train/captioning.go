package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/statestore"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/nlpodyssey/spago/nn"
)

// Captioning is the task of predicting the sequences of a batch from its
// inputs: the [Model] of an encoder-decoder.
type Captioning[In any] struct {
	nn.Module
	EncoderDecoder *seq2seq.EncoderDecoder[In] `param:""`
	memory         EncoderCache[In]            // what is kept in memory alone
	store          *statestore.Store           // of UseCache; nil: none
	states         atomic.Pointer[states[In]]  // nil if the encoder is trained; pictures are read ahead meanwhile
	encoded        int
	retrained      bool // the encoder was trained since the task was made
}

// NewCaptioning makes the task for a model. If its encoder is frozen, the
// states of the inputs are computed once, without dropout, and kept in up to
// cacheBytes of memory, but for those of augmented batches. The decoder's frozen
// weights are packed, see [layers.Pack]; from now on a change of theirs must be
// told to [layers.Changed].
func NewCaptioning[In any](m *seq2seq.EncoderDecoder[In], cacheBytes int64) *Captioning[In] {
	c := &Captioning[In]{EncoderDecoder: m, memory: EncoderCache[In]{Bytes: cacheBytes}}
	c.repack()
	c.Retrained()
	return c
}

// repack lets the decoder pack its frozen weights, and first lets go of what is
// packed.
func (c *Captioning[In]) repack() {
	layers.Pack(c.EncoderDecoder.Decoder)
}

// Retrained forgets what is kept of the inputs if the encoder is trained now or
// was at some time, and begins to keep it, in memory alone, if it no longer is.
func (c *Captioning[In]) Retrained() {
	if _, trained := layers.Count(c.EncoderDecoder.Encoder); trained > 0 {
		c.states.Store(nil)
		c.retrained = true
	} else if c.states.Load() == nil || c.retrained {
		c.states.Store(newStates(c.memory, nil))
	}
}

// UseCache has the states kept as a cache says, before any has been computed.
// It is an error if the encoder is trained, since its states then change; for
// the same reason batches that are augmented are encoded each time. The
// encoder's precision must be set before.
func (c *Captioning[In]) UseCache(cache EncoderCache[In]) error {
	if c.states.Load() == nil {
		return errors.New("encoder cache: the encoder is trained, so its states cannot be kept")
	}
	if cache.Warn == nil {
		cache.Warn = func(string) {}
	}
	if cache.Dir != "" {
		encoder, err := fingerprint(c.EncoderDecoder.Encoder)
		if err != nil {
			return fmt.Errorf("encoder cache: %w", err)
		}
		format := statestore.Format{Encoder: encoder, Dim: c.EncoderDecoder.Encoder.Dim(), BFloat16: cache.Precision == layers.BFloat16}
		if c.store, err = statestore.Open(cache.Dir, format, cache.Warn); err != nil {
			return fmt.Errorf("encoder cache: %w", err)
		}
	}
	c.states.Store(newStates(cache, c.store))
	c.memory = EncoderCache[In]{Bytes: cache.Bytes, Precision: cache.Precision, Warn: cache.Warn}
	return nil
}

// CloseCache closes the folder of [Captioning.UseCache]; the task is over.
func (c *Captioning[In]) CloseCache() error {
	if c.store == nil {
		return nil
	}
	return c.store.Close()
}

// CacheLen is the number of inputs whose states are in the folder of
// [Captioning.UseCache].
func (c *Captioning[In]) CacheLen() int {
	if c.store == nil {
		return 0
	}
	return c.store.Len()
}

// Encoded is the number of inputs that the encoder has run on so far.
func (c *Captioning[In]) Encoded() int { return c.encoded }

// Lacks reports whether an input has to be read: for [PictureOptions].Need.
// States of an earlier run are found by the input itself, so each run reads it
// once.
func (c *Captioning[In]) Lacks(k Key) bool {
	kept := c.states.Load()
	return kept == nil || !kept.has(k)
}

// Labels is the number of tokens that a batch has to predict.
func (c *Captioning[In]) Labels(b Batch[In]) int { return countLabels(b.Sequences) }

// Mismatch lets each sequence look at another input of the batch: one half a
// batch away, since neighbours in a data set are often alike.
func (c *Captioning[In]) Mismatch(b Batch[In]) (Batch[In], bool) {
	n := len(b.Keys)
	if n < 2 {
		return b, false
	}
	of := make([]int, len(b.Of))
	for i, input := range b.Of {
		of[i] = (input + n/2) % n
	}
	b.Of = of
	return b, true
}

func countLabels(sequences [][]int) int {
	n := 0
	for _, s := range sequences {
		n += len(s) - 1
	}
	return n
}

// Loss is the mean cross-entropy of the batch's tokens.
func (c *Captioning[In]) Loss(b Batch[In], o losses.Options, random *layers.Random) (losses.Result, error) {
	tokens, labels, err := seq2seq.Shift(b.Sequences)
	if err != nil {
		return losses.Result{}, err
	}
	states, err := c.encode(b, random)
	if err != nil {
		return losses.Result{}, err
	}
	return c.EncoderDecoder.Loss(layers.Source{Packed: states, Of: b.Of}, tokens, labels, o, random)
}

// encode returns the states of a batch's inputs, from where they are kept.
func (c *Captioning[In]) encode(b Batch[In], random *layers.Random) (layers.Packed, error) {
	kept := c.states.Load()
	if kept == nil {
		c.encoded += len(b.Keys)
		return c.EncoderDecoder.Encode(b.Inputs, random)
	}
	if b.Augmented { // what is kept would be of another picture
		states, err := c.encodeFrozen(b.Inputs)
		if err != nil {
			return layers.Packed{}, err
		}
		return c.EncoderDecoder.Project(states), nil
	}
	items := make([][]float32, len(b.Keys))
	var inputs []In
	var missing []int
	for i, k := range b.Keys {
		var err error
		if items[i], err = kept.get(k, b.Inputs[i]); err != nil {
			return layers.Packed{}, err
		}
		if items[i] == nil {
			inputs, missing = append(inputs, b.Inputs[i]), append(missing, i)
		}
	}
	if len(missing) > 0 {
		fresh, err := c.encodeFrozen(inputs)
		if err != nil {
			return layers.Packed{}, err
		}
		for n, item := range split(fresh) {
			items[missing[n]] = kept.put(b.Keys[missing[n]], inputs[n], item)
		}
	}
	return c.EncoderDecoder.Project(layers.PackRows(c.EncoderDecoder.Encoder.Dim(), items...)), nil
}

// encodeFrozen runs the encoder without dropout. Weights that lie in a file
// are in memory either of the encoder, for this, or of the decoder, for the
// training step that follows: bringing them back takes a hundredth of the time.
// Those that are packed in digits, which take more memory, are packed again
// once two steps in a row have needed no encoder.
func (c *Captioning[In]) encodeFrozen(inputs []In) (layers.Packed, error) {
	if kernel.CutsFloat32() && slices.Contains(layers.Precisions(c.EncoderDecoder.Decoder), layers.Float32) {
		c.repack()
	}
	weights.Release(c.EncoderDecoder.Decoder)
	defer weights.Release(c.EncoderDecoder.Encoder)
	c.encoded += len(inputs)
	return c.EncoderDecoder.Encoder.Encode(inputs, nil)
}

// Generate captions the first n inputs of a batch, from the states that are
// kept where they are.
func (c *Captioning[In]) Generate(ctx context.Context, tok Decoding, b Batch[In], n int, o generate.Options) ([]string, error) {
	var captions []string
	err := layers.WithoutGradients(c.EncoderDecoder, func() error {
		b.Keys, b.Inputs = b.Keys[:n], b.Inputs[:n]
		states, err := c.encode(b, nil)
		if err != nil {
			return err
		}
		sequences, err := generate.Generate(ctx, c.EncoderDecoder.Decoder, layers.Source{Packed: states}, o)
		for _, s := range sequences {
			captions = append(captions, strings.TrimSpace(tok.Decode(s.Tokens, true)))
		}
		return err
	})
	return captions, err
}

// Decoding turns ids into text, as tokenizer.Tokenizer does.
type Decoding interface {
	Decode(ids []int, skipSpecial bool) string
}
