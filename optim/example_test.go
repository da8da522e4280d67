package optim_test

import (
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Example looks for the x at which (x-3)² is least.
func Example() {
	x := nn.NewParam(mat.Scalar[float32](0))
	params := []optim.Param{{Name: "x", Value: x}}
	const steps = 200
	schedule, err := optim.NewSchedule("linear", 10, steps)
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := optim.NewAdamW([]*optim.Group{{Params: params, LearningRate: 0.1, Schedule: schedule}}, optim.DefaultAdam())
	if err != nil {
		fmt.Println(err)
		return
	}
	for range steps {
		o.ZeroGrad()
		x.AccGrad(mat.Scalar(float32(2 * (x.Item().F64() - 3))))
		if _, err := optim.ClipGradNorm(params, 1); err != nil {
			fmt.Println(err)
			return
		}
		if err := o.Step(); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(math.Round(x.Item().F64()*100) / 100)
	// Output: 3
}
