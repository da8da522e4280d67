package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Linear is torch.nn.Linear: y = act(x Wᵀ + b).
type Linear struct {
	nn.Module
	Weight *nn.Param `param:"weight"`      // [out, in]
	Bias   *nn.Param `param:"bias,vector"` // [out], or nil

	Precision Precision // of its products

	panels *panels // see Pack
}

// NewLinear returns a layer of zeros from in to out columns.
func NewLinear[T float.DType](in, out int, bias bool) *Linear {
	l := &Linear{Weight: Zeros[T](out, in)}
	if bias {
		l.Bias = Zeros[T](out, 1)
	}
	return l
}

// Forward takes x [rows, in] to [rows, out].
func (l *Linear) Forward(x mat.Tensor, act Activation) mat.Tensor {
	o := l.options()
	o.act = act
	return affine(x, o)
}

func (l *Linear) forwardOnto(residual, x mat.Tensor) mat.Tensor {
	return affineOnto(residual, x, l.options())
}

func (l *Linear) options() affineOptions {
	return affineOptions{w: l.Weight, b: optional(l.Bias), transposed: true, precision: l.Precision, panels: l.panels}
}

// Conv1D is GPT-2's linear layer, whose weight is stored transposed:
// y = act(x W + b).
type Conv1D struct {
	nn.Module
	Weight *nn.Param `param:"weight"`      // [in, out]
	Bias   *nn.Param `param:"bias,vector"` // [out]

	Precision Precision // of its products

	panels *panels // see Pack
}

// NewConv1D returns a layer of zeros from in to out columns.
func NewConv1D[T float.DType](in, out int) *Conv1D {
	return &Conv1D{Weight: Zeros[T](in, out), Bias: Zeros[T](out, 1)}
}

// Forward takes x [rows, in] to [rows, out].
func (l *Conv1D) Forward(x mat.Tensor, act Activation) mat.Tensor {
	o := l.options()
	o.act = act
	return affine(x, o)
}

func (l *Conv1D) forwardOnto(residual, x mat.Tensor) mat.Tensor {
	return affineOnto(residual, x, l.options())
}

func (l *Conv1D) options() affineOptions {
	return affineOptions{w: l.Weight, b: optional(l.Bias), precision: l.Precision, panels: l.panels}
}

// Few is the layer for a few rows at a time, as in decoding with a cache:
// what a row gets does not depend on how many come with it, and the weight is
// read once, in the order in which it lies in memory. On some machines it
// differs from Forward in the last bits.
func (l *Conv1D) Few() Affine { return fewRows{l} }

// Held reports whether the weight is held; see [Conv1D.Hold].
func (l *Conv1D) Held() bool { return heldBy(l.Weight) != nil }

type fewRows struct{ *Conv1D }

func (l fewRows) Forward(x mat.Tensor, act Activation) mat.Tensor {
	return affine(x, affineOptions{w: l.Weight, b: optional(l.Bias), few: true, act: act})
}

func (l fewRows) forwardOnto(residual, x mat.Tensor) mat.Tensor {
	return affineOnto(residual, x, affineOptions{w: l.Weight, b: optional(l.Bias), few: true})
}

// MatMulT is x Wᵀ for x [rows, in] and w [out, in]: a linear layer without
// bias whose weight belongs to something else, such as a tied LM head. It is
// made for a few rows, as [Conv1D.Few].
func MatMulT(x, w mat.Tensor) mat.Tensor {
	return affine(x, affineOptions{w: w, transposed: true, few: true})
}

// MatMulTInto sets y [rows, out] to what [MatMulT] gives for x [rows, in],
// without a graph.
func MatMulTInto[T float.DType](y, x []T, w mat.Tensor) {
	_, in := dims(w)
	few(len(x)/in, x, w, true, y, nil)
}

func affine(x mat.Tensor, o affineOptions) mat.Tensor {
	if isFloat64(x) {
		return Apply(newAffine[float64](x, o))
	}
	return Apply(newAffine[float32](x, o))
}

// affineOnto adds a residual to the product, in the same operator.
func affineOnto(residual, x mat.Tensor, o affineOptions) mat.Tensor {
	o.residual = residual
	if isFloat64(x) {
		return Apply(newOnto(newAffine[float64](x, o)))
	}
	return Apply(newOnto(newAffine[float32](x, o)))
}

// ontoOp is an affineOp whose last act is to pass the gradient of its result
// on to the residual as it is.
type ontoOp[T kernel.Float] struct{ *affineOp[T] }

func newOnto[T kernel.Float](f *affineOp[T]) ontoOp[T] {
	if rows, cols := dims(f.residual); rows != f.rows || cols != f.out {
		panic(fmt.Sprintf("layers: linear: the residual is %v, the result %d×%d", f.residual.Shape(), f.rows, f.out))
	}
	return ontoOp[T]{f}
}

func (f ontoOp[T]) passes() {}

func (f ontoOp[T]) Backward(gy mat.Tensor) error {
	if err := f.affineOp.Backward(gy); err != nil {
		return err
	}
	pass[T](gy, f.residual)
	return nil
}

// affineOptions say that the product is act(x·op(w) + b), plus a residual.
type affineOptions struct {
	w, b       mat.Tensor // b may be nil
	transposed bool       // op(w) is wᵀ
	few        bool       // see Conv1D.Few
	act        Activation
	residual   mat.Tensor // or nil
	precision  Precision
	panels     *panels
}

// sides are the columns of x and of the product.
func (o affineOptions) sides() (in, out int) {
	in, out = dims(o.w)
	if o.transposed {
		in, out = out, in
	}
	return in, out
}

type affineOp[T kernel.Float] struct {
	affineOptions
	x             mat.Tensor
	rows, in, out int
	pre           []T // value before the activation, kept for backward
}

func newAffine[T kernel.Float](x mat.Tensor, o affineOptions) *affineOp[T] {
	f := &affineOp[T]{affineOptions: o, x: x}
	f.rows, f.in = dims(x)
	in, out := o.sides()
	if in != f.in {
		panic(fmt.Sprintf("layers: linear: input is %v, weight takes %d columns", x.Shape(), in))
	}
	f.out = out
	checkLen("linear", "bias", o.b, out)
	return f
}

func (f *affineOp[T]) Operands() []mat.Tensor { return operands(f.x, f.w, f.b, f.residual) }

func (f *affineOp[T]) Forward() (mat.Tensor, error) {
	y := buffer[T](f.rows * f.out)
	e := kernel.Epilogue[T]{Bias: values[T](f.b), Activation: f.act, Residual: values[T](f.residual)}
	if f.act != Identity && requiresGrad(f.Operands()...) {
		f.pre = buffer[T](len(y))
		recycle(f.pre)
		e.Pre = f.pre
	}
	if f.few || heldBy(f.w) != nil { // what is held is not unpacked for a product
		few(f.rows, values[T](f.x), f.w, f.transposed, y, &e)
		return matrix(y, f.rows, f.out), nil
	}
	multiply[T](f.affineOptions, false, f.rows, values[T](f.x), f.in, y, f.out, &e)
	return matrix(y, f.rows, f.out), nil
}

// multiply sets y to the product of x and the weight, or for the backward pass
// its transpose. ldx and ldy are how far their rows are apart.
func multiply[T kernel.Float](o affineOptions, backward bool, rows int, x []T, ldx int, y []T, ldy int, e *kernel.Epilogue[T]) {
	in, out := dims(o.w)
	ldw, transposed := out, o.transposed != backward
	if transposed {
		in, out = out, in
	}
	bfloat16 := o.precision == BFloat16
	if p, otherWay := o.panels.of(o.w, backward, transposed, bfloat16); p != nil {
		if otherWay {
			p.MultiplyTransposed(rows, 0, any(x).([]float32), ldx, any(y).([]float32), ldy)
			return
		}
		e, _ := any(e).(*kernel.Epilogue[float32])
		p.Multiply(rows, any(x).([]float32), ldx, any(y).([]float32), ldy, e)
		return
	}
	kernel.GemmIn[T](bfloat16)(false, transposed, rows, out, in, x, ldx, values[T](o.w), ldw, y, ldy, false, e)
}

// few multiplies rows of x with a weight as [Conv1D.Few] does.
func few[T kernel.Float](rows int, x []T, w mat.Tensor, transposed bool, y []T, e *kernel.Epilogue[T]) {
	in, out := dims(w)
	ld := out
	if transposed {
		in, out = out, in
	}
	if h := heldBy(w); h != nil && h.transposed == transposed {
		e, _ := any(e).(*kernel.Epilogue[float32])
		h.Multiply(rows, any(x).([]float32), in, any(y).([]float32), out, e)
		return
	}
	kernel.GemmFew(false, transposed, rows, out, in, x, in, values[T](w), ld, y, out, false, e)
}

func (f *affineOp[T]) Backward(gy mat.Tensor) error {
	g := values[T](gy)
	if f.act != Identity {
		d := buffer[T](len(g))
		defer giveBack(d)
		kernel.ActivateGrad(f.act, d, f.pre, g)
		g = d
	}
	var dx, dw, db []T
	if wants(f.x) {
		dx = buffer[T](f.x.Size())
		multiply(f.affineOptions, true, f.rows, g, f.out, dx, f.in, nil)
	}
	if wants(f.w) {
		dw = buffer[T](f.w.Size())
		x, multiply := values[T](f.x), kernel.GemmIn[T](f.precision == BFloat16)
		if f.transposed { // dW [out, in] = gᵀ x
			multiply(true, false, f.out, f.in, f.rows, g, f.out, x, f.in, dw, f.in, false, nil)
		} else { // dW [in, out] = xᵀ g
			multiply(true, false, f.in, f.out, f.rows, x, f.in, g, f.out, dw, f.out, false, nil)
		}
	}
	if db = gradient[T](f.b); db != nil {
		kernel.SumColumns(db, g, f.rows, f.out)
	}
	accumulate(f.x, dx)
	accumulate(f.w, dw)
	accumulate(f.b, db)
	return nil
}
