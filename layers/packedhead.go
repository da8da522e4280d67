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

// Gradient sets out [rows, dim] to the product of slopes, rows of
// kernel.HeadPart columns ld apart (or what is left of the vocabulary), with as
// many rows of w from the given part on, unless nothing is kept: then it
// returns false.
func (h *PackedHead) Gradient(bfloat16 bool, part, rows int, slopes []float32, ld int, out []float32) bool {
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
	if logits.BothWays() {
		lo := part * kernel.HeadPart
		logits.MultiplyTransposed(rows, lo, min(lo+kernel.HeadPart, vocabulary), slopes, ld, out, dim)
		return true
	}
	if parts == nil {
		return false
	}
	parts[part].Multiply(rows, slopes, ld, out, dim, nil)
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
