// Command attention computes attention by hand, in its three forms, and shows
// it at work in the embedded models.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/attention"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/mat"
)

func main() {
	out := flag.String("out", "docs/tutorial/02-attention", "folder of the figures")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

func run(out string) error {
	if err := byHand().WriteFile(filepath.Join(out, "forms.svg")); err != nil {
		return err
	}

	model, err := sample.Captioner()
	if err != nil {
		return err
	}
	picture, err := model.Processor.Decoder().Open("docs/images/picture.png")
	if err != nil {
		return err
	}
	pixels, err := model.Processor.Process(picture)
	if err != nil {
		return err
	}

	encoder := model.Encoder.(*vit.Model)
	weights, err := looksOfPatches(encoder, pixels, 3) // in the fourth layer
	if err != nil {
		return err
	}
	_, rows, cols := encoder.Grid(pixels.Height, pixels.Width)
	const ball = 2*8 + 1 // the third patch down, the second across
	heads := looksOf(ball, weights, rows*cols)
	fmt.Println("the patch of the red ball looks most at")
	for head, look := range heads {
		most := slices.Index(look, slices.Max(look))
		fmt.Printf("head %d: the patch %d down, %d across, with %.2f\n", head+1, most/cols+1, most%cols+1, look[most])
	}
	if err := drawSelf(picture, heads, ball, rows, cols).WriteFile(filepath.Join(out, "self.svg")); err != nil {
		return err
	}

	caption := model.Tokenizer.Encode("woman juggling: medium skin tone")
	tokens := append([]int{model.Tokenizer.BOS()}, caption...)
	texts := make([]string, len(tokens))
	for i, id := range tokens {
		texts[i] = model.Tokenizer.Decode([]int{id}, false)
	}
	if err := drawCausal(looksOfTokens(model.Decoder.(*gpt2.Model), tokens), texts).WriteFile(filepath.Join(out, "causal.svg")); err != nil {
		return err
	}

	cross, err := attention.Look(model, pixels, caption)
	if err != nil {
		return err
	}
	words := cross.Words(func(ids []int) string { return model.Tokenizer.Decode(ids, false) })
	fmt.Printf("\n%d tokens look at %d patches in %d layers with %d heads each\n", len(cross.Tokens), cross.Rows*cross.Cols, cross.Layers, cross.Heads)
	return drawCross(picture, words, cross.Rows, cross.Cols).WriteFile(filepath.Join(out, "cross.svg"))
}

// byHand computes the three forms on rows of two numbers, and draws them.
func byHand() *figure.Figure {
	text := [][]float32{{2, 0}, {0, 2}, {2, 2}}
	picture := [][]float32{{1, 0}, {0, 1}}
	return drawForms(show("self", text, text, false), show("causal", text, text, true), show("cross", text, picture, false))
}

// show prints what rows that ask make of rows that are looked at, by hand and
// by the library, and returns the weights.
func show(name string, ask, seen [][]float32, causal bool) [][]float32 {
	sees := func(i, j int) bool { return true }
	if causal {
		sees = func(i, j int) bool { return j <= i }
	}
	weights, result := attend(ask, seen, seen, sees)
	fmt.Printf("%s\n", name)
	for i := range ask {
		fmt.Printf("row %d sees %.2f and becomes %.2f\n", i+1, weights[i], result[i])
	}
	q, kv := matrix(ask), matrix(seen)
	theirs := layers.Attention(layers.Columns{X: q}, layers.Columns{X: kv}, layers.Columns{X: kv}, layers.AttentionOptions{
		NumHeads: 1, Dim: 2, Causal: causal,
		Query:  []layers.Span{{Start: 0, End: len(ask)}},
		Source: []layers.Span{{Start: 0, End: len(seen)}},
	})
	fmt.Printf("the library's result differs by %.4f at most\n\n", farthest(result, theirs))
	return weights
}

// attend lets each query look at the keys that it sees, and mixes their values.
func attend(queries, keys, values [][]float32, sees func(i, j int) bool) (weights, result [][]float32) {
	for i, q := range queries {
		row, total := make([]float32, len(keys)), float32(0)
		for j, k := range keys {
			if sees(i, j) {
				score := dot(q, k) / math.Sqrt(float64(len(q)))
				row[j] = float32(math.Exp(score))
				total += row[j]
			}
		}
		mixed := make([]float32, len(values[0]))
		for j, v := range values {
			row[j] /= total // now the row adds up to 1
			for c := range mixed {
				mixed[c] += row[j] * v[c]
			}
		}
		weights, result = append(weights, row), append(result, mixed)
	}
	return weights, result
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func matrix(rows [][]float32) mat.Tensor {
	var data []float32
	for _, row := range rows {
		data = append(data, row...)
	}
	return mat.NewDense[float32](mat.WithShape(len(rows), len(rows[0])), mat.WithBacking(data))
}

func farthest(rows [][]float32, matrix mat.Tensor) float64 {
	most := 0.0
	values := mat.Data[float32](matrix.Value())
	for i, row := range rows {
		for j, v := range row {
			most = max(most, math.Abs(float64(v-values[i*len(row)+j])))
		}
	}
	return most
}

// looksOfPatches returns how the rows of a picture look at each other in a
// layer of the ViT: [heads, rows, rows].
func looksOfPatches(model *vit.Model, pixels vision.Pixels, layer int) ([]float32, error) {
	states, err := model.HiddenStates([]vision.Pixels{pixels})
	if err != nil {
		return nil, err
	}
	l := model.Layers[layer]
	h := l.LayerNormBefore.Forward(states[layer])
	queries, keys := l.Query.Forward(h, layers.Identity), l.Key.Forward(h, layers.Identity)
	rows := []layers.Span{{Start: 0, End: h.Shape()[0]}}
	return layers.AttentionWeights(layers.Columns{X: queries}, layers.Columns{X: keys}, layers.AttentionOptions{
		NumHeads: model.Config.NumAttentionHeads, Dim: model.Dim(), Query: rows, Source: rows,
	}, 0), nil
}

// looksOf takes from the weights of all heads how one patch looks at all
// patches. The first row is the class token's.
func looksOf(patch int, weights []float32, patches int) [][]float32 {
	var heads [][]float32
	rows := patches + 1
	for first := 0; first < len(weights); first += rows * rows {
		row := weights[first+(patch+1)*rows:][:rows]
		heads = append(heads, row[1:])
	}
	return heads
}

// looksOfTokens returns how tokens look at each other in the first block of
// the GPT-2: [heads, tokens, tokens].
func looksOfTokens(model *gpt2.Model, tokens []int) []float32 {
	t, positions := model.Transformer, make([]int, len(tokens))
	for i := range positions {
		positions[i] = i
	}
	x := layers.Residual(t.WTE.Forward(tokens), t.WPE.Forward(positions))
	qkv := t.Blocks[0].Attn.CAttn.Forward(t.Blocks[0].LN1.Forward(x), layers.Identity)
	rows := []layers.Span{{Start: 0, End: len(tokens)}}
	return layers.AttentionWeights(layers.Columns{X: qkv}, layers.Columns{X: qkv, From: model.Dim()}, layers.AttentionOptions{
		NumHeads: model.Config.NumHeads, Dim: model.Dim(), Causal: true, Query: rows, Source: rows,
	}, 0)
}
