// Command joining puts a cross-attention between a pretrained ViT and a
// pretrained GPT-2, and shows what is new and what it does before training.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

func main() {
	out := flag.String("out", "docs/tutorial/04-joining", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	encoder, err := vit.Load(sample.FS(sample.Encoder))
	if err != nil {
		return err
	}
	decoder, err := gpt2.Load(sample.FS(sample.Decoder))
	if err != nil {
		return err
	}
	count("the ViT", encoder)
	count("the GPT-2", decoder)

	model, err := seq2seq.JoinFS(sample.FS(sample.Encoder), sample.FS(sample.Decoder), layers.NewRandom(1))
	if err != nil {
		return err
	}
	count("joined", model)
	fmt.Println("\nnew in the first block of the decoder")
	for _, p := range layers.Parameters(model) {
		if strings.HasPrefix(p.Name, "decoder.transformer.h.0.") && strings.Contains(p.Name, "cross") {
			fmt.Printf("%-55s %v\n", p.Name, p.Shape)
		}
	}

	gated, err := seq2seq.JoinFS(sample.FS(sample.Encoder), sample.FS(sample.Decoder), layers.NewRandom(1), gpt2.Gated)
	if err != nil {
		return err
	}
	trained, err := sample.Captioner()
	if err != nil {
		return err
	}
	test, err := heldOut(model, 32)
	if err != nil {
		return err
	}
	alone, err := test.loss(decoder, layers.Source{})
	if err != nil {
		return err
	}
	fmt.Printf("\nloss on %d pictures that no model has seen\n%-38s %.2f\n", len(test.pixels), "the GPT-2 alone", alone)
	bars := []bar{{"the GPT-2 alone", alone}}
	for _, m := range []struct {
		name  string
		model *seq2seq.VisionEncoderDecoder
	}{{"joined, not trained", model}, {"joined with gates, not trained", gated}, {"joined and trained", trained}} {
		loss, err := test.lossOf(m.model)
		if err != nil {
			return err
		}
		fmt.Printf("%-38s %.2f\n", m.name, loss)
		bars = append(bars, bar{m.name, loss})
	}

	fmt.Println("\nwhat they say of three pictures")
	for i := range 3 {
		fmt.Printf("%q\n", test.captions[i])
		for _, m := range []struct {
			name  string
			model *seq2seq.VisionEncoderDecoder
		}{{"not trained", model}, {"trained", trained}} {
			captions, err := m.model.GenerateFromPixels(ctx, test.pixels[i:i+1], m.model.Generation)
			if err != nil {
				return err
			}
			fmt.Printf("%14s: %q\n", m.name, captions[0].Text)
		}
	}
	if err := drawModel().WriteFile(filepath.Join(out, "model.svg")); err != nil {
		return err
	}
	return drawLosses(bars).WriteFile(filepath.Join(out, "losses.svg"))
}

// count prints how many parameters a model has.
func count(name string, model any) {
	total, _ := layers.Count(model)
	fmt.Printf("%-10s %9d parameters\n", name, total)
}

// examples are some pictures and captions, as numbers.
type examples struct {
	pixels   []vision.Pixels
	captions []string
	tokens   layers.Tokens
	labels   []int
}

// heldOut takes n pictures of those that are held out.
func heldOut(model *seq2seq.VisionEncoderDecoder, n int) (examples, error) {
	var e examples
	var sequences [][]int
	data := emoji.Validation()
	for i := range n {
		example, err := data.Example(i * data.Len() / n)
		if err != nil {
			return e, err
		}
		picture, err := example.Image()
		if err != nil {
			return e, err
		}
		pixels, err := model.Processor.Process(picture)
		if err != nil {
			return e, err
		}
		e.pixels, e.captions = append(e.pixels, pixels), append(e.captions, example.Captions[0])
		sequences = append(sequences, model.Tokenizer.EncodeCaption(example.Captions[0], 0))
	}
	var err error
	e.tokens, e.labels, err = seq2seq.Shift(sequences)
	return e, err
}

// loss is how badly a decoder guesses each next token while it looks at a
// source.
func (e examples) loss(decoder seq2seq.Decoder, source layers.Source) (float64, error) {
	hidden, _, err := decoder.Decode(e.tokens, source, nil, nil)
	if err != nil {
		return 0, err
	}
	result, err := losses.LinearCrossEntropy(hidden, decoder.Head(), e.labels, losses.Options{})
	return result.Value, err
}

// lossOf is that of a model that looks at the pictures.
func (e examples) lossOf(model *seq2seq.VisionEncoderDecoder) (float64, error) {
	states, err := model.Encode(e.pixels, nil)
	if err != nil {
		return 0, err
	}
	return e.loss(model.Decoder, layers.Source{Packed: states})
}
