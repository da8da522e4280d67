package vit_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

// A small model with random weights encodes two pictures of different sizes.
func Example() {
	c := vit.DefaultConfig()
	c.ImageSize, c.PatchSize = vit.Size{Height: 32, Width: 32}, vit.Size{Height: 8, Width: 8}
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 24, 2, 4, 96
	m, err := vit.New[float32](c, layers.NewRandom(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	picture := func(height, width int) vision.Pixels {
		return vision.Pixels{Height: height, Width: width, Data: make([]float32, 3*height*width)}
	}
	states, err := m.Encode([]vision.Pixels{picture(32, 32), picture(16, 64)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	special, rows, cols := m.Grid(16, 64)
	fmt.Println("states of both:", states.States.Shape())
	fmt.Printf("the second: rows %v, %d special and %d×%d patches\n", states.Offsets.Spans()[1], special, rows, cols)
	// Output:
	// states of both: [34 24]
	// the second: rows {17 34}, 1 special and 2×8 patches
}
