package layers

import (
	"fmt"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// CrossAttention is [Attention] to keys and values that a layer makes of an
// encoder's states [source rows, in], side by side [source rows, 2·Dim]. Where
// few rows look at many, it does not project the states but takes the
// projections to the queries' side, which gives the same but for rounding and
// a small part of the work. o.Causal and o.SourceRows must not be set.
func CrossAttention(q Columns, states mat.Tensor, keyValues *Conv1D, o AttentionOptions) mat.Tensor {
	_, in := dims(states)
	if rows, cols := dims(keyValues.Weight); rows != in || cols != 2*o.Dim {
		panic(fmt.Sprintf("layers: cross-attention: states %v, %d columns of queries, but the weight of keys and values is %v", states.Shape(), o.Dim, keyValues.Weight.Shape()))
	}
	if isFloat64(q.X) {
		return crossAttention[float64](q, states, keyValues, o)
	}
	return crossAttention[float32](q, states, keyValues, o)
}

func crossAttention[T kernel.Float](q Columns, states mat.Tensor, keyValues *Conv1D, o AttentionOptions) mat.Tensor {
	f := &projectedOp[T]{q: q, x: states, w: keyValues.Weight, b: optional(keyValues.Bias)}
	_, dim := dims(states)
	o.checkSource(states)
	f.spec = kernel.ProjectedAttention{Attention: newAttentionSpec(q, o), Dim: dim, BFloat16: keyValues.Precision == BFloat16}
	if !f.spec.Cheaper() {
		kv := keyValues.Forward(states, Identity)
		return Attention(q, Columns{X: kv}, Columns{X: kv, From: o.Dim}, o)
	}
	keyValues.panels.passBy(keyValues.Weight)
	f.spec.Panels = o.States.of(f.spec.BFloat16, requiresGrad(f.Operands()...))
	o.drop(&f.spec.Attention)
	return Apply(f)
}

// States are an encoder's states for the cross-attention of several layers,
// which may need them in an order of its own: it is made once, when it is
// needed for the first time. In a graph, a [Recycler] takes that too.
type States struct {
	states  mat.Tensor
	sources []Span
	once    sync.Once
	panels  *kernel.SourcePanels
}

// NewStates returns states [rows, dim] for attentions that have the given
// spans as Source.
func NewStates(states mat.Tensor, sources []Span) *States {
	return &States{states: states, sources: sources}
}

// of is what an attention needs that may be part of a graph; the first one says
// in what format.
func (s *States) of(bfloat16, graph bool) *kernel.SourcePanels {
	if s == nil || isFloat64(s.states) {
		return nil
	}
	s.once.Do(func() {
		_, dim := dims(s.states)
		s.panels = kernel.PackSources(bfloat16, s.sources, dim, values[float32](s.states), dim)
		if graph {
			afterwards(s.panels.Release)
		}
	})
	return s.panels
}

// projectedOp is attention with the projections on the queries' side.
type projectedOp[T kernel.Float] struct {
	q       Columns
	x, w, b mat.Tensor
	spec    kernel.ProjectedAttention
	forward *kernel.Projected[T]
}

func (f *projectedOp[T]) Operands() []mat.Tensor { return operands(f.q.X, f.x, f.w, f.b) }

func (f *projectedOp[T]) Forward() (mat.Tensor, error) {
	rows, ldq := dims(f.q.X)
	width := f.spec.Heads * f.spec.HeadDim
	y := buffer[T](rows * width)
	if rowsOf(f.spec.Query) < rows {
		clear(y) // rows that no sequence has
	}
	f.forward = kernel.ProjectedAttentionForward(&f.spec, y, width, from[T](f.q), ldq, values[T](f.x), f.spec.Dim, values[T](f.w), values[T](f.b))
	if !requiresGrad(f.Operands()...) {
		f.forward.Release()
	}
	return matrix(y, rows, width), nil
}

func (f *projectedOp[T]) Backward(gy mat.Tensor) error {
	dq, dx, db := gradient[T](f.q.X), gradient[T](f.x), gradient[T](f.b)
	var dw []T // the whole of it is set
	if wants(f.w) {
		dw = buffer[T](f.w.Size())
	}
	_, ldq := dims(f.q.X)
	columns := dq
	if dq != nil {
		columns = dq[f.q.From:]
	}
	f.forward.Backward(columns, ldq, dx, f.spec.Dim, dw, db, values[T](gy), f.spec.Heads*f.spec.HeadDim)
	f.forward.Release()
	accumulate(f.q.X, dq)
	accumulate(f.x, dx)
	accumulate(f.w, dw)
	accumulate(f.b, db)
	return nil
}
