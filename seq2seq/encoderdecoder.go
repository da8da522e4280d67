package seq2seq

import (
	"errors"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Encoder turns inputs of any kind (pixels, token ids, sound) into states for
// a decoder to look at. It embeds [nn.Module].
type Encoder[In any] interface {
	nn.Model
	// Encode returns the states of each input, packed: [rows, Dim]. An error
	// says which input is wrong and how. random is the stream for dropout,
	// nil in evaluation.
	Encode(inputs []In, random *layers.Random) (layers.Packed, error)
	// Dim is the width of the states.
	Dim() int
}

// Decoder predicts tokens while looking at an encoder's states: what
// generation needs, and a width for training. It embeds [nn.Module].
type Decoder interface {
	nn.Model
	generate.Decoder
	// Dim is the width of the hidden states.
	Dim() int
}

// EncoderDecoder joins an encoder and a decoder. Where their widths differ, a
// linear projection takes the encoder's states to the decoder's.
type EncoderDecoder[In any] struct {
	nn.Module
	Encoder    Encoder[In]    `param:"encoder"`
	Projection *layers.Linear `param:"enc_to_dec_proj"` // nil if the widths are equal
	Decoder    Decoder        `param:"decoder"`

	precision layers.Precision
}

// SetPrecision sets the number format in which the model multiplies in
// encoding and training; see [layers.SetPrecision]. Decoding with a cache
// stays as it is.
func (m *EncoderDecoder[In]) SetPrecision(p layers.Precision) {
	layers.SetPrecision(m, p)
	m.precision = p
}

// Hold prepares a frozen model for generation in the given precision, if its
// decoder has a method Hold: see gpt2.Model.Hold. The encoder multiplies in
// [layers.BFloat16] unless the precision is [layers.Float32], with its weights
// as [layers.Pack] keeps them.
//
// An encoder's weights that lie in a file, as those of [Load] do, are taken
// out of memory until it is used again. So whoever sets the precision and
// encodes before, and decodes afterwards, never has both models in memory.
func (m *EncoderDecoder[In]) Hold(p layers.Precision) {
	m.SetPrecision(p)
	weights.Release(m.Encoder)
	layers.Pack(m.Encoder)
	if d, ok := m.Decoder.(interface{ Hold(layers.Precision) }); ok {
		d.Hold(p)
	}
}

// Assistant returns a model that guesses what the decoder will say, for
// [generate.Options].AssistantModel; nil if the decoder has no method
// Assistant: see gpt2.Model.Assistant. Captions are the same with it, and a
// single one by greedy search takes less time. It belongs to the decoder as it
// is: once that is trained further, its guesses become worse.
func (m *EncoderDecoder[In]) Assistant() generate.Decoder {
	if d, ok := m.Decoder.(interface{ Assistant() generate.Decoder }); ok {
		return d.Assistant()
	}
	return nil
}

// NewEncoderDecoder joins two models. If their widths differ, the projection
// of element type T is drawn from random: normal with deviation 0.02.
func NewEncoderDecoder[T float.DType, In any](encoder Encoder[In], decoder Decoder, random *layers.Random) *EncoderDecoder[In] {
	m := &EncoderDecoder[In]{Encoder: encoder, Decoder: decoder}
	if encoder.Dim() != decoder.Dim() {
		m.Projection = layers.NewLinear[T](encoder.Dim(), decoder.Dim(), true)
		layers.InitNormal(m.Projection.Weight, 0.02, random)
	}
	return m
}

// Encode returns the states of the inputs as the decoder sees them.
func (m *EncoderDecoder[In]) Encode(inputs []In, random *layers.Random) (layers.Packed, error) {
	states, err := m.Encoder.Encode(inputs, random)
	if err != nil {
		return layers.Packed{}, err
	}
	return m.Project(states), nil
}

// Project takes the encoder's own states to the decoder's width.
func (m *EncoderDecoder[In]) Project(states layers.Packed) layers.Packed {
	if m.Projection != nil {
		states.States = m.Projection.Forward(states.States, layers.Identity)
	}
	return states
}

// Logits returns the scores of the next token after each token [rows,
// vocabulary].
func (m *EncoderDecoder[In]) Logits(source layers.Source, tokens layers.Tokens) (mat.Tensor, error) {
	hidden, _, err := m.Decoder.Decode(tokens, source, nil, nil)
	if err != nil {
		return nil, err
	}
	return layers.MatMulT(hidden, m.Decoder.Head()), nil
}

// Loss is the cross-entropy of predicting labels (one for each token, or
// [losses.IgnoreIndex]) from the tokens and the source; see [Shift]. random is
// the stream for dropout, nil in evaluation.
func (m *EncoderDecoder[In]) Loss(source layers.Source, tokens layers.Tokens, labels []int, o losses.Options, random *layers.Random) (losses.Result, error) {
	if len(labels) != len(tokens.IDs) {
		return losses.Result{}, fmt.Errorf("seq2seq: %d labels for %d tokens", len(labels), len(tokens.IDs))
	}
	hidden, _, err := m.Decoder.Decode(tokens, source, nil, random)
	if err != nil {
		return losses.Result{}, err
	}
	o.BFloat16 = o.BFloat16 || m.precision == layers.BFloat16
	if d, ok := m.Decoder.(interface{ PackedHead() *layers.PackedHead }); ok {
		o.Head = d.PackedHead()
	}
	return losses.LinearCrossEntropy(hidden, m.Decoder.Head(), labels, o)
}

// Shift makes the decoder's input and its labels of whole sequences, each
// BOS + ids + EOS: the input is all but the last token, and the label of each
// token is the one that follows it. So the EOS is learned, although its id is
// also that of padding: a packed batch has no padding to confuse it with.
//
// In Hugging Face's terms these are labels = ids + EOS with -100 where the
// attention mask is 0, and decoder_start_token_id = BOS.
func Shift(sequences [][]int) (layers.Tokens, []int, error) {
	inputs := make([][]int, len(sequences))
	var labels []int
	for i, s := range sequences {
		if len(s) < 2 {
			return layers.Tokens{}, nil, fmt.Errorf("seq2seq: sequence %d has %d tokens; BOS and EOS alone make 2", i, len(s))
		}
		inputs[i] = s[:len(s)-1]
		labels = append(labels, s[1:]...)
	}
	if len(sequences) == 0 {
		return layers.Tokens{}, nil, errors.New("seq2seq: a batch without sequences")
	}
	return layers.PackTokens(inputs...), labels, nil
}
