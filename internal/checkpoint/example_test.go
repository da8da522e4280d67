package checkpoint_test

import (
	"fmt"
	"log"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

func Example() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	err = checkpoint.Save(dir, []checkpoint.Param{
		{Name: "proj.weight", Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}},
		{Name: "proj.bias", Shape: []int{2}, Data: []float32{5, 6}},
	}, checkpoint.SaveOptions{DType: safetensors.BF16})
	if err != nil {
		log.Fatal(err)
	}

	c, err := checkpoint.Open(os.DirFS(dir))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	bias := checkpoint.Param{Name: "proj.bias", Shape: []int{2}, Data: make([]float32, 2)}
	weight := checkpoint.Param{Name: "weight", Shape: []int{2, 2}, Data: make([]float32, 4)}
	_, err = checkpoint.Load(c, []checkpoint.Param{bias, weight}, checkpoint.Options{})
	fmt.Println(err)

	weight.Name = "proj.weight"
	report, err := checkpoint.Load(c, []checkpoint.Param{bias, weight}, checkpoint.Options{})
	fmt.Println(report.Loaded, bias.Data, weight.Data, err)
	// Output:
	// model.safetensors: 2 of the weights do not fit the model:
	// 	weight: missing, expected [2 2]; did you mean "proj.weight"?
	// 	proj.weight: not in the model, found BF16 [2 2]
	// [proj.bias proj.weight] [5 6] [1 2 3 4] <nil>
}
