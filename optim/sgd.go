package optim

import (
	"errors"
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// SGDOptions are the options of SGD beside those of a [Group]. The zero value, PyTorch's default,
// is plain gradient descent.
type SGDOptions struct {
	Momentum  float64 // decay of the sum of gradients that is followed in place of the gradient; 0: none
	Dampening float64 // 1-Dampening multiplies what each gradient but the first adds to that sum
	Nesterov  bool    // look ahead along the sum; needs Momentum, and no Dampening
}

// NewSGD makes stochastic gradient descent as torch.optim.SGD. It fails when an option is out of
// range, or a parameter is frozen, nameless, or given twice.
func NewSGD(groups []*Group, o SGDOptions) (Optimizer, error) {
	if !(o.Momentum >= 0) || math.IsInf(o.Momentum, 1) {
		return nil, fmt.Errorf("optim: SGD's momentum is %v, want a finite number, 0 or more", o.Momentum)
	}
	if math.IsNaN(o.Dampening) || math.IsInf(o.Dampening, 0) {
		return nil, fmt.Errorf("optim: SGD's dampening is %v, want a finite number", o.Dampening)
	}
	if o.Nesterov && (o.Momentum == 0 || o.Dampening != 0) {
		return nil, errors.New("optim: SGD's Nesterov momentum needs a momentum above 0 and no dampening")
	}
	r := rule{name: "SGD", update32: sgd[float32](o), update64: sgd[float64](o)}
	if o.Momentum != 0 {
		r.moments = []string{"momentum_buffer"}
	}
	return newOptimizer(r, groups)
}

// grain is the least number of values worth a goroutine.
const grain = 1 << 14

// sgd rounds where PyTorch's kernels round: scalars are computed in float64 and then rounded to the tensor's type, and
// add_ with a factor is a fused multiply-add.
func sgd[T float32 | float64](o SGDOptions) update[T] {
	return func(w, g []T, moments [][]T, scale, lr, wd float64, t int) {
		momentum, rest, step := T(o.Momentum), T(1-o.Dampening), T(-lr)
		kernel.Parallel(len(w), grain, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				gi := T(g[i] * T(scale))
				if wd != 0 {
					gi = fma(T(wd), w[i], gi)
				}
				if o.Momentum != 0 {
					sum := &moments[0][i]
					if t == 1 {
						*sum = gi
					} else {
						*sum = fma(rest, gi, T(*sum*momentum))
					}
					if o.Nesterov {
						gi = fma(momentum, *sum, gi)
					} else {
						gi = *sum
					}
				}
				w[i] = fma(step, gi, w[i])
			}
		})
	}
}

// fma is x*y+z, rounded once. (For float32 it is rounded to float64 first, which differs
// about once in 2^29 times.)
func fma[T float32 | float64](x, y, z T) T {
	return T(math.FMA(float64(x), float64(y), float64(z)))
}
