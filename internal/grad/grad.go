// Package grad hands gradients over to Spago without the copy that it makes.
package grad

import "github.com/nlpodyssey/spago/mat"

// Give adds g to the gradient of x. If x has none yet, g becomes it as it is, where AccGrad would copy it: the caller
// must not use g afterwards.
func Give[T interface{ float32 | float64 }](x mat.Tensor, g *mat.Dense[T]) { x.AccGrad(given[T]{g}) }

// given is a matrix that AccGrad need not copy: what it takes for a copy is the matrix itself.
type given[T interface{ float32 | float64 }] struct{ *mat.Dense[T] }

func (g given[T]) Clone() mat.Matrix { return g.Dense }
