// Command tokens turns captions into tokens and batches, and trains two tiny
// language models: one whose labels have the end of each caption, and one
// whose end is masked by mistake.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func main() {
	out := flag.String("out", "docs/tutorial/05-tokens", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

var captions = []string{"red heart", "woman juggling: medium skin tone", "cat face", "smiling face with sunglasses"}

func run(ctx context.Context, out string) error {
	tok, err := tokenizer.Load(sample.FS(sample.Decoder))
	if err != nil {
		return err
	}
	fmt.Printf("%d tokens; begin is %d, end is %d, padding is %d\n", tok.VocabSize(), tok.BOS(), tok.EOS(), tok.Pad())
	for _, text := range []string{"woman juggling: medium skin tone", "naïve 🙂"} {
		fmt.Printf("\n%q\n", text)
		for _, id := range tok.Encode(text) {
			fmt.Printf("%5d %q\n", id, tok.Decode([]int{id}, false))
		}
	}

	sequence := tok.EncodeCaption("red heart", 0)
	input, labels, err := seq2seq.Shift([][]int{sequence})
	if err != nil {
		return err
	}
	fmt.Printf("\nthe sequence %d\nthe input    %d\nthe labels   %d\n", sequence, input.IDs, labels)

	if err := measure(tok); err != nil {
		return err
	}
	var sequences [][]int
	for _, c := range captions {
		sequences = append(sequences, tok.EncodeCaption(c, 0))
	}
	for _, run := range []struct {
		name string
		mask bool
	}{{"the end is a label", false}, {"the end is masked", true}} {
		fmt.Printf("\n%s\n", run.name)
		model, err := train(tok, sequences, run.mask)
		if err != nil {
			return err
		}
		if err := speak(ctx, model, tok, sequences); err != nil {
			return err
		}
	}
	return drawBatch(tok, sequences[:3]).WriteFile(filepath.Join(out, "batch.svg"))
}

// measure compares a batch with padding and one without.
func measure(tok *tokenizer.Tokenizer) error {
	const pictures = 32
	rows, longest := 0, 0
	for i := range pictures {
		e, err := emoji.Train().Example(i * 100)
		if err != nil {
			return err
		}
		n := len(tok.EncodeCaption(e.Captions[0], 0)) - 1
		rows, longest = rows+n, max(longest, n)
	}
	fmt.Printf("\n%d captions: %d rows packed, %d × %d = %d with padding\n", pictures, rows, pictures, longest, pictures*longest)
	return nil
}

// train makes a tiny GPT-2 that knows the sequences by heart. mask hides all
// labels that are the padding's token, which is wrong: it is the end's too.
func train(tok *tokenizer.Tokenizer, sequences [][]int, mask bool) (*gpt2.Model, error) {
	config := gpt2.DefaultConfig()
	config.VocabSize, config.NumPositions, config.Dim, config.NumLayers, config.NumHeads = tok.VocabSize(), 16, 32, 2, 2
	config.ResidualDropout, config.EmbeddingDropout, config.AttentionDropout = 0, 0, 0
	model, err := gpt2.New[float32](config, layers.NewRandom(1))
	if err != nil {
		return nil, err
	}
	input, labels, err := seq2seq.Shift(sequences)
	if err != nil {
		return nil, err
	}
	if mask {
		for i, label := range labels {
			if label == tok.Pad() {
				labels[i] = losses.IgnoreIndex
			}
		}
	}

	var params []optim.Param
	for _, p := range layers.Parameters(model) {
		params = append(params, optim.Param{Name: p.Name, Value: p.Value})
	}
	optimizer, err := optim.NewAdamW([]*optim.Group{{Params: params, LearningRate: 0.01}}, optim.DefaultAdam())
	if err != nil {
		return nil, err
	}
	for step := range 60 {
		hidden, _, err := model.Decode(input, layers.Source{}, nil, nil)
		if err != nil {
			return nil, err
		}
		result, err := losses.LinearCrossEntropy(hidden, model.Head(), labels, losses.Options{})
		if err != nil {
			return nil, err
		}
		if step == 0 {
			fmt.Printf("%d of %d labels count; the loss before training is %.1f,", result.Counted, len(labels), result.Value)
		}
		optimizer.ZeroGrad()
		if err := ag.Backward(result.Loss); err != nil {
			return nil, err
		}
		if err := optimizer.Step(); err != nil {
			return nil, err
		}
		if step == 59 {
			fmt.Printf(" and after it %.1f\n", result.Value)
		}
	}
	layers.Freeze(model)
	return model, nil
}

// speak gives the model the first token of each sequence, and lets it go on.
func speak(ctx context.Context, model *gpt2.Model, tok *tokenizer.Tokenizer, sequences [][]int) error {
	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.EOSTokenID, o.MaxNewTokens = tok.BOS(), generate.IDs{tok.EOS()}, 14
	for i, s := range sequences {
		o.Prefix = s[1:2]
		said, err := generate.Generate(ctx, model, layers.Source{}, o)
		if err != nil {
			return err
		}
		text, tokens := tok.Decode(said[0].Tokens, true), said[0].Tokens
		switch {
		case text == captions[i]:
			fmt.Printf("%q and the end\n", text)
		case len(tokens) >= len(s)-2 && slices.Equal(tokens[:len(s)-2], s[1:len(s)-1]):
			fmt.Printf("%q and no end; cut off after %d more\n", captions[i], len(tokens)-(len(s)-2))
		default:
			fmt.Printf("%q\n", text)
		}
	}
	end, err := probability(model, tok, sequences[0])
	if err != nil {
		return err
	}
	fmt.Printf("the probability of the end after %q is %.2f\n", captions[0], end)
	return nil
}

// probability is that of the last token of a sequence, after all others.
func probability(model *gpt2.Model, tok *tokenizer.Tokenizer, sequence []int) (float64, error) {
	hidden, _, err := model.Decode(layers.PackTokens(sequence[:len(sequence)-1]), layers.Source{}, nil, nil)
	if err != nil {
		return 0, err
	}
	scores := ag.RowView(layers.MatMulT(hidden, model.Head()), len(sequence)-2)
	return float64(mat.Data[float32](ag.Softmax(scores).Value())[tok.EOS()]), nil
}
