package layers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// Activation is a function applied to each element, fused into a linear layer.
type Activation = kernel.Activation

// Activations. Identity leaves a linear layer's result as it is.
const (
	Identity  = kernel.Identity
	GELU      = kernel.GELU      // x·Φ(x)
	GELUTanh  = kernel.GELUTanh  // its approximation by a tanh: GPT-2's "gelu_new"
	ReLU      = kernel.ReLU      // max(x, 0)
	SiLU      = kernel.SiLU      // x·σ(x)
	QuickGELU = kernel.QuickGELU // x·σ(1.702x)
	Tanh      = kernel.Tanh
)

// activations has Hugging Face's names (transformers.activations.ACT2FN).
var activations = map[string]Activation{
	"linear":            kernel.Identity,
	"gelu":              kernel.GELU,
	"gelu_python":       kernel.GELU,
	"gelu_new":          kernel.GELUTanh,
	"gelu_pytorch_tanh": kernel.GELUTanh,
	"gelu_fast":         kernel.GELUTanh,
	"quick_gelu":        kernel.QuickGELU,
	"relu":              kernel.ReLU,
	"silu":              kernel.SiLU,
	"swish":             kernel.SiLU,
	"tanh":              kernel.Tanh,
}

// ParseActivation returns the activation of a Hugging Face configuration's
// hidden_act or activation_function. The error of an unknown name lists the
// known ones.
func ParseActivation(name string) (Activation, error) {
	if a, ok := activations[name]; ok {
		return a, nil
	}
	known := make([]string, 0, len(activations))
	for k := range activations {
		known = append(known, k)
	}
	slices.Sort(known)
	return Identity, fmt.Errorf("unknown activation %q; known are %s", name, strings.Join(known, ", "))
}
