// Command loss computes the cross-entropy of a caption by hand, and its
// gradient, and compares both with the library's.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func main() {
	out := flag.String("out", "docs/tutorial/06-loss", "folder of the figures")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

func run(out string) error {
	scores := []float32{2, 1, 0}
	fmt.Printf("scores %v are probabilities of %.2f\n", scores, softmax(scores))
	for label := range scores {
		fmt.Printf("if token %d is right, the loss is %.2f\n", label, crossEntropy(scores, label))
	}

	model, err := sample.Captioner()
	if err != nil {
		return err
	}
	picture, err := model.Processor.Decoder().Open("docs/images/picture.png")
	if err != nil {
		return err
	}
	white := vision.NewImage(picture.Width, picture.Height)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	caption := model.Tokenizer.EncodeCaption("woman juggling: medium skin tone", 0)
	tokens, labels, err := seq2seq.Shift([][]int{caption})
	if err != nil {
		return err
	}

	seeing, err := look(model, picture, tokens, labels)
	if err != nil {
		return err
	}
	blind, err := look(model, white, tokens, labels)
	if err != nil {
		return err
	}
	fmt.Println("\ntoken    probability  loss  loss with a white picture")
	names := make([]string, len(labels))
	for i, label := range labels {
		names[i] = model.Tokenizer.Decode([]int{label}, true)
		if label == model.Tokenizer.EOS() {
			names[i] = "end"
		}
		fmt.Printf("%-10s %9.2f %6.2f %6.2f\n", names[i], math.Exp(-seeing.rows[i]), seeing.rows[i], blind.rows[i])
	}
	fmt.Printf("mean %22.2f %6.2f\n", seeing.mean, blind.mean)

	fmt.Printf("\nby hand %.4f, by the library %.4f, over %d labels\n", seeing.mean, seeing.library.Value, seeing.library.Counted)

	prompt := 3 // the tokens of "woman"
	for i := range prompt {
		labels[i] = losses.IgnoreIndex
	}
	masked, err := look(model, picture, tokens, labels)
	if err != nil {
		return err
	}
	fmt.Printf("without %q: by hand %.4f, by the library %.4f, over %d labels\n", "woman", masked.mean, masked.library.Value, masked.library.Counted)

	if err := compareGradients(model, picture, tokens, labels); err != nil {
		return err
	}
	return drawLosses(names, seeing.rows, blind.rows).WriteFile(filepath.Join(out, "losses.svg"))
}

// softmax makes probabilities of scores.
func softmax(scores []float32) []float64 {
	most, sum := slices.Max(scores), 0.0
	p := make([]float64, len(scores))
	for i, s := range scores {
		p[i] = math.Exp(float64(s - most)) // at most 1, so it cannot overflow
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// crossEntropy is the loss of one guess: minus the logarithm of the
// probability that the right token got.
func crossEntropy(scores []float32, label int) float64 {
	return -math.Log(softmax(scores)[label])
}

// guess is how well a model guesses a caption.
type guess struct {
	rows    []float64 // the loss of each token, by hand; 0 where it is masked
	mean    float64   // over those that are not
	library losses.Result
}

// look computes the loss of a caption of a picture, by hand and by the library.
func look(model *seq2seq.VisionEncoderDecoder, picture vision.Image, tokens layers.Tokens, labels []int) (guess, error) {
	source, err := encode(model, picture)
	if err != nil {
		return guess{}, err
	}
	logits, err := model.Logits(source, tokens)
	if err != nil {
		return guess{}, err
	}
	scores, vocabulary := mat.Data[float32](logits.Value()), logits.Shape()[1]
	var g guess
	counted := 0
	for i, label := range labels {
		loss := 0.0
		if label != losses.IgnoreIndex {
			loss = crossEntropy(scores[i*vocabulary:(i+1)*vocabulary], label)
			counted++
		}
		g.rows = append(g.rows, loss)
		g.mean += loss
	}
	g.mean /= float64(counted)
	g.library, err = model.Loss(source, tokens, labels, losses.Options{}, nil)
	return g, err
}

// encode lets the model look at a picture.
func encode(model *seq2seq.VisionEncoderDecoder, picture vision.Image) (layers.Source, error) {
	pixels, err := model.Processor.Process(picture)
	if err != nil {
		return layers.Source{}, err
	}
	states, err := model.Encode([]vision.Pixels{pixels}, nil)
	return layers.Source{Packed: states}, err
}

// compareGradients computes the gradient of the decoder's hidden states.
func compareGradients(model *seq2seq.VisionEncoderDecoder, picture vision.Image, tokens layers.Tokens, labels []int) error {
	source, err := encode(model, picture)
	if err != nil {
		return err
	}
	states, _, err := model.Decoder.Decode(tokens, source, nil, nil)
	if err != nil {
		return err
	}
	hidden := mat.NewDense[float32](mat.WithShape(states.Shape()...), mat.WithBacking(mat.Data[float32](states.Value())), mat.WithGrad(true))
	result, err := losses.LinearCrossEntropy(hidden, model.Decoder.Head(), labels, losses.Options{})
	if err != nil {
		return err
	}
	if err := ag.Backward(result.Loss); err != nil {
		return err
	}
	theirs := mat.Data[float32](hidden.Grad())

	head, dim := mat.Data[float32](model.Decoder.Head().Value()), model.Decoder.Dim()
	scores := mat.Data[float32](layers.MatMulT(states, model.Decoder.Head()).Value())
	vocabulary := len(scores) / len(labels)
	off, greatest := 0.0, 0.0
	for i, label := range labels {
		ours := make([]float64, dim)
		if label != losses.IgnoreIndex {
			slope := softmax(scores[i*vocabulary : (i+1)*vocabulary])
			slope[label]-- // the right token should have all
			for v, s := range slope {
				for c := range ours {
					ours[c] += s * float64(head[v*dim+c]) / float64(result.Counted)
				}
			}
		}
		for c := range ours {
			off = max(off, math.Abs(ours[c]-float64(theirs[i*dim+c])))
			greatest = max(greatest, math.Abs(ours[c]))
		}
	}
	fmt.Printf("\nthe gradients by hand and by the library differ by %.4f of the greatest number in them\n", off/greatest)
	return nil
}
