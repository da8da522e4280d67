package gpt2

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Variant is something that a cross-attention has beyond Hugging Face's, to
// keep training stable. It is chosen when the cross-attention is initialised
// ([WithCrossAttention]), and config.json has it as cross_attention_type.
//
// One that scales the result can be folded into Hugging Face's form once the
// model is trained ([Model.Folded]); QKNorm cannot.
type Variant string

// Variants. QKNorm goes together with one of the other two.
const (
	Plain      Variant = "plain"       // as Hugging Face's
	Gated      Variant = "gated"       // the result times tanh of a number that starts at 0: [layers.Gate]
	LayerScale Variant = "layer_scale" // each column of the result times a number that starts small: [layers.LayerScale]
	QKNorm     Variant = "qk_norm"     // queries and keys normalised, which bounds the scores: [layers.QueryKeyNorm]
)

// Variants are those of a model; none, or Plain alone, is Hugging Face's
// cross-attention. As text their names are joined by "+".
type Variants []Variant

var variants = []Variant{Plain, Gated, LayerScale, QKNorm}

// ParseVariants reads names joined by "+", such as "plain" or "qk_norm+gated".
func ParseVariants(text string) (Variants, error) {
	var v Variants
	for name := range strings.SplitSeq(text, "+") {
		v = append(v, Variant(name))
	}
	return v.normal(), v.check()
}

func (v Variants) String() string {
	if len(v) == 0 {
		return string(Plain)
	}
	names := make([]string, len(v))
	for i, variant := range v {
		names[i] = string(variant)
	}
	return strings.Join(names, "+")
}

// Set and Type make a command's flag of it.
func (v *Variants) Set(text string) (err error) {
	*v, err = ParseVariants(text)
	return err
}

// Type is what a command's help calls the value.
func (v *Variants) Type() string { return "kind" }

// MarshalJSON writes what String says.
func (v Variants) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

// UnmarshalJSON reads what String says, or null for none.
func (v *Variants) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*v = nil
	if text == nil {
		return nil
	}
	var err error
	*v, err = ParseVariants(*text)
	if err != nil {
		return fmt.Errorf("cross_attention_type: %w", err)
	}
	return nil
}

// has reports whether v is one of the variants.
func (v Variants) has(one Variant) bool { return slices.Contains(v, one) }

// normal is v with nil for Plain and for none.
func (v Variants) normal() Variants {
	if len(v) == 0 || len(v) == 1 && v[0] == Plain {
		return nil
	}
	return v
}

func (v Variants) equal(w Variants) bool {
	v, w = slices.Clone(v.normal()), slices.Clone(w.normal())
	slices.Sort(v)
	slices.Sort(w)
	return slices.Equal(v, w)
}

func (v Variants) check() error {
	for i, one := range v {
		switch {
		case !slices.Contains(variants, one):
			return fmt.Errorf("unknown cross-attention %q; known are %v, and some of them joined by +", one, variants)
		case slices.Contains(v[:i], one):
			return fmt.Errorf("%s: %s twice", v, one)
		case one == Plain && len(v) > 1:
			return fmt.Errorf("%s: plain means that there is nothing else", v)
		}
	}
	if v.has(Gated) && v.has(LayerScale) {
		return fmt.Errorf("%s: gated and layer_scale both scale the result; take one of them", v)
	}
	return nil
}

// Output scales the result of a cross-attention: a gate or a layer scale.
type Output interface {
	nn.Model
	// Forward takes x [rows, D] to the same shape.
	Forward(x mat.Tensor) mat.Tensor
	// Factors are what each of dim columns is multiplied by.
	Factors(dim int) []float64
}

// gate and layerScale name the parameters.
type gate struct {
	*layers.Gate `param:"gate"`
}

type layerScale struct {
	*layers.LayerScale `param:"layer_scale"`
}

func newNorm[T float.DType](c Config) *layers.QueryKeyNorm {
	if !c.CrossAttentionType.has(QKNorm) {
		return nil
	}
	return layers.NewQueryKeyNorm[T](c.Dim, c.NumHeads)
}

func newOutput[T float.DType](c Config) Output {
	switch {
	case c.CrossAttentionType.has(Gated):
		return gate{layers.NewGate[T]()}
	case c.CrossAttentionType.has(LayerScale):
		return layerScale{layers.NewLayerScale[T](c.Dim, layerScaleStart(c.NumLayers))}
	}
	return nil
}

// layerScaleStart is where the paper starts for a number of blocks.
func layerScaleStart(blocks int) float64 {
	switch {
	case blocks <= 18:
		return 0.1
	case blocks <= 24:
		return 1e-5
	}
	return 1e-6
}
