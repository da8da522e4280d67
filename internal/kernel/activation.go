package kernel

import (
	"fmt"
	"math"
)

// Activation is a function applied to each element.
type Activation uint8

// The activations, with the names that Hugging Face configurations give them.
const (
	Identity  Activation = iota
	GELU                 // x·Φ(x): "gelu"
	GELUTanh             // the tanh approximation: "gelu_new", "gelu_pytorch_tanh", "gelu_fast"
	ReLU                 // max(x, 0): "relu"
	SiLU                 // x·σ(x): "silu", "swish"
	QuickGELU            // x·σ(1.702x): "quick_gelu"
	Tanh                 // "tanh"
)

// String is the name of the Go constant.
func (a Activation) String() string {
	names := [...]string{"Identity", "GELU", "GELUTanh", "ReLU", "SiLU", "QuickGELU", "Tanh"}
	if int(a) < len(names) {
		return names[a]
	}
	return fmt.Sprintf("Activation(%d)", uint8(a))
}

const (
	geluTanhScale = 0.7978845608028653558798921198687638 // √(2/π)
	geluTanhCubic = 0.044715
	quickGELU     = 1.702
	invSqrt2Pi    = 0.3989422804014326779399460599343819
)

// Activate sets dst[i] = act(x[i]). dst may be x. The vector forms for float32 are exact to a few units in the last place (ulp), also
// where x is very negative: Tanh and SiLU to 4, GELU to 8; QuickGELU and GELUTanh to 4 and twice the argument of the
// exponential inside, of which they feel the rounding. Results below 1e-35 may become zero.
func Activate[T Float](act Activation, dst, x []T) {
	checkLen("Activate: dst", len(dst), len(x))
	Parallel(len(x), functionGrain, func(lo, hi int) { biasActivate(act, dst[lo:hi], x[lo:hi], nil, nil) })
}

// biasActivate sets dst[i] = act(x[i]+bias[i]) and pre[i] = x[i]+bias[i]. bias and pre may be nil, dst may be x.
func biasActivate[T Float](act Activation, dst, x, bias, pre []T) {
	n := len(x)
	if s := vectorised[T](); s != nil && n > 0 {
		f := s.identity
		switch act {
		case Identity:
		case GELU:
			f = s.gelu
		case GELUTanh:
			f = s.geluTanh
		case ReLU:
			f = s.relu
		case Tanh:
			f = s.tanh
		case SiLU:
			s.sigmoidLinear(single(dst), single(x), single(bias), single(pre), n, -1)
			return
		case QuickGELU:
			s.sigmoidLinear(single(dst), single(x), single(bias), single(pre), n, -quickGELU)
			return
		default:
			panic("kernel: no such activation: " + act.String())
		}
		f(single(dst), single(x), single(bias), single(pre), n)
		return
	}
	for i, v := range x {
		if bias != nil {
			v += bias[i]
		}
		if pre != nil {
			pre[i] = v
		}
		dst[i] = T(activate(act, float64(v)))
	}
}

// coarselyActivate is biasActivate after a product in bfloat16, with tiles or without, or in int16: GELU's error is at most 2⁻¹²·(|y|+2⁻¹⁰), an
// eighth of what rounding y to bfloat16 may add.
func coarselyActivate[T Float](act Activation, dst, x, bias, pre []T) {
	if act == GELU && len(x) > 0 {
		cpu.tiles.gelu(single(dst), single(x), single(bias), single(pre), len(x))
		return
	}
	biasActivate(act, dst, x, bias, pre)
}

// ActivateGrad sets dst[i] = dy[i]·act'(x[i]). dst may be dy. For float32 the slope's error is below 4e-7, absolute.
func ActivateGrad[T Float](act Activation, dst, x, dy []T) {
	checkLen("ActivateGrad: dst", len(dst), len(x))
	checkLen("ActivateGrad: dy", len(dy), len(x))
	Parallel(len(x), functionGrain, func(lo, hi int) { activateGrad(act, dst[lo:hi], x[lo:hi], dy[lo:hi]) })
}

func activateGrad[T Float](act Activation, dst, x, dy []T) {
	n := len(x)
	if s := vectorised[T](); s != nil && n > 0 {
		switch act {
		case Identity:
			copy(dst, dy)
		case GELU:
			s.geluGrad(single(dst), single(x), single(dy), n)
		case GELUTanh:
			s.geluTanhGrad(single(dst), single(x), single(dy), n)
		case ReLU:
			s.reluGrad(single(dst), single(x), single(dy), n)
		case Tanh:
			s.tanhGrad(single(dst), single(x), single(dy), n)
		case SiLU:
			s.sigmoidLinearGrad(single(dst), single(x), single(dy), n, -1)
		case QuickGELU:
			s.sigmoidLinearGrad(single(dst), single(x), single(dy), n, -quickGELU)
		default:
			panic("kernel: no such activation: " + act.String())
		}
		return
	}
	for i, v := range x {
		dst[i] = T(float64(dy[i]) * activationSlope(act, float64(v)))
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func activate(act Activation, x float64) float64 {
	switch act {
	case Identity:
		return x
	case GELU:
		return 0.5 * x * math.Erfc(-x/math.Sqrt2)
	case GELUTanh:
		return x * sigmoid(2*geluTanhScale*(x+geluTanhCubic*x*x*x)) // as ½(1+tanh u) = σ(2u), which keeps its precision for u « 0
	case ReLU:
		if x < 0 {
			return 0
		}
		return x
	case SiLU:
		return x * sigmoid(x)
	case QuickGELU:
		return x * sigmoid(quickGELU*x)
	case Tanh:
		return math.Tanh(x)
	}
	panic("kernel: no such activation: " + act.String())
}

func activationSlope(act Activation, x float64) float64 {
	switch act {
	case Identity:
		return 1
	case GELU:
		return 0.5*math.Erfc(-x/math.Sqrt2) + x*invSqrt2Pi*math.Exp(-0.5*x*x)
	case GELUTanh:
		s := sigmoid(2 * geluTanhScale * (x + geluTanhCubic*x*x*x))
		return s * (1 + (1-s)*2*geluTanhScale*x*(1+3*geluTanhCubic*x*x))
	case ReLU:
		if x <= 0 {
			return 0
		}
		return 1
	case SiLU:
		s := sigmoid(x)
		return s * (1 + x*(1-s))
	case QuickGELU:
		s := sigmoid(quickGELU * x)
		return s * (1 + quickGELU*x*(1-s))
	case Tanh:
		t := math.Tanh(x)
		return 1 - t*t
	}
	panic("kernel: no such activation: " + act.String())
}
