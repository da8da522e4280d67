// Command graph follows a gradient through Spago's graph, and makes an
// operator with a gradient of its own.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

func main() {
	out := flag.String("out", "docs/tutorial/03-graph", "folder of the figures")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

func run(out string) error {
	if err := learn(); err != nil {
		return err
	}
	if err := twice(); err != nil {
		return err
	}
	fmt.Println("\na·sigmoid(b)")
	if err := check(Gate[float64]); err != nil {
		return err
	}
	fmt.Println("\na·sigmoid(b), with a mistake in Backward")
	if err := check(mistaken); err != nil {
		return err
	}
	frozen()
	if err := drawGraph().WriteFile(filepath.Join(out, "graph.svg")); err != nil {
		return err
	}
	return drawErrors(errors[float64](), errors[float32]()).WriteFile(filepath.Join(out, "errors.svg"))
}

// learn makes one step: w·x should be t.
func learn() error {
	w := mat.Scalar(2.0, mat.WithGrad(true)) // to be learnt
	x, t := mat.Scalar(3.0), mat.Scalar(5.0) // given

	product := ag.Prod(w, x)
	loss := ag.Square(ag.Sub(product, t))
	fmt.Printf("w is %.1f, w·x is %.1f and should be %.1f: the loss is %.2f\n", number(w), number(product), number(t), number(loss))
	if err := ag.Backward(loss); err != nil {
		return err
	}
	slope := number(w.Grad())
	fmt.Printf("the gradient of w is %.1f; does x have one? %v\n", slope, x.HasGrad())

	w = mat.Scalar(number(w) - 0.05*slope)
	fmt.Printf("w is %.1f: the loss is %.2f\n", number(w), number(ag.Square(ag.Sub(ag.Prod(w, x), t))))
	return nil
}

// number is the one number of a tensor of one.
func number(x mat.Tensor) float64 { return x.Value().Item().F64() }

// twice uses a number in two places.
func twice() error {
	w := mat.Scalar(2.0, mat.WithGrad(true))
	if err := ag.Backward(ag.Add(ag.Prod(w, w), w)); err != nil {
		return err
	}
	fmt.Printf("\nw·w + w has the gradient 2w + 1: %.1f\n", number(w.Grad()))
	return nil
}

// gate lets a share of each element through: a·sigmoid(b).
type gate[T float.DType] struct {
	a, b mat.Tensor // of one shape
	open []T        // sigmoid(b), kept for Backward
}

func (g *gate[T]) Operands() []mat.Tensor { return []mat.Tensor{g.a, g.b} }

func (g *gate[T]) Forward() (mat.Tensor, error) {
	a, b := mat.Data[T](g.a.Value()), mat.Data[T](g.b.Value())
	y := make([]T, len(a))
	g.open = make([]T, len(a))
	for i := range y {
		g.open[i] = T(1 / (1 + math.Exp(-float64(b[i]))))
		y[i] = a[i] * g.open[i]
	}
	return like(g.a, y), nil
}

func (g *gate[T]) Backward(gy mat.Tensor) error {
	dy, a := mat.Data[T](gy.Value()), mat.Data[T](g.a.Value())
	if g.a.RequiresGrad() {
		da := make([]T, len(dy))
		for i := range da {
			da[i] = dy[i] * g.open[i]
		}
		g.a.AccGrad(like(g.a, da))
	}
	if g.b.RequiresGrad() {
		db := make([]T, len(dy))
		for i := range db {
			db[i] = dy[i] * a[i] * g.open[i] * (1 - g.open[i])
		}
		g.b.AccGrad(like(g.b, db))
	}
	return nil
}

// Gate is a·sigmoid(b) for matrices of one shape.
func Gate[T float.DType](a, b mat.Tensor) mat.Tensor { return layers.Apply(&gate[T]{a: a, b: b}) }

// like is a matrix of the shape of another.
func like[T float.DType](x mat.Tensor, data []T) mat.Tensor {
	return mat.NewDense[T](mat.WithShape(x.Shape()...), mat.WithBacking(data))
}

// forgetful is a gate that takes the sigmoid for its own slope.
type forgetful struct{ *gate[float64] }

func (f forgetful) Backward(gy mat.Tensor) error {
	dy, a := mat.Data[float64](gy.Value()), mat.Data[float64](f.a.Value())
	da, db := make([]float64, len(dy)), make([]float64, len(dy))
	for i := range dy {
		da[i], db[i] = dy[i]*f.open[i], dy[i]*a[i]*f.open[i]
	}
	f.a.AccGrad(like(f.a, da))
	f.b.AccGrad(like(f.b, db))
	return nil
}

func mistaken(a, b mat.Tensor) mat.Tensor {
	return layers.Apply(forgetful{&gate[float64]{a: a, b: b}})
}

// check prints the gradients of an operator, and what finite differences say.
func check(operator func(a, b mat.Tensor) mat.Tensor) error {
	matrix := func(data ...float64) *mat.Dense[float64] {
		return mat.NewDense[float64](mat.WithShape(len(data), 1), mat.WithBacking(data), mat.WithGrad(true))
	}
	a, b := matrix(1, -2, 0.5), matrix(0.3, 1, -2)
	loss := func() mat.Tensor { return ag.ReduceSum(ag.Square(operator(a, b))) }
	if err := ag.Backward(loss()); err != nil {
		return err
	}
	for _, operand := range []struct {
		name   string
		matrix *mat.Dense[float64]
	}{{"a", a}, {"b", b}} {
		data, grad := mat.Data[float64](operand.matrix), mat.Data[float64](operand.matrix.Grad())
		for i := range data {
			slope := difference(data, i, 1e-5, func() float64 { return number(loss()) })
			verdict := "right"
			if math.Abs(grad[i]-slope) > 1e-6 {
				verdict = "WRONG"
			}
			fmt.Printf("%s[%d]: Backward says %7.4f, finite differences %7.4f: %s\n", operand.name, i, grad[i], slope, verdict)
		}
	}
	return nil
}

// difference is how much f changes with x[i], tried out a little above and a
// little below.
func difference[T float.DType](x []T, i int, h T, f func() T) float64 {
	old := x[i]
	x[i] = old + h
	above := f()
	x[i] = old - h
	below := f()
	x[i] = old
	return float64((above - below) / (2 * h))
}

// frozen uses the operator where nothing is trained.
func frozen() {
	a, b := mat.Scalar(1.0), mat.Scalar(0.0)
	fmt.Printf("\nwithout gradients Gate returns a %T,\n", Gate[float64](a, b))
	a.SetRequiresGrad(true)
	fmt.Printf("with one a %T\n", Gate[float64](a, b))
}

// steps are the h that errors tries: 10 to the power of -1, -2 and so on.
const steps = 12

// errors lists, as powers of ten, how far finite differences of 1·sigmoid(b)
// are from the true slope, for steps of 1e-1, 1e-2 and so on.
func errors[T float.DType]() []float64 {
	var powers []float64
	for n := 1; n <= steps; n++ {
		most := 0.0
		for _, at := range []T{-1.7, -0.9, 0.3, 1.1, 2.3} {
			b := []T{at}
			one := like(mat.Scalar(T(1)), []T{1})
			got := difference(b, 0, T(math.Pow(10, -float64(n))), func() T {
				return mat.Data[T](Gate[T](one, like(one, b)).Value())[0]
			})
			s := 1 / (1 + math.Exp(-float64(at)))
			most = max(most, math.Abs(got-s*(1-s)))
		}
		powers = append(powers, math.Round(math.Log10(most)))
	}
	return powers
}
