package layers

import (
	"fmt"
	"reflect"
)

// Precision is the number format in which linear layers multiply.
type Precision int

// Precisions. Sums, and all that is not a product of matrices, are float32.
const (
	Float32  Precision = iota // float32, or float64 where the weights are
	BFloat16                  // inputs, weights and gradients are rounded to bfloat16 for each product, or to integers that are as exact where these are faster
	Int8                      // weights are, for decoding: see Conv1D.Hold; elsewhere as BFloat16
)

// precisions are the names, those of the commands' --precision.
var precisions = []string{"fp32", "bf16", "int8"}

func (p Precision) String() string { return precisions[p] }

// ParsePrecision reads fp32, bf16 or int8.
func ParsePrecision(name string) (Precision, error) {
	for i, n := range precisions {
		if n == name {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("precision %q: want one of %v", name, precisions)
}

// SetPrecision sets the Precision of every [Linear], [Conv1D] and
// [PatchEmbedding] of a model. Weights stay as they are, so what is trained
// and saved keeps its digits.
func SetPrecision(model any, p Precision) {
	if p == Int8 {
		p = BFloat16
	}
	visitPrecisions(model, func(of *Precision) { *of = p })
}

// Precisions lists those of a model, in the order of its modules.
func Precisions(model any) (all []Precision) {
	visitPrecisions(model, func(of *Precision) { all = append(all, *of) })
	return all
}

func visitPrecisions(model any, visit func(*Precision)) {
	w := walk{module: func(module any) {
		switch l := module.(type) {
		case *Linear:
			visit(&l.Precision)
		case *Conv1D:
			visit(&l.Precision)
		case *PatchEmbedding:
			visit(&l.Precision)
		}
	}}
	w.value(reflect.ValueOf(model), "")
}
