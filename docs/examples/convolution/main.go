// Command convolution makes a model that reads lines of text with an encoder
// of its own: four convolutions in place of a Vision Transformer.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/docs/examples/lines"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

const dim = 128 // of the states

// shapes of the convolutions: the window's size, its steps, and how many
// numbers it gives. They make of a picture one row of a state for 4 pixels.
var shapes = []struct{ high, wide, down, across, out int }{
	{3, 3, 2, 2, 32}, {3, 3, 2, 2, 64}, {3, 3, 2, 1, dim}, {3, 5, 3, 1, dim},
}

// encoder implements seq2seq.Encoder.
type encoder struct {
	nn.Module
	Convolutions []*layers.Linear    `param:"convolutions"` // [out, high·wide·in]
	Norms        []*layers.LayerNorm `param:"norms"`
	Positions    *layers.Embedding   `param:"positions"` // [columns, dim]
}

func newEncoder(random *layers.Random) *encoder {
	e := &encoder{Positions: layers.NewEmbedding[float32](lines.Width/4, dim)}
	layers.InitSinusoids(e.Positions.Weight, 1, 2) // a character is about 8 pixels wide
	in := 1
	for _, s := range shapes {
		c := layers.NewLinear[float32](s.high*s.wide*in, s.out, true)
		layers.InitNormal(c.Weight, math.Sqrt(2/float64(s.high*s.wide*in)), random)
		e.Convolutions, e.Norms = append(e.Convolutions, c), append(e.Norms, layers.NewLayerNorm[float32](s.out, 1e-5))
		in = s.out
	}
	return e
}

// Dim is the width of the states.
func (e *encoder) Dim() int { return dim }

// Encode returns a state for every 4 columns of pixels.
func (e *encoder) Encode(pictures []vision.Pixels, _ *layers.Random) (layers.Packed, error) {
	var grey []float32
	for i, p := range pictures {
		if p.Height != lines.Height || p.Width != lines.Width {
			return layers.Packed{}, fmt.Errorf("picture %d has %d×%d pixels, want %d×%d", i, p.Width, p.Height, lines.Width, lines.Height)
		}
		grey = append(grey, p.Data[:p.Height*p.Width]...) // red, green and blue are the same
	}
	var x mat.Tensor = mat.NewDense[float32](mat.WithShape(len(grey), 1), mat.WithBacking(grey))
	h, w := lines.Height, lines.Width
	for i, s := range shapes {
		top, bottom := margin(h, s.high, s.down)
		left, right := margin(w, s.wide, s.across)
		var rows []int // of x in each window, -1 outside the picture
		for n := range pictures {
			for y := -top; y+s.high <= h+bottom; y += s.down {
				for x := -left; x+s.wide <= w+right; x += s.across {
					for j := range s.high * s.wide {
						row, column := y+j/s.wide, x+j%s.wide
						if row < 0 || row >= h || column < 0 || column >= w {
							rows = append(rows, -1)
						} else {
							rows = append(rows, (n*h+row)*w+column)
						}
					}
				}
			}
		}
		x = e.Convolutions[i].Forward(layers.Unfold(x, rows, s.high*s.wide), layers.GELU)
		x = e.Norms[i].Forward(x)
		h, w = (h+s.down-1)/s.down, (w+s.across-1)/s.across
	}
	positions, lengths := make([]int, 0, len(pictures)*w), make([]int, len(pictures))
	for n := range pictures {
		lengths[n] = w
		for column := range w {
			positions = append(positions, column)
		}
	}
	return layers.Packed{States: layers.Residual(x, e.Positions.Forward(positions)), Offsets: layers.OffsetsOf(lengths...)}, nil
}

// margin is what a picture lacks before and after its size pixels, so that
// windows with a step begin at every step.
func margin(size, window, step int) (before, after int) {
	lacks := max(0, (size-1)/step*step+window-size)
	return lacks / 2, lacks - lacks/2
}

// ModelConfig is what config.json says of the encoder.
func (e *encoder) ModelConfig() any { return map[string]string{"model_type": "lines-convolution"} }

func init() { // lets seq2seq.Load make the encoder
	seq2seq.RegisterEncoder("lines-convolution", func(json.RawMessage) (seq2seq.Encoder[vision.Pixels], error) {
		return newEncoder(layers.NewRandom(0)), nil
	})
}

func main() {
	steps := flag.Int("steps", 3000, "updates, each on new lines")
	heldOut := flag.Int("held-out", 500, "lines to read in the end, none of which was trained on")
	out := flag.String("out", filepath.Join("runs", "convolution"), "folder for the model, and for lines.png with lines that it read")
	flag.Parse()
	random := layers.NewRandom(1)
	if err := run(context.Background(), newEncoder(random), random, *steps, *heldOut, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, encoder *encoder, random *layers.Random, steps, heldOut int, out string) error {
	tok, err := tokenizer.Characters(lines.Alphabet)
	if err != nil {
		return err
	}
	d := gpt2.DefaultConfig()
	d.VocabSize, d.NumPositions, d.Dim, d.NumLayers, d.NumHeads = tok.VocabSize(), lines.MaxLength+2, dim, 2, 4
	d.AddCrossAttention, d.InitializerRange = true, 0.06
	decoder, err := gpt2.New[float32](d, random)
	if err != nil {
		return err
	}
	decoder.SetDropout(0)
	layers.InitSinusoids(decoder.Transformer.WPE.Weight, 0.5, 1)
	processor := vision.DefaultProcessor(lines.Height)
	processor.Size = vision.Size{Height: lines.Height, Width: lines.Width}
	model, err := seq2seq.Join(encoder, decoder, processor, tok, random)
	if err != nil {
		return err
	}
	return lines.Train(ctx, model, steps, heldOut, out)
}
