package kernel

import (
	"math"
	"unsafe"
)

// AdamParams are the scalars of one AdamW step.
type AdamParams struct {
	LearningRate float64
	Beta1, Beta2 float64
	Epsilon      float64
	WeightDecay  float64
	Decoupled    bool    // decay the weights (AdamW) and not the gradient (Adam with an L2 penalty)
	Step         int     // counts from 1
	GradScale    float64 // multiplies the gradient before all else; 0: it is as it is
}

// AdamW makes one step of Adam or AdamW on the weights w with gradient g, and updates the moments m and v, all of one length; g is
// only read. The order of operations and the rounding of the scalars are those of PyTorch's single-tensor Adam: on AVX2 and AVX-512, float32 results have its bits.
func AdamW[T Float](w, g, m, v []T, p AdamParams) {
	n := len(w)
	checkLen("AdamW: g", len(g), n)
	checkLen("AdamW: m", len(m), n)
	checkLen("AdamW: v", len(v), n)
	k := adamConstants[T](p)
	Parallel(n, 1<<15, func(lo, hi int) {
		adam(w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], &k)
	})
}

// adamScalars are the scalars of a step as the elements see them.
type adamScalars[T Float] struct {
	decay    T // factor of the weight; 1 without decoupled decay
	l2       T // weight added to the gradient
	lerp     T // 1-β₁
	beta2    T
	square   T // 1-β₂
	root     T // √(1-β₂ᵗ)
	eps      T
	stepSize T // -lr/(1-β₁ᵗ)
	scale    T // of the gradient
}

func adamConstants[T Float](p AdamParams) adamScalars[T] {
	k := adamScalars[T]{
		decay:    1,
		scale:    1,
		lerp:     T(1 - p.Beta1),
		beta2:    T(p.Beta2),
		square:   T(1 - p.Beta2),
		root:     T(math.Sqrt(1 - math.Pow(p.Beta2, float64(p.Step)))),
		eps:      T(p.Epsilon),
		stepSize: T(-p.LearningRate / (1 - math.Pow(p.Beta1, float64(p.Step)))),
	}
	if p.Decoupled {
		k.decay = T(1 - p.LearningRate*p.WeightDecay)
	} else {
		k.l2 = T(p.WeightDecay)
	}
	if p.GradScale != 0 {
		k.scale = T(p.GradScale)
	}
	return k
}

func adam[T Float](w, g, m, v []T, k *adamScalars[T]) {
	if s := vectorised[T](); s != nil && k.lerp < 0.5 && len(w) > 0 {
		s.adam(single(w), single(g), single(m), single(v), len(w), (*[9]float32)(unsafe.Pointer(k)))
		return
	}
	// Where PyTorch's vector code has a fused multiply-add, sums are made in float64, which for float32 is nearly always the same.
	fused := func(x, y, z T) T { return T(float64(x)*float64(y) + float64(z)) }
	for i := range w {
		weight, grad := T(w[i]*k.decay), T(g[i]*k.scale) // the conversions keep a compiler from fusing what PyTorch does not
		if k.l2 != 0 {
			grad = fused(k.l2, weight, grad)
		}
		if k.lerp < 0.5 { // the two forms of torch.lerp
			m[i] = fused(k.lerp, grad-m[i], m[i])
		} else {
			m[i] = fused(m[i]-grad, 1-k.lerp, grad)
		}
		v[i] = fused(k.square*grad, grad, v[i]*k.beta2)
		denominator := T(math.Sqrt(float64(v[i])))/k.root + k.eps
		w[i] = weight + k.stepSize*m[i]/denominator
	}
}
