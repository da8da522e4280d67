package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Hold brings the layer's weight into the order in which [Conv1D.Few] reads
// it, in the given precision, and lets go of the elements as they were. With
// [Float32] they are integers of 24 bits with a scale for each column and 64
// rows, rounded to nearest: a quarter less to read, off by at most 2⁻²³ of the
// largest of the 64. With [BFloat16] they are bfloat16's numbers in 12 bits:
// sign, seven bits of fraction, and an exponent within 14 of that of the largest
// of their column and 64 rows. Smaller ones are rounded to zero or the smallest
// there is, and off by at most 2⁻¹⁵ of the largest. The layer can no longer be
// trained.
func (l *Conv1D) Hold(p Precision) { Hold(l.Weight, false, p) }

// Hold does for a weight [in, out], or [out, in] if it is transposed, what
// [Conv1D.Hold] does. What is held already, or not float32, stays as it is.
func Hold(weight *nn.Param, transposed bool, p Precision) {
	w, ok := weight.Value().(*mat.Dense[float32])
	if !ok {
		return
	}
	weight.ReplaceValue(hold(w, transposed, p))
	mmap.Release(mat.Data[float32](w))
}

func hold(w *mat.Dense[float32], transposed bool, p Precision) *held {
	rows, cols := dims(w)
	in, out := rows, cols
	if transposed {
		in, out = out, in
	}
	format := map[Precision]kernel.HeldFormat{Float32: kernel.HeldInt24, BFloat16: kernel.HeldBFloat12, Int8: kernel.HeldInt8}[p]
	return &held{rows: rows, cols: cols, transposed: transposed, Held: kernel.Hold(format, transposed, in, out, mat.Data[float32](w), cols)}
}

// HoldInt8 returns a parameter that holds a weight as [Hold] does, in [Int8];
// the weight stays as it is. A weight that is held already is rounded from
// there. What is not float32, or held for other products, is returned itself.
func HoldInt8(weight *nn.Param, transposed bool) *nn.Param {
	switch w := weight.Value().(type) {
	case *mat.Dense[float32]:
		return &nn.Param{Matrix: hold(w, transposed, Int8)}
	case *held:
		if w.transposed == transposed {
			return &nn.Param{Matrix: &held{rows: w.rows, cols: w.cols, transposed: transposed, Held: w.Int8()}}
		}
	}
	return weight
}

// InOrder says that decoding reads weights one after the other, again and
// again, so that those that are held are fetched early.
func InOrder(weights ...*nn.Param) {
	for i, w := range weights {
		if h, next := heldBy(w), heldBy(weights[(i+1)%len(weights)]); h != nil && next != nil {
			h.Precede(next.Held)
		}
	}
}

// held is a weight in the order of decoding. It is a matrix as far as a frozen
// parameter has to be one: what else a matrix can do panics.
type held struct {
	mat.Matrix
	*kernel.Held
	rows, cols int
	transposed bool
}

// heldBy returns what holds a weight, nil if it is a plain matrix.
func heldBy(w mat.Tensor) *held {
	h, _ := w.Value().(*held)
	return h
}

func (h *held) Shape() []int       { return []int{h.rows, h.cols} }
func (h *held) Size() int          { return h.rows * h.cols }
func (h *held) Value() mat.Tensor  { return h }
func (h *held) RequiresGrad() bool { return false }
func (h *held) HasGrad() bool      { return false }
func (h *held) ZeroGrad()          {}

func (h *held) SetRequiresGrad(v bool) {
	if v {
		panic("layers: a weight that is held for decoding cannot be trained")
	}
}

// Data copies the elements, as they are held, in the weight's own order.
func (h *held) Data() float.Slice {
	out := make([]float32, h.rows*h.cols)
	kernel.Parallel(h.columns(), 64, func(lo, hi int) {
		column := make([]float32, h.Size()/max(1, h.columns()))
		for j := lo; j < hi; j++ {
			if h.transposed {
				h.Column(out[j*h.cols:(j+1)*h.cols], j)
				continue
			}
			h.Column(column, j)
			for i, v := range column {
				out[i*h.cols+j] = v
			}
		}
	})
	return float.Make(out...)
}

// MultiplyT sets y [rows, rows of the weight] to x wᵀ for x [rows, columns of
// the weight]. It reports false, and does nothing, if the weight is held for
// other products.
func (h *held) MultiplyT(rows int, x, y []float32) bool {
	if h.transposed {
		h.Multiply(rows, x, h.cols, y, h.rows, nil)
	}
	return h.transposed
}

// columns of the matrix that is held, which is the transpose where transposed.
func (h *held) columns() int {
	if h.transposed {
		return h.rows
	}
	return h.cols
}

// gather returns rows of a transposed weight.
func (h *held) gather(rows []int) mat.Tensor {
	out := buffer[float32](len(rows) * h.cols)
	kernel.Parallel(len(rows), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			h.Column(out[i*h.cols:(i+1)*h.cols], rows[i])
		}
	})
	return matrix(out, len(rows), h.cols)
}

// checkTrainable returns an error if a parameter is held.
func checkTrainable(p Parameter) error {
	if heldBy(p.Value) != nil {
		return fmt.Errorf("%s is held for decoding and cannot be trained: load the model anew", p.Name)
	}
	return nil
}
