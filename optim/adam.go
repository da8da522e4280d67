package optim

import (
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// AdamOptions are the options of Adam and AdamW beside those of a [Group].
type AdamOptions struct {
	Beta1 float64 // decay of the mean of the gradients, in [0, 1)
	Beta2 float64 // decay of the mean of their squares, in [0, 1)
	Eps   float64 // added to the root of the latter; 0 or more
}

// DefaultAdam gives PyTorch's defaults: 0.9, 0.999 and 1e-8.
func DefaultAdam() AdamOptions { return AdamOptions{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8} }

// PyTorch's defaults for a [Group].
const (
	DefaultLearningRate = 1e-3 // of AdamW, Adam and SGD
	DefaultWeightDecay  = 1e-2 // of AdamW; 0 of Adam and SGD
)

// NewAdamW makes Adam with decoupled weight decay (Loshchilov and Hutter,
// "Decoupled Weight Decay Regularization"), as torch.optim.AdamW. It fails when an option is out of
// range, or a parameter is frozen, nameless, or given twice.
func NewAdamW(groups []*Group, options AdamOptions) (Optimizer, error) {
	return newAdam("AdamW", true, groups, options)
}

// NewAdam makes Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization"), as
// torch.optim.Adam: weight decay is added to the gradient. It fails when NewAdamW does.
func NewAdam(groups []*Group, options AdamOptions) (Optimizer, error) {
	return newAdam("Adam", false, groups, options)
}

func newAdam(name string, decoupled bool, groups []*Group, o AdamOptions) (Optimizer, error) {
	for i, beta := range []float64{o.Beta1, o.Beta2} {
		if !(beta >= 0 && beta < 1) {
			return nil, fmt.Errorf("optim: %s's beta%d is %v, want 0 <= beta%d < 1", name, i+1, beta, i+1)
		}
	}
	if !(o.Eps >= 0) || math.IsInf(o.Eps, 1) {
		return nil, fmt.Errorf("optim: %s's epsilon is %v, want a finite number, 0 or more", name, o.Eps)
	}
	return newOptimizer(rule{
		name:     name,
		moments:  []string{"exp_avg", "exp_avg_sq"},
		update32: adam[float32](o, decoupled),
		update64: adam[float64](o, decoupled),
	}, groups)
}

func adam[T float32 | float64](o AdamOptions, decoupled bool) update[T] {
	return func(w, g []T, moments [][]T, scale, lr, wd float64, t int) {
		kernel.AdamW(w, g, moments[0], moments[1], kernel.AdamParams{
			LearningRate: lr,
			Beta1:        o.Beta1,
			Beta2:        o.Beta2,
			Epsilon:      o.Eps,
			WeightDecay:  wd,
			Decoupled:    decoupled,
			Step:         t,
			GradScale:    scale,
		})
	}
}
