package layers

import (
	"fmt"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/grad"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

// Apply runs an operator; it is the way to use one of your own. It becomes a
// node of the graph only if some operand requires a gradient; otherwise the
// plain result is returned.
//
// Forward makes a matrix of its own, float32 or float64, and does not return
// an error: it panics, as what can go wrong is to be checked before. Backward
// adds a gradient (AccGrad) to each operand that requires one. Neither result
// nor gradient may be kept beyond that, as their memory is used again.
func Apply(f ag.AutoGradFunction) mat.Tensor {
	if requiresGrad(f.Operands()...) {
		return ag.NewOperator(&node{AutoGradFunction: f}).Run()
	}
	y, err := f.Forward()
	if err != nil {
		panic(err)
	}
	return y
}

// node is an operator in the graph. Once the gradient of its result has been
// passed on, nobody needs it, and it is dropped: those of all results would be
// as large as the results.
type node struct {
	ag.AutoGradFunction
	y mat.Tensor
}

func (n *node) Forward() (y mat.Tensor, err error) {
	n.y, err = n.AutoGradFunction.Forward()
	if _, shares := n.AutoGradFunction.(interface{ shares() }); !shares { // its elements are another's
		switch y := n.y.(type) {
		case *mat.Dense[float32]:
			recycle(mat.Data[float32](y))
		case *mat.Dense[float64]:
			recycle(mat.Data[float64](y))
		}
	}
	return n.y, err
}

func (n *node) Backward(gy mat.Tensor) error {
	err := n.AutoGradFunction.Backward(gy)
	n.y.ZeroGrad()
	if _, passed := n.AutoGradFunction.(passer); !passed {
		drop(gy)
	}
	return err
}

// passer is an operator that passes the gradient of its result on as it is.
type passer interface{ passes() }

func requiresGrad(xs ...mat.Tensor) bool {
	for _, x := range xs {
		if wants(x) {
			return true
		}
	}
	return false
}

// wants reports whether a gradient for x is asked for; x may be nil.
func wants(x mat.Tensor) bool { return x != nil && x.RequiresGrad() }

// operands drops the nil ones, which are optional parts such as a bias.
func operands(xs ...mat.Tensor) []mat.Tensor {
	out := xs[:0:0]
	for _, x := range xs {
		if x != nil {
			out = append(out, x)
		}
	}
	return out
}

// values returns the elements of x without copying them; nil for nil.
func values[T kernel.Float](x mat.Tensor) []T {
	if x == nil {
		return nil
	}
	return mat.Data[T](x.Value())
}

func matrix[T kernel.Float](data []T, rows, cols int) *mat.Dense[T] {
	return mat.NewDense[T](mat.WithShape(rows, cols), mat.WithBacking(data))
}

// accumulate adds gradient g to x if x asks for it; g has the shape of x, and
// is x's from then on.
func accumulate[T kernel.Float](x mat.Tensor, g []T) {
	if g != nil && wants(x) {
		shape := x.Shape()
		grad.Give(x, matrix(g, shape[0], shape[1]))
	}
}

// pass adds gy, the gradient of an operator's result, to those of xs that ask
// for one. The last of them gets it as it is, not a copy, so it must not be
// used afterwards.
func pass[T kernel.Float](gy mat.Tensor, xs ...mat.Tensor) {
	xs = slices.DeleteFunc(xs, func(x mat.Tensor) bool { return !wants(x) })
	for i, x := range xs {
		if i < len(xs)-1 {
			x.AccGrad(gy)
		} else {
			grad.Give(x, gy.(*mat.Dense[T]))
		}
	}
}

// gradient returns a zeroed buffer for the gradient of x, or nil if nobody
// asks for it.
func gradient[T kernel.Float](x mat.Tensor) []T {
	if !wants(x) {
		return nil
	}
	return zeros[T](x.Size())
}

// dims returns the rows and columns of x.
func dims(x mat.Tensor) (rows, cols int) {
	s := x.Shape()
	return s[0], s[1]
}

// isFloat64 tells which of the two element types x has.
func isFloat64(x mat.Tensor) bool {
	switch x.Value().(type) {
	case *mat.Dense[float64]:
		return true
	case *mat.Dense[float32], *held:
		return false
	}
	panic(fmt.Sprintf("layers: %T is neither a float32 nor a float64 matrix", x.Value()))
}

// checkLen panics unless the optional vector x has n elements.
func checkLen(operator, operand string, x mat.Tensor, n int) {
	if x != nil && x.Size() != n {
		panic(fmt.Sprintf("layers: %s: %s has shape %v, want %d elements", operator, operand, x.Shape(), n))
	}
}

// optional turns a nil *nn.Param into a nil interface.
func optional[P interface {
	comparable
	mat.Tensor
}](p P) mat.Tensor {
	var none P
	if p == none {
		return nil
	}
	return p
}
