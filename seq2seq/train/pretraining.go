package train

import (
	"slices"
	"strings"
	"unicode"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// LanguageModel is the task of predicting the sequences of a batch without
// looking at its inputs: what a decoder is pretrained on.
type LanguageModel[In any] struct {
	nn.Module
	Decoder seq2seq.Decoder `param:""`
}

// Labels is the number of tokens that a batch has to predict.
func (l *LanguageModel[In]) Labels(b Batch[In]) int { return countLabels(b.Sequences) }

// Loss is the mean cross-entropy of the batch's tokens.
func (l *LanguageModel[In]) Loss(b Batch[In], o losses.Options, random *layers.Random) (losses.Result, error) {
	tokens, labels, err := seq2seq.Shift(b.Sequences)
	if err != nil {
		return losses.Result{}, err
	}
	hidden, _, err := l.Decoder.Decode(tokens, layers.Source{}, nil, random)
	if err != nil {
		return losses.Result{}, err
	}
	return losses.LinearCrossEntropy(hidden, l.Decoder.Head(), labels, o)
}

// WordPredictor is the task of telling from a picture which words describe
// it: what an encoder is pretrained on when there is nothing but captions. A
// linear head on the mean of a picture's states gives each word of a
// vocabulary a score, and each word of the caption is to be likely.
type WordPredictor struct {
	nn.Module
	Encoder seq2seq.Encoder[vision.Pixels] `param:"encoder"`
	Head    *nn.Param                      `param:"head"` // [words, dim]
	words   map[string]int
}

// NewWordPredictor makes the task with a head for the words of captions.
func NewWordPredictor[T float.DType](encoder seq2seq.Encoder[vision.Pixels], captions []string, random *layers.Random) *WordPredictor {
	p := &WordPredictor{Encoder: encoder, words: map[string]int{}}
	for _, c := range captions {
		for _, w := range Words(c) {
			if _, ok := p.words[w]; !ok {
				p.words[w] = len(p.words)
			}
		}
	}
	p.Head = layers.Zeros[T](len(p.words), encoder.Dim())
	layers.InitNormal(p.Head, 0.02, random)
	return p
}

// Words splits a caption at what is neither letter, digit nor hyphen, in
// lower case, each word once.
func Words(caption string) []string {
	words := strings.FieldsFunc(strings.ToLower(caption), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-'
	})
	slices.Sort(words)
	return slices.Compact(words)
}

// wordsPerPicture is how many words of a caption a training step asks for, so
// that long captions do not count for more than short ones.
const wordsPerPicture = 2

// rows lists for each word of a batch's captions its picture and its number.
// With a stream, words are drawn from captions that have too many.
func (p *WordPredictor) rows(b Batch[vision.Pixels], random *layers.Random) (pictures, words []int) {
	for i, c := range b.Captions {
		var known []int
		for _, w := range Words(c) {
			if n, ok := p.words[w]; ok {
				known = append(known, n)
			}
		}
		if random != nil {
			for len(known) > wordsPerPicture {
				drop := int(random.Next() % uint64(len(known)))
				known = slices.Delete(known, drop, drop+1)
			}
		}
		for _, n := range known {
			pictures, words = append(pictures, b.Of[i]), append(words, n)
		}
	}
	return pictures, words
}

// Labels is the number of words that a training step has to predict.
func (p *WordPredictor) Labels(b Batch[vision.Pixels]) int {
	// How many does not depend on which are drawn.
	_, words := p.rows(b, layers.NewRandom(0))
	return len(words)
}

// Loss is the mean cross-entropy of the words.
func (p *WordPredictor) Loss(b Batch[vision.Pixels], o losses.Options, random *layers.Random) (losses.Result, error) {
	states, err := p.Encoder.Encode(b.Inputs, random)
	if err != nil {
		return losses.Result{}, err
	}
	pictures, words := p.rows(b, random)
	return losses.LinearCrossEntropy(layers.Gather(layers.MeanRows(states), pictures), p.Head, words, o)
}
