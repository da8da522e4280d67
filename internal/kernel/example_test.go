package kernel_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// A linear layer with its bias and activation: x is [rows, in], the weight [out, in] and y [rows, out].
func ExampleGemm() {
	const rows, in, out = 2, 3, 2
	x := []float32{1, 2, 3, -1, -2, -3}
	weight := []float32{1, 0, 1, 0, 1, 0}
	y := make([]float32, rows*out)
	kernel.Gemm(false, true, rows, out, in, x, in, weight, in, y, out, false,
		&kernel.Epilogue[float32]{Bias: []float32{0.5, -0.5}, Activation: kernel.ReLU})
	fmt.Println(y)
	// Output: [4.5 1.5 0 0]
}
