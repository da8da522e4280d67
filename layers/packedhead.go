package layers

import (
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// PackedHead is what [Pack] keeps of an [Embedding] that is also the head of a
// language model: a frozen weight [vocabulary, dim] in the order in which the
// products of a loss read it, from the second time on that it is needed. It is
// a losses.Head.
type PackedHead struct {
	weight *nn.Param

	mu       sync.Mutex
	uses     int
	first    *float32 // of the elements that the panels were made of
	bfloat16 bool
	logits   *kernel.Packed
	parts    []*kernel.Packed // nil where logits serve both ways
}

// Logits sets logits [rows, vocabulary] to hidden·wᵀ for hidden [rows, dim],
// in bfloat16 or in float32, unless nothing is kept: then it returns false.
func (h *PackedHead) Logits(bfloat16 bool, rows int, hidden, logits []float32) bool {
	if !h.ready(bfloat16) {
		return false
	}
	vocabulary, dim := dims(h.weight)
	h.logits.Multiply(rows, hidden, dim, logits, vocabulary, nil)
	return true
}

// Gradient sets out [rows, dim] to slopes·w for slopes [rows, vocabulary], as
// a sum of products with kernel.HeadPart rows of w each, unless nothing is kept:
// then it returns false.
func (h *PackedHead) Gradient(bfloat16 bool, rows int, slopes, out []float32) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	logits, parts := h.logits, h.parts
	if h.bfloat16 != bfloat16 {
		logits, parts = nil, nil
	}
	h.mu.Unlock()
	vocabulary, dim := dims(h.weight)
	switch {
	case logits.BothWays():
		logits.MultiplyTransposed(rows, kernel.HeadPart, slopes, vocabulary, out, dim)
	case parts == nil:
		return false
	default:
		kernel.SumHeadParts(vocabulary, out[:rows*dim], func(lo, _ int, part []float32) {
			parts[lo/kernel.HeadPart].Multiply(rows, slopes[lo:], vocabulary, part, dim, nil)
		})
	}
	return true
}

// ready packs the weight when it is needed for the second time.
func (h *PackedHead) ready(bfloat16 bool) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.weight.Value().(*mat.Dense[float32])
	if !ok || m.Size() == 0 || h.weight.RequiresGrad() {
		h.uses, h.logits, h.parts = 0, nil, nil
		return false
	}
	data := mat.Data[float32](m)
	if h.first != &data[0] || h.bfloat16 != bfloat16 {
		h.first, h.bfloat16, h.uses, h.logits, h.parts = &data[0], bfloat16, 0, nil, nil
	}
	if h.uses++; h.uses == 2 {
		h.pack(data)
	}
	return h.logits != nil
}

func (h *PackedHead) pack(data []float32) {
	vocabulary, dim := dims(h.weight)
	logits := kernel.Pack(h.bfloat16, true, dim, vocabulary, data, dim)
	if logits == nil {
		return
	}
	var parts []*kernel.Packed
	for v := 0; v < vocabulary && !logits.BothWays(); v += kernel.HeadPart {
		p := kernel.Pack(h.bfloat16, false, min(kernel.HeadPart, vocabulary-v), dim, data[v*dim:], dim)
		if p == nil {
			return
		}
		parts = append(parts, p)
	}
	h.logits, h.parts = logits, parts
	mmap.Release(data)
}

// packed reports whether the weight need not be in memory.
func (h *PackedHead) packed() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logits != nil
}
