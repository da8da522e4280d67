package generate_test

import (
	"context"
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
)

// A processor of the caller's own, here one that never says the same token
// twice in a row.
func ExampleProcessor() {
	noEcho := generate.ProcessorFunc(func(scores []float32, tokens []int) {
		scores[tokens[len(tokens)-1]] = float32(math.Inf(-1))
	})

	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.MaxNewTokens = 0, 5
	o.Processors = []generate.Processor{noEcho}
	decoder := always(0, 3, 2, 1) // token 1 is the most probable, then 2
	sequences, err := generate.Generate(context.Background(), decoder, items(1), o)
	fmt.Println(sequences[0].Tokens, err)
	// Output: [1 2 1 2 1] <nil>
}

// The recipe's filter by itself: of four tokens the three most probable, of
// these the fewest that have 0.8 of the probability.
func ExampleFilter() {
	logits := []float32{float32(math.Log(0.1)), float32(math.Log(0.6)), float32(math.Log(0.05)), float32(math.Log(0.25))}
	fmt.Printf("%.3f\n", generate.Filter(logits, 3, 0.8))
	// Output: [0.000 0.706 0.000 0.294]
}

func ExampleStream() {
	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.MaxNewTokens = 0, 4
	for id, err := range generate.Stream(context.Background(), always(1, 2, 3), items(1), o) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(id, " ")
	}
	// Output: 2 2 2 2
}
