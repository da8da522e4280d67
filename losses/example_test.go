package losses_test

import (
	"fmt"
	"log"

	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/nlpodyssey/spago/mat"
)

func ExampleLinearCrossEntropy() {
	hidden := mat.NewDense[float32](mat.WithShape(2, 2), mat.WithBacking([]float32{1, 0, 0, 1}))
	head := mat.NewDense[float32](mat.WithShape(3, 2), mat.WithBacking([]float32{0, 0, 0, 0, 0, 0}))
	result, err := losses.LinearCrossEntropy(hidden, head, []int{2, losses.IgnoreIndex}, losses.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f\n", result.Value) // ln 3: nothing is known of three tokens
	// Output: 1.0986
}
