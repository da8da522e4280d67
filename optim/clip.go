package optim

import (
	"errors"
	"fmt"
	"math"
	"slices"

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
	sum := 0.0
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
		}
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return math.Sqrt(s), fmt.Errorf("optim: parameter %q: %w", p.Name, ErrNotFinite)
		}
		sum += s
	}
	norm := math.Sqrt(sum)
	scale(params, coefficient(norm, maxNorm, double(params)))
	return norm, nil
}

// StepClipped is [ClipGradNorm] and then a step. params are what o trains, and norm is what ClipGradNorm returned for them with
// maxNorm 0. The optimizers of this package scale gradients where they read them, which spares a pass through memory, and leave
// them as they are.
func StepClipped(o Optimizer, params []Param, norm, maxNorm float64) error {
	if !(norm >= 0) || !(maxNorm >= 0) {
		return fmt.Errorf("optim: gradient norm %v and its maximum %v, want 0 or more", norm, maxNorm)
	}
	c := coefficient(norm, maxNorm, double(params))
	if own, ok := o.(*optimizer); ok {
		return own.step(c)
	}
	scale(params, c)
	return o.Step()
}

// coefficient is what gradients are multiplied by: maxNorm/(norm+1e-6) in their type, 1 at most, and with maxNorm 0. Division of a
// number by a tensor is, in PyTorch, multiplication by the reciprocal.
func coefficient(norm, maxNorm float64, double bool) float64 {
	switch {
	case maxNorm == 0:
		return 1
	case double:
		return min(1, 1/(norm+1e-6)*maxNorm)
	}
	return min(1, float64(1/(float32(norm)+1e-6)*float32(maxNorm)))
}

// double reports whether gradients that count are of float64.
func double(params []Param) bool {
	return slices.ContainsFunc(params, func(p Param) bool {
		if !trains(p) {
			return false
		}
		_, is := p.Value.Grad().(*mat.Dense[float64])
		return is
	})
}

// scale multiplies the gradients that count by c, unless it is 1.
func scale(params []Param, c float64) {
	for _, p := range params {
		if c == 1 || !trains(p) {
			continue
		}
		switch g := p.Value.Grad().(type) {
		case *mat.Dense[float32]:
			kernel.Scale(float32(c), mat.Data[float32](g))
		case *mat.Dense[float64]:
			kernel.Scale(c, mat.Data[float64](g))
		}
	}
}
