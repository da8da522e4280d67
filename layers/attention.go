package layers

import (
	"fmt"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Columns are the columns From to From+dim-1 of a matrix: the way to pass the
// queries, keys and values that one projection computed side by side.
type Columns struct {
	X    mat.Tensor
	From int
}

// AttentionOptions say who looks at whom.
type AttentionOptions struct {
	NumHeads int
	Dim      int     // columns of queries, keys, values and result: heads times head width
	Scale    float64 // factor of the scores; 0 means 1/sqrt(Dim/NumHeads)
	// Causal lets the last query row see all source rows, the row before it
	// one less, and so on: with queries and source of one length the usual
	// mask, and with a key/value cache what the newest tokens may see.
	Causal bool
	// Query are the rows of each sequence; Source the rows of each item that
	// is looked at; Of the item of each sequence (nil: its own number).
	Query  []Span
	Source []Span
	Of     []int
	// SourceRows, unless nil, are the rows of k and v that the spans of Source
	// number: an item's rows may lie anywhere, and items may share rows. Such
	// an attention has no gradient.
	SourceRows []int
	// States, unless nil, are the states of a [CrossAttention], for several
	// layers that look at the same ones.
	States *States
	// Precision may be [BFloat16] where many rows look at many, as in an
	// encoder. Gradients are computed in float32.
	Precision Precision
	// Dropout is the probability of dropping an attention weight, drawn from
	// Random; with a nil Random nothing is dropped.
	Dropout float64
	Random  *Random
}

// Attention is scaled dot-product attention with several heads over packed
// sequences (Vaswani et al., 2017, arXiv:1706.03762):
//
//	softmax(scale·q kᵀ) v
//
// for each sequence and head. It is bidirectional self-attention when Query
// and Source are the same rows, causal self-attention with Causal, and
// cross-attention when keys and values come from another matrix. q has
// [query rows, ≥Dim] columns, k and v [source rows, ≥Dim]; the result is
// [query rows, Dim]. Rows of q that belong to no sequence give zeros.
func Attention(q, k, v Columns, o AttentionOptions) mat.Tensor {
	if isFloat64(q.X) {
		return Apply(newAttention[float64](q, k, v, o))
	}
	return Apply(newAttention[float32](q, k, v, o))
}

// AttentionWeights are the probabilities with which the rows of one sequence
// look at the rows of its item: [heads, query rows, source rows].
func AttentionWeights(q, k Columns, o AttentionOptions, sequence int) []float32 {
	if isFloat64(q.X) {
		w := attentionWeights[float64](q, k, o, sequence)
		out := make([]float32, len(w))
		for i, x := range w {
			out[i] = float32(x)
		}
		return out
	}
	return attentionWeights[float32](q, k, o, sequence)
}

func attentionWeights[T kernel.Float](q, k Columns, o AttentionOptions, sequence int) []T {
	f := newAttention[T](q, k, k, o)
	item := sequence
	if o.Of != nil {
		item = o.Of[sequence]
	}
	qs, ks := o.Query[sequence], o.Source[item]
	w := make([]T, o.NumHeads*(qs.End-qs.Start)*(ks.End-ks.Start))
	qx, ldq := f.columns(q)
	kx, ldk := f.columns(k)
	kernel.AttentionWeights(&f.spec, w, sequence, qx, ldq, kx, ldk)
	return w
}

// Keys are the keys and values of an attention in the order in which they are
// read, for those that many steps of decoding look at.
type Keys struct {
	packed interface{ Release() } // a *kernel.AttentionKeys
}

// PackKeys brings keys and values into order for the heads and sources of o,
// in [BFloat16] if that is o's precision.
func PackKeys(k, v Columns, o AttentionOptions) *Keys {
	if isFloat64(k.X) {
		return &Keys{packKeys[float64](k, v, o)}
	}
	return &Keys{packKeys[float32](k, v, o)}
}

// Release lets the memory be used for others. The keys must not be used
// afterwards.
func (k *Keys) Release() { k.packed.Release() }

func packKeys[T kernel.Float](k, v Columns, o AttentionOptions) *kernel.AttentionKeys[T] {
	_, ldk := dims(k.X)
	_, ldv := dims(v.X)
	return kernel.PackAttentionKeys(&kernel.Attention{
		Heads: o.NumHeads, HeadDim: o.Dim / o.NumHeads, Source: o.Source, BFloat16: o.Precision == BFloat16,
	}, from[T](k), ldk, from[T](v), ldv)
}

// AttentionTo is [Attention] to keys and values that [PackKeys] has brought
// into order, without a gradient.
func AttentionTo(q Columns, keys *Keys, o AttentionOptions) mat.Tensor {
	if isFloat64(q.X) {
		return attentionTo[float64](q, keys, o)
	}
	return attentionTo[float32](q, keys, o)
}

func attentionTo[T kernel.Float](q Columns, keys *Keys, o AttentionOptions) mat.Tensor {
	o.checkColumns(q)
	rows, cols := dims(q.X)
	spec := newAttentionSpec(q, o)
	o.drop(&spec)
	out := attentionResult[T](rows, o.Dim, o.Query)
	keys.packed.(*kernel.AttentionKeys[T]).Forward(&spec, out, o.Dim, from[T](q), cols)
	return matrix(out, rows, o.Dim)
}

type attentionOp[T kernel.Float] struct {
	q, k, v Columns
	dim     int
	spec    kernel.Attention
	out     []T
	lse     []T
}

func newAttention[T kernel.Float](q, k, v Columns, o AttentionOptions) *attentionOp[T] {
	o.checkColumns(q, k, v)
	o.checkSource(k.X)
	o.checkSource(v.X)
	f := &attentionOp[T]{q: q, k: k, v: v, dim: o.Dim, spec: newAttentionSpec(q, o)}
	o.drop(&f.spec)
	return f
}

// drop sets the dropout, with a number from the stream.
func (o AttentionOptions) drop(spec *kernel.Attention) {
	if o.Random != nil && o.Dropout > 0 {
		spec.DropoutP, spec.Seed = o.Dropout, o.Random.Next()
	}
}

// newAttentionSpec says how the rows of q look at those of the source, without
// dropout.
func newAttentionSpec(q Columns, o AttentionOptions) kernel.Attention {
	if o.NumHeads < 1 || o.Dim%o.NumHeads != 0 {
		panic(fmt.Sprintf("layers: attention: width %d does not divide into %d heads", o.Dim, o.NumHeads))
	}
	rows, _ := dims(q.X)
	checkSpans("query", o.Query, rows, q.X)
	if o.Of == nil && len(o.Source) != len(o.Query) || o.Of != nil && len(o.Of) != len(o.Query) {
		panic(fmt.Sprintf("layers: attention: %d sequences, %d items, Of names %d", len(o.Query), len(o.Source), len(o.Of)))
	}
	spec := kernel.Attention{
		Heads: o.NumHeads, HeadDim: o.Dim / o.NumHeads, Scale: o.Scale, Causal: o.Causal,
		Query: o.Query, Source: o.Source, SourceOf: o.Of, SourceRows: o.SourceRows,
		BFloat16: o.Precision == BFloat16,
	}
	if o.Scale == 0 {
		spec.Scale = 1 / math.Sqrt(float64(spec.HeadDim))
	}
	return spec
}

// checkColumns panics unless the matrices have as many.
func (o AttentionOptions) checkColumns(all ...Columns) {
	for _, c := range all {
		if _, cols := dims(c.X); c.From < 0 || c.From+o.Dim > cols {
			panic(fmt.Sprintf("layers: attention: columns %d to %d of a matrix %v", c.From, c.From+o.Dim-1, c.X.Shape()))
		}
	}
}

// checkSource panics unless the source is rows of x.
func (o AttentionOptions) checkSource(x mat.Tensor) {
	rows, _ := dims(x)
	if o.SourceRows == nil {
		checkSpans("source", o.Source, rows, x)
		return
	}
	checkSpans("source", o.Source, len(o.SourceRows), x)
	for _, row := range o.SourceRows {
		if row < 0 || row >= rows {
			panic(fmt.Sprintf("layers: attention: source row %d of a matrix %v", row, x.Shape()))
		}
	}
}

func checkSpans(what string, spans []Span, rows int, x mat.Tensor) {
	for i, s := range spans {
		if s.Start < 0 || s.End < s.Start || s.End > rows {
			panic(fmt.Sprintf("layers: attention: %s %d is rows %d to %d of %d, of a matrix %v", what, i, s.Start, s.End, rows, x.Shape()))
		}
	}
}

// columns returns the elements from a view's first one on, and the row stride.
func (f *attentionOp[T]) columns(c Columns) ([]T, int) {
	_, cols := dims(c.X)
	return from[T](c), cols
}

// from are the elements of a view from its first one on.
func from[T kernel.Float](c Columns) []T {
	if rows, _ := dims(c.X); rows == 0 {
		return nil
	}
	return values[T](c.X)[c.From:]
}

func (f *attentionOp[T]) Operands() []mat.Tensor {
	var ops []mat.Tensor // each once, since each gets one gradient
	for _, x := range []mat.Tensor{f.q.X, f.k.X, f.v.X} {
		if !slices.Contains(ops, x) {
			ops = append(ops, x)
		}
	}
	return ops
}

func (f *attentionOp[T]) Forward() (mat.Tensor, error) {
	rows, _ := dims(f.q.X)
	f.out = attentionResult[T](rows, f.dim, f.spec.Query)
	q, ldq := f.columns(f.q)
	v, ldv := f.columns(f.v)
	if requiresGrad(f.Operands()...) {
		f.lse = make([]T, rows*f.spec.Heads)
	}
	k, ldk := f.columns(f.k)
	kernel.AttentionForward(&f.spec, f.out, f.dim, q, ldq, k, ldk, v, ldv, f.lse)
	return matrix(f.out, rows, f.dim), nil
}

// attentionResult is a buffer for the rows of some queries; rows that no
// sequence has are zero.
func attentionResult[T kernel.Float](rows, dim int, query []Span) []T {
	y := buffer[T](rows * dim)
	if rowsOf(query) < rows {
		clear(y)
	}
	return y
}

// rowsOf is how many rows there are in spans that do not overlap.
func rowsOf(spans []Span) int {
	n := 0
	for _, s := range spans {
		n += s.Len()
	}
	return n
}

// Backward accumulates one gradient for each operand, of all the columns that
// queries, keys and values take of it.
func (f *attentionOp[T]) Backward(gy mat.Tensor) error {
	ops := f.Operands()
	grads := make([][]T, len(ops))
	for i, x := range ops {
		grads[i] = gradient[T](x)
	}
	view := func(c Columns) ([]T, int) {
		_, cols := dims(c.X)
		for i, x := range ops {
			if x == c.X && len(grads[i]) > 0 {
				return grads[i][c.From:], cols
			}
		}
		return nil, cols
	}
	q, ldq := f.columns(f.q)
	k, ldk := f.columns(f.k)
	v, ldv := f.columns(f.v)
	dq, lddq := view(f.q)
	dk, lddk := view(f.k)
	dv, lddv := view(f.v)
	kernel.AttentionBackward(&f.spec, dq, lddq, dk, lddk, dv, lddv,
		values[T](gy), f.dim, f.out, f.dim, q, ldq, k, ldk, v, ldv, f.lse)
	for i, x := range ops {
		accumulate(x, grads[i])
	}
	return nil
}
