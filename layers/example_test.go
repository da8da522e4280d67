package layers_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// Sequences of all lengths stand one after the other; nothing is padded.
func ExamplePackTokens() {
	tokens := layers.PackTokens([]int{7, 8, 9}, []int{5})
	fmt.Println(tokens.IDs, tokens.Offsets)
	// Output: [7 8 9 5] [0 3 4]
}
