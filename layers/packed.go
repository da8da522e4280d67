package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Span is a run of rows, Start to End-1.
type Span = kernel.Span

// Offsets say where each sequence of a packed batch begins: sequence i is
// rows Offsets[i] to Offsets[i+1]-1. There is one more offset than sequences;
// the first is 0 and the last the number of rows.
type Offsets []int

// OffsetsOf makes the offsets of sequences of the given lengths.
func OffsetsOf(lengths ...int) Offsets {
	o := make(Offsets, len(lengths)+1)
	for i, n := range lengths {
		o[i+1] = o[i] + n
	}
	return o
}

// Len is the number of sequences.
func (o Offsets) Len() int { return max(len(o)-1, 0) }

// Rows is the number of rows of all sequences together.
func (o Offsets) Rows() int {
	if len(o) == 0 {
		return 0
	}
	return o[len(o)-1]
}

// Spans lists the rows of each sequence.
func (o Offsets) Spans() []Span {
	s := make([]Span, o.Len())
	for i := range s {
		s[i] = Span{Start: o[i], End: o[i+1]}
	}
	return s
}

// Packed is a batch of vector sequences of different lengths, one after the
// other as the rows of one matrix.
type Packed struct {
	States  mat.Tensor // [rows, dim]
	Offsets Offsets
}

// Join puts packed batches of equal width one after the other, without a
// graph. The parts are given up: their memory is used for other results.
func Join(parts ...Packed) Packed {
	if len(parts) == 1 {
		return parts[0]
	}
	all := Packed{Offsets: make(Offsets, 1)}
	dim := 0
	for _, p := range parts {
		rows := all.Offsets.Rows()
		for _, end := range p.Offsets[1:] {
			all.Offsets = append(all.Offsets, rows+end)
		}
		_, dim = dims(p.States)
	}
	if isFloat64(parts[0].States) {
		all.States = stack[float64](parts, all.Offsets.Rows(), dim)
	} else {
		all.States = stack[float32](parts, all.Offsets.Rows(), dim)
	}
	return all
}

func stack[T kernel.Float](parts []Packed, rows, dim int) mat.Tensor {
	y := buffer[T](rows * dim)[:0]
	for _, p := range parts {
		y = append(y, values[T](p.States)...)
		drop(p.States)
	}
	return matrix(y, rows, dim)
}

// PackRows puts sequences of rows, each [rows, dim], one after the other,
// without a graph. What is made while a [Recycler] is in use it takes back.
func PackRows(dim int, sequences ...[]float32) Packed {
	lengths := make([]int, len(sequences))
	for i, s := range sequences {
		lengths[i] = len(s) / dim
	}
	p := Packed{Offsets: OffsetsOf(lengths...)}
	y := buffer[float32](p.Offsets.Rows() * dim)
	recycle(y)
	kernel.Parallel(len(sequences), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(y[p.Offsets[i]*dim:p.Offsets[i+1]*dim], sequences[i])
		}
	})
	p.States = matrix(y, p.Offsets.Rows(), dim)
	return p
}

// Tokens is a batch of token-id sequences of different lengths.
type Tokens struct {
	IDs     []int // [rows]
	Offsets Offsets
}

// PackTokens puts sequences of ids one after the other.
func PackTokens(sequences ...[]int) Tokens {
	t := Tokens{Offsets: make(Offsets, 1, len(sequences)+1)}
	for _, s := range sequences {
		t.IDs = append(t.IDs, s...)
		t.Offsets = append(t.Offsets, len(t.IDs))
	}
	return t
}

// Source is what a decoder looks at: the encoder's states of several items,
// and which item each of the decoder's sequences belongs to. Several
// sequences may share an item, whose keys and values are then computed once.
type Source struct {
	Packed
	Of []int // item of each sequence; nil: sequence i looks at item i
}

// Check panics unless sequences can look at the source.
func (s Source) Check(sequences int) {
	if s.Of == nil {
		if s.Offsets.Len() != sequences {
			panic(fmt.Sprintf("layers: %d sequences look at %d encoder items and Of is nil", sequences, s.Offsets.Len()))
		}
		return
	}
	if len(s.Of) != sequences {
		panic(fmt.Sprintf("layers: %d sequences, but Source.Of names %d", sequences, len(s.Of)))
	}
	for i, item := range s.Of {
		if item < 0 || item >= s.Offsets.Len() {
			panic(fmt.Sprintf("layers: sequence %d looks at encoder item %d of %d", i, item, s.Offsets.Len()))
		}
	}
}
