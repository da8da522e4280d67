// Package attention shows what a captioner looked at: [Look] has the
// cross-attention of each token, and [Draw] makes a picture of it, once for
// each word with its heat map.
package attention

import (
	"errors"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Map is the cross-attention of a caption's tokens.
type Map struct {
	Tokens     []int
	Layers     int // blocks of the decoder
	Heads      int
	Special    int // encoder rows before the patches, such as the class token's
	Rows, Cols int // patches down and across
	// weights[layer] is [heads, tokens, special + rows·cols].
	weights [][]float32
}

// decoder is what a decoder must offer beside generating.
type decoder interface {
	CrossAttentions(tokens layers.Tokens, source layers.Source) ([][][]float32, error)
}

// gridded is an encoder whose states are special tokens and then patches.
type gridded interface {
	Grid(height, width int) (special, rows, cols int)
}

// Look returns how the model looks at a picture while it says the tokens of a
// caption: the weights with which each token was chosen.
func Look(m *seq2seq.VisionEncoderDecoder, pixels vision.Pixels, tokens []int) (*Map, error) {
	d, ok1 := m.Decoder.(decoder)
	e, ok2 := m.Encoder.(gridded)
	if !ok1 || !ok2 {
		return nil, errors.New("attention: this model does not tell where it looks")
	}
	a := &Map{Tokens: tokens}
	a.Special, a.Rows, a.Cols = e.Grid(pixels.Height, pixels.Width)
	if len(tokens) == 0 {
		return a, nil
	}
	err := layers.WithoutGradients(m, func() error {
		states, err := m.Encode([]vision.Pixels{pixels}, nil)
		if err != nil {
			return err
		}
		// The token at i is chosen by the row of the one before it.
		input := append([]int{m.Generation.DecoderStartTokenID}, tokens[:len(tokens)-1]...)
		w, err := d.CrossAttentions(layers.PackTokens(input), layers.Source{Packed: states})
		if err != nil {
			return err
		}
		a.weights, a.Layers = w[0], len(w[0])
		a.Heads = len(w[0][0]) / (len(tokens) * (a.Special + a.Rows*a.Cols))
		return nil
	})
	return a, err
}

// Weights are those of one token in one layer and head over the patches
// [Rows·Cols]; special tokens are left out, so they add up to less than 1.
func (a *Map) Weights(token, layer, head int) []float32 {
	width := a.Special + a.Rows*a.Cols
	row := a.weights[layer][(head*len(a.Tokens)+token)*width:][:width]
	return row[a.Special:]
}

// Mean is the mean of a token's weights over all layers and heads.
func (a *Map) Mean(token int) []float32 {
	out := make([]float32, a.Rows*a.Cols)
	for l := range a.Layers {
		for h := range a.Heads {
			for i, w := range a.Weights(token, l, h) {
				out[i] += w / float32(a.Layers*a.Heads)
			}
		}
	}
	return out
}

// Word is a run of tokens that make one word, and where the model looked.
type Word struct {
	Text string
	Heat []float32 // [Rows·Cols], the mean over its tokens
}

// Words joins tokens to words: a token that begins with a space begins one.
func (a *Map) Words(decode func(ids []int) string) []Word {
	var words []Word
	var counts []int
	for i, id := range a.Tokens {
		text, heat := decode([]int{id}), a.Mean(i)
		if len(words) == 0 || strings.HasPrefix(text, " ") {
			words, counts = append(words, Word{Heat: make([]float32, len(heat))}), append(counts, 0)
		}
		w := &words[len(words)-1]
		w.Text += text
		counts[len(counts)-1]++
		for j, x := range heat {
			w.Heat[j] += x
		}
	}
	for i := range words {
		words[i].Text = strings.TrimSpace(words[i].Text)
		for j := range words[i].Heat {
			words[i].Heat[j] /= float32(counts[i])
		}
	}
	return words
}
