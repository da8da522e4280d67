// Command search writes captions of one picture in three ways: greedily, with
// beams, and by drawing from a nucleus.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func main() {
	out := flag.String("out", "docs/tutorial/10-search", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	model, err := sample.Captioner()
	if err != nil {
		return err
	}
	picture, caption, err := find("1f930-1f3ff")
	if err != nil {
		return err
	}
	fmt.Printf("actual: %s\n", caption)

	steps, err := greedy(ctx, model, picture)
	if err != nil {
		return err
	}
	tree, err := beams(ctx, model, picture)
	if err != nil {
		return err
	}
	if err := nucleus(ctx, model, picture, caption, steps[0]); err != nil {
		return err
	}
	for name, f := range map[string]interface{ WriteFile(string) error }{
		"greedy.svg":  drawGreedy(model.Tokenizer, picture, steps),
		"beams.svg":   drawBeams(model.Tokenizer, tree),
		"nucleus.svg": drawNucleus(model.Tokenizer, steps),
	} {
		if err := f.WriteFile(filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return nil
}

// find looks for a held-out picture.
func find(id string) (vision.Image, string, error) {
	held := emoji.Validation()
	for i := range held.Len() {
		e, err := held.Example(i)
		if err != nil {
			return vision.Image{}, "", err
		}
		if e.ID == id {
			picture, err := e.Image()
			return picture, e.Captions[0], err
		}
	}
	return vision.Image{}, "", fmt.Errorf("there is no held-out picture %s", id)
}

// step is what the model thought of the next token.
type step struct {
	chosen        int
	probabilities []float64 // of each token
}

// likeliest are the n most probable tokens.
func (s step) likeliest(n int) []int {
	ids := make([]int, len(s.probabilities))
	for i := range ids {
		ids[i] = i
	}
	slices.SortFunc(ids, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.probabilities[b], s.probabilities[a]), cmp.Compare(a, b))
	})
	return ids[:n]
}

// greedy always takes the most probable token.
func greedy(ctx context.Context, model *seq2seq.VisionEncoderDecoder, picture vision.Image) ([]step, error) {
	var steps []step
	options := model.Generation
	options.Processors = []generate.Processor{generate.ProcessorFunc(func(logits []float32, tokens []int) {
		steps = append(steps, step{probabilities: generate.Filter(logits, 0, 1)})
	})}
	captions, err := model.Generate(ctx, []vision.Image{picture}, options)
	if err != nil {
		return nil, err
	}
	chosen := append(captions[0].TokenIDs, model.Tokenizer.EOS())
	for i := range steps {
		steps[i].chosen = chosen[i]
	}

	fmt.Printf("\ngreedy: %s\n", captions[0].Text)
	for _, s := range steps {
		fmt.Printf("%-12q", text(model.Tokenizer, s.chosen))
		for _, id := range s.likeliest(3) {
			fmt.Printf(" %12q %.2f", text(model.Tokenizer, id), s.probabilities[id])
		}
		fmt.Println()
	}
	fmt.Printf("log-probability %.2f, probability %.3f\n", captions[0].Score, math.Exp(captions[0].Score))
	return steps, nil
}

// text is how a token is shown.
func text(tok *tokenizer.Tokenizer, id int) string {
	if id == tok.EOS() {
		return "end"
	}
	return tok.Decode([]int{id}, false)
}

// node is a beginning of a caption that beam search followed.
type node struct {
	tokens  []int   // BOS first
	logProb float64 // of all its tokens
	best    bool    // the caption that was chosen begins so
}

// beams follows the best three beginnings.
func beams(ctx context.Context, model *seq2seq.VisionEncoderDecoder, picture vision.Image) ([][]node, error) {
	var tree [][]node // by length
	scores := map[string][]float32{}
	options := model.Generation
	options.NumBeams, options.NumReturnSequences = 3, 3
	options.Processors = []generate.Processor{generate.ProcessorFunc(func(logProbs []float32, tokens []int) {
		n := node{tokens: slices.Clone(tokens)}
		scores[fmt.Sprint(tokens)] = slices.Clone(logProbs)
		for i := 1; i < len(tokens); i++ {
			n.logProb += float64(scores[fmt.Sprint(tokens[:i])][tokens[i]])
		}
		if len(tokens) > len(tree) {
			tree = append(tree, nil)
		}
		tree[len(tokens)-1] = append(tree[len(tokens)-1], n)
	})}
	captions, err := model.Generate(ctx, []vision.Image{picture}, options)
	if err != nil {
		return nil, err
	}
	fmt.Println("\nbeams:")
	for _, c := range captions {
		total := c.Score * float64(len(c.TokenIDs)+1) // the score is the mean over the tokens and the end
		fmt.Printf("%-46s score %.3f, log-probability %.2f, probability %.3f\n", c.Text, c.Score, total, math.Exp(total))
	}
	best := append([]int{model.Tokenizer.BOS()}, captions[0].TokenIDs...)
	for _, level := range tree {
		for i, n := range level {
			level[i].best = len(n.tokens) <= len(best) && slices.Equal(n.tokens, best[:len(n.tokens)])
		}
	}
	return tree, nil
}

// nucleus draws captions from smaller and smaller choices.
func nucleus(ctx context.Context, model *seq2seq.VisionEncoderDecoder, picture vision.Image, actual string, first step) error {
	options := model.Generation
	options.DoSample, options.Seed, options.TopK, options.NumReturnSequences = true, 3, 1000, 200
	for _, topP := range []float64{1, 0.9, 0.5} {
		options.TopP = topP
		captions, err := model.Generate(ctx, []vision.Image{picture}, options)
		if err != nil {
			return err
		}
		different, right := map[string]bool{}, 0
		for _, c := range captions {
			different[c.Text] = true
			if c.Text == actual {
				right++
			}
		}
		fmt.Printf("\ntop_p %.1f: %d first tokens to choose from; of 200 captions %d are different, %d right\n", topP, first.nucleus(1000, topP), len(different), right)
		for _, c := range captions[:5] {
			fmt.Println("  ", c.Text)
		}
	}
	return nil
}

// nucleus counts the fewest of the topK likeliest tokens that have the
// probability topP together.
func (s step) nucleus(topK int, topP float64) int {
	together := 0.0
	for n, id := range s.likeliest(topK) {
		if together >= topP {
			return n
		}
		together += s.probabilities[id]
	}
	return topK
}
