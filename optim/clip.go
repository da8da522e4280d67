package optim

import (
	"errors"
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// ErrNotFinite is in the error of [ClipGradNorm] when a gradient has an infinity or a NaN.
var ErrNotFinite = errors.New("the gradient is not finite")

// ClipGradNorm scales the gradients in place so that their global norm, the root of the sum of all
// their squares, is at most maxNorm, and returns the norm they had, as
// torch.nn.utils.clip_grad_norm_ does. Parameters that are frozen or have no gradient do not
// count. With maxNorm 0 it only measures.
//
// When the norm is not finite the gradients are left as they are and the error wraps
// [ErrNotFinite] and names the first parameter at fault: skip the step, or stop.
func ClipGradNorm(params []Param, maxNorm float64) (float64, error) {
	if !(maxNorm >= 0) {
		return 0, fmt.Errorf("optim: maximum gradient norm %v, want 0 (no clipping) or more", maxNorm)
	}
	sum, double := 0.0, false
	for _, p := range params {
		if !trains(p) {
			continue
		}
		if err := checkType(p); err != nil {
			return 0, err
		}
		var s float64
		switch g := p.Value.Grad().(type) {
		case *mat.Dense[float32]:
			s = kernel.SumSquares(mat.Data[float32](g))
		case *mat.Dense[float64]:
			s = kernel.SumSquares(mat.Data[float64](g))
			double = true
		}
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return math.Sqrt(s), fmt.Errorf("optim: parameter %q: %w", p.Name, ErrNotFinite)
		}
		sum += s
	}
	norm := math.Sqrt(sum)
	if maxNorm == 0 {
		return norm, nil
	}
	if c := coefficient(norm, maxNorm, double); c < 1 {
		for _, p := range params {
			if trains(p) {
				scale(p, c)
			}
		}
	}
	return norm, nil
}

// coefficient is maxNorm/(norm+1e-6) in the type of the gradients. Division of a number by a tensor is, in
// PyTorch, multiplication by the reciprocal.
func coefficient(norm, maxNorm float64, double bool) float64 {
	if double {
		return 1 / (norm + 1e-6) * maxNorm
	}
	return float64(1 / (float32(norm) + 1e-6) * float32(maxNorm))
}

func scale(p Param, c float64) {
	switch g := p.Value.Grad().(type) {
	case *mat.Dense[float32]:
		kernel.Scale(float32(c), mat.Data[float32](g))
	case *mat.Dense[float64]:
		kernel.Scale(c, mat.Data[float64](g))
	}
}
