package attention_test

import (
	"context"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/attention"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Where the embedded captioner looks for each word of what it says.
func Example() {
	m, err := sample.Captioner()
	if err != nil {
		fmt.Println(err)
		return
	}
	picture, err := m.Processor.Decoder().Open("../../docs/images/picture.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	pixels, err := m.Processor.Process(picture)
	if err != nil {
		fmt.Println(err)
		return
	}
	captions, err := m.GenerateFromPixels(context.Background(), []vision.Pixels{pixels}, m.Generation)
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := attention.Look(m, pixels, captions[0].TokenIDs)
	if err != nil {
		fmt.Println(err)
		return
	}
	words := a.Words(func(ids []int) string { return m.Tokenizer.Decode(ids, true) })
	for _, w := range words {
		best := 0
		for i, heat := range w.Heat {
			if heat > w.Heat[best] {
				best = i
			}
		}
		fmt.Printf("%q: most at row %d, column %d of %d×%d patches\n", w.Text, best/a.Cols, best%a.Cols, a.Rows, a.Cols)
	}
	if _, err := attention.Draw(picture, words, a.Rows, a.Cols); err != nil {
		fmt.Println(err)
	}
	// Output:
	// "woman": most at row 5, column 3 of 8×8 patches
	// "juggling:": most at row 1, column 3 of 8×8 patches
	// "medium": most at row 3, column 3 of 8×8 patches
	// "skin": most at row 3, column 3 of 8×8 patches
	// "tone": most at row 3, column 4 of 8×8 patches
}
