// Command ocr makes a model that reads lines of text: a Vision Transformer
// that sees columns of pixels, and a GPT-2 that spells. It is trained from
// nothing, on lines that are drawn as they are needed.
package main

import (
	"context"
	"flag"
	"log"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/docs/examples/lines"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

const (
	dim    = 128 // of the states, in encoder and decoder
	column = 4   // pixels of a picture that make a state
)

func main() {
	steps := flag.Int("steps", 5000, "updates, each on new lines")
	heldOut := flag.Int("held-out", 500, "lines to read in the end, none of which was trained on")
	out := flag.String("out", filepath.Join("runs", "ocr"), "folder for the model, and for lines.png with lines that it read")
	flag.Parse()
	if err := run(context.Background(), *steps, *heldOut, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, steps, heldOut int, out string) error {
	model, err := newModel(layers.NewRandom(1))
	if err != nil {
		return err
	}
	return lines.Train(ctx, model, steps, heldOut, out)
}

// newModel joins an encoder and a decoder whose weights are drawn.
func newModel(random *layers.Random) (*seq2seq.VisionEncoderDecoder, error) {
	e := vit.DefaultConfig()
	e.ImageSize = vit.Size{Height: lines.Height, Width: lines.Width}
	e.PatchSize = vit.Size{Height: lines.Height, Width: column}
	e.HiddenSize, e.NumHiddenLayers, e.NumAttentionHeads, e.IntermediateSize = dim, 3, 4, 4*dim
	e.InitializerRange = 0.06
	encoder, err := vit.New[float32](e, random)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Characters(lines.Alphabet)
	if err != nil {
		return nil, err
	}
	d := gpt2.DefaultConfig()
	d.VocabSize, d.NumPositions, d.Dim, d.NumLayers, d.NumHeads = tok.VocabSize(), lines.MaxLength+2, dim, 2, 4
	d.AddCrossAttention, d.InitializerRange = true, 0.06
	end := tok.EOS()
	d.BOSTokenID, d.EOSTokenID = &end, &end
	decoder, err := gpt2.New[float32](d, random)
	if err != nil {
		return nil, err
	}
	decoder.SetDropout(0)
	// Positions that begin as waves are alike where they are near, and so it
	// is soon learned where to look. A character is about 8 pixels wide.
	layers.InitSinusoids(encoder.Embeddings.Positions, 0.5, 8/column)
	layers.InitSinusoids(decoder.Transformer.WPE.Weight, 0.5, 1)

	processor := vision.DefaultProcessor(lines.Height)
	processor.Size = vision.Size{Height: lines.Height, Width: lines.Width}
	return seq2seq.Join(encoder, decoder, processor, tok, random)
}
