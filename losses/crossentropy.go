package losses

import (
	"errors"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/grad"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

// IgnoreIndex is the label of a row that does not count, as in PyTorch.
const IgnoreIndex = -100

// ErrNoLabels says that a batch has no row to learn from: the mean over none
// is not a number.
var ErrNoLabels = errors.New("losses: no row has a label: all are masked with -100")

// Options of the cross-entropy.
type Options struct {
	// LabelSmoothing in [0, 1) mixes the target with the uniform distribution
	// over the vocabulary, as torch.nn.functional.cross_entropy does.
	LabelSmoothing float64
	// Normalizer divides the sum over the rows; 0 means the number of
	// labelled rows, which gives the mean. With gradient accumulation it is
	// the number of labelled rows of all the parts together, so that their
	// losses add up to that of the big batch.
	Normalizer int
	// BFloat16 rounds hidden states, head and the gradients of logits to
	// bfloat16 for each product; sums stay in float32.
	BFloat16 bool
	// Head, unless nil, may have the products of a frozen w in float32, with the
	// same bits.
	Head Head
}

// Head is a weight w [vocabulary, dim] as products with it, in bfloat16 or not,
// read it. Both methods return false if they have not computed it.
type Head interface {
	// Logits sets logits [rows, vocabulary] to hidden·wᵀ.
	Logits(bfloat16 bool, rows int, hidden, logits []float32) bool
	// Gradient sets out [rows, dim] to slopes·w for slopes [rows, vocabulary].
	Gradient(bfloat16 bool, rows int, slopes, out []float32) bool
}

// Result of a cross-entropy.
type Result struct {
	Loss    mat.Tensor // [1, 1]: the sum over labelled rows divided by the normalizer; the root for ag.Backward
	Value   float64    // the same, unrounded
	Counted int        // labelled rows
	Rows    []float64  // loss of each row, 0 for masked ones
}

// LinearCrossEntropy is the cross-entropy of the logits x·wᵀ for hidden states
// x [rows, dim] and the weight w [vocabulary, dim] of a head without bias.
// labels has a class for each row, or [IgnoreIndex].
//
// Logits are made for blocks of labelled rows and turned at once into the
// gradients that x and w ask for; none are kept. It returns [ErrNoLabels] if
// all rows are masked, and an error that names a label outside the vocabulary.
func LinearCrossEntropy(x, w mat.Tensor, labels []int, o Options) (Result, error) {
	if x.Shape()[1] != w.Shape()[1] || x.Shape()[0] != len(labels) {
		panic(fmt.Sprintf("losses: hidden states %v, head %v and %d labels do not fit", x.Shape(), w.Shape(), len(labels)))
	}
	if o.LabelSmoothing < 0 || o.LabelSmoothing >= 1 {
		return Result{}, fmt.Errorf("losses: label smoothing %v is outside [0, 1)", o.LabelSmoothing)
	}
	rows, err := labelled(labels, w.Shape()[0])
	if err != nil {
		return Result{}, err
	}
	if o.Normalizer == 0 {
		o.Normalizer = len(rows)
	}
	if _, ok := x.Value().(*mat.Dense[float64]); ok {
		return run(&linearCrossEntropy[float64]{x: x, w: w, labels: labels, rows: rows, o: o}), nil
	}
	return run(&linearCrossEntropy[float32]{x: x, w: w, labels: labels, rows: rows, o: o}), nil
}

// labelled lists the rows that count.
func labelled(labels []int, vocabulary int) ([]int, error) {
	var rows []int
	for i, label := range labels {
		switch {
		case label == IgnoreIndex:
		case label < 0 || label >= vocabulary:
			return nil, fmt.Errorf("losses: label %d of row %d is outside the vocabulary of %d", label, i, vocabulary)
		default:
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil, ErrNoLabels
	}
	return rows, nil
}

func run[T kernel.Float](f *linearCrossEntropy[T]) Result {
	f.wantX, f.wantW = f.x.RequiresGrad(), f.w.RequiresGrad()
	r := Result{Counted: len(f.rows)}
	if f.wantX || f.wantW {
		r.Loss = ag.NewOperator(f).Run()
	} else {
		r.Loss, _ = f.Forward()
	}
	r.Value, r.Rows = f.value, f.perRow
	return r
}

// blockElements bounds the logits in memory: 64 MB of float32, 333 rows of a
// vocabulary of 50,257. The head is read once for each block.
const blockElements = 1 << 24

type linearCrossEntropy[T kernel.Float] struct {
	x, w         mat.Tensor
	labels, rows []int
	o            Options
	wantX, wantW bool
	value        float64
	perRow       []float64
	dx, dw       []T // gradients for an output gradient of 1, until they are given away
}

func (f *linearCrossEntropy[T]) Operands() []mat.Tensor { return []mat.Tensor{f.x, f.w} }

func (f *linearCrossEntropy[T]) Forward() (mat.Tensor, error) {
	dim, vocabulary := f.x.Shape()[1], f.w.Shape()[0]
	x := mat.Data[T](f.x.Value())
	var w []T // unless the products that are needed are its own
	multiply := f.heldProduct()
	if multiply == nil {
		w = mat.Data[T](f.w.Value())
	}
	f.value, f.perRow = 0, make([]float64, len(f.labels))
	if f.wantX {
		f.dx = make([]T, len(x))
	}
	if f.wantW {
		f.dw = make([]T, len(w))
	}
	block := min(max(1, blockElements/vocabulary), len(f.rows))
	logits, hidden := kernel.Borrow[T](block*vocabulary), kernel.Borrow[T](block*dim)
	dhidden := kernel.Borrow[T](block * dim)
	defer func() {
		for _, x := range [][]T{logits, hidden, dhidden} {
			kernel.GiveBack(x)
		}
	}()
	loss, labels := make([]float64, block), make([]int, block)
	scale := T(1 / float64(f.o.Normalizer))
	for start := 0; start < len(f.rows); start += block {
		rows := f.rows[start:min(start+block, len(f.rows))]
		n := len(rows)
		for i, r := range rows {
			copy(hidden[i*dim:(i+1)*dim], x[r*dim:])
			labels[i] = f.labels[r]
		}
		if multiply == nil && !f.headLogits(n, hidden, logits) {
			kernel.GemmIn[T](f.o.BFloat16)(false, true, n, vocabulary, dim, hidden, dim, w, dim, logits, vocabulary, false, nil)
		} else if multiply != nil {
			multiply(n, hidden[:n*dim], logits)
		}
		kernel.CrossEntropy(logits[:n*vocabulary], n, vocabulary, labels[:n], f.o.LabelSmoothing, loss, f.wantX || f.wantW, scale)
		for i, r := range rows {
			f.perRow[r] = loss[i]
			f.value += loss[i]
		}
		if f.wantX {
			f.hiddenGradient(n, logits[:n*vocabulary], w, dhidden[:n*dim])
			for i, r := range rows {
				copy(f.dx[r*dim:(r+1)*dim], dhidden[i*dim:])
			}
		}
		if f.wantW {
			kernel.GemmIn[T](f.o.BFloat16)(true, false, vocabulary, dim, n, logits, vocabulary, hidden, dim, f.dw, dim, true, nil)
		}
	}
	f.value /= float64(f.o.Normalizer)
	return mat.Scalar(T(f.value)), nil
}

// heldProduct returns the head's own way to multiply, which needs no copy of
// its elements, if it has one and nobody asks for a gradient: layers.Hold.
func (f *linearCrossEntropy[T]) heldProduct() func(rows int, hidden, logits []T) {
	h, ok := f.w.Value().(interface {
		MultiplyT(rows int, x, y []T) bool
	})
	if !ok || f.wantX || f.wantW || !h.MultiplyT(0, nil, nil) {
		return nil
	}
	return func(rows int, hidden, logits []T) { h.MultiplyT(rows, hidden, logits) }
}

// hiddenGradient sets out to the product of the gradients of logits and w. A
// sum over a whole vocabulary of 50,000 small terms would lose digits, so it
// is made of partial sums.
func (f *linearCrossEntropy[T]) hiddenGradient(rows int, logits, w, out []T) {
	if f.headGradient(rows, logits, out) {
		return
	}
	dim, vocabulary := f.w.Shape()[1], f.w.Shape()[0]
	kernel.SumHeadParts(vocabulary, out, func(lo, hi int, part []T) {
		kernel.GemmIn[T](f.o.BFloat16)(false, false, rows, dim, hi-lo, logits[lo:], vocabulary, w[lo*dim:], dim, part, dim, false, nil)
	})
}

// headLogits and headGradient are the products of the head's own, if it has
// them.
func (f *linearCrossEntropy[T]) headLogits(rows int, hidden, logits []T) bool {
	x, ok := any(hidden).([]float32)
	return ok && f.o.Head != nil && f.o.Head.Logits(f.o.BFloat16, rows, x, any(logits).([]float32))
}

func (f *linearCrossEntropy[T]) headGradient(rows int, slopes, out []T) bool {
	x, ok := any(slopes).([]float32)
	return ok && f.o.Head != nil && f.o.Head.Gradient(f.o.BFloat16, rows, x, any(out).([]float32))
}

func (f *linearCrossEntropy[T]) Backward(gy mat.Tensor) error {
	if f.dx == nil && f.dw == nil { // a second time
		if _, err := f.Forward(); err != nil {
			return err
		}
	}
	g := mat.Data[T](gy.Value())[0]
	give := func(x mat.Tensor, dx []T) {
		if g != 1 {
			kernel.Scale(g, dx)
		}
		grad.Give(x, mat.NewDense[T](mat.WithShape(x.Shape()...), mat.WithBacking(dx)))
	}
	if f.wantX {
		give(f.x, f.dx)
	}
	if f.wantW {
		give(f.w, f.dw)
	}
	f.dx, f.dw = nil, nil
	return nil
}
