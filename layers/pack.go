package layers

import (
	"reflect"
	"runtime"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/nlpodyssey/spago/mat"
)

// Pack lets the [Linear] and [Conv1D] layers of a model, and an [Embedding]
// that is a head, see [PackedHead], keep their frozen float32 weights in the
// order in which products with many rows read them, from the second time on
// that it is needed: once for the forward and the backward pass or, in another
// format than float32, once for each. The results keep their bits, and take
// less time. Weights that are read from a mapped file leave memory then. As long as a
// weight is frozen, a change of its elements must be told to [Changed]; once it is
// trained, what was kept of it is dropped. What was kept before is made anew.
func Pack(model any) { renew(model, true) }

// Changed tells the layers of a model that frozen weights have other elements
// than before: what they keep of them since [Pack] is made anew.
func Changed(model any) { renew(model, false) }

// renew lets go of what layers keep, and lets them keep it anew: those that did
// before, or all.
func renew(model any, all bool) {
	dropped := false
	renewPanels := func(p **panels) {
		dropped = (*p).some() || dropped
		if all || *p != nil {
			*p = &panels{}
		}
	}
	w := walk{module: func(module any) {
		switch l := module.(type) {
		case *Linear:
			renewPanels(&l.panels)
		case *Conv1D:
			renewPanels(&l.panels)
		case *Embedding:
			dropped = l.head.packed() || dropped
			if all || l.head != nil {
				l.head = &PackedHead{weight: l.Weight}
			}
		}
	}}
	w.value(reflect.ValueOf(model), "")
	if dropped {
		runtime.GC() // it lies beside the heap, which alone would not soon be collected
	}
}

// panels are what is kept of a weight.
type panels struct {
	mu    sync.Mutex
	sides [2]side // of the forward and of the backward pass
}

// some reports whether anything is kept.
func (p *panels) some() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sides[0].packed != nil || p.sides[1].packed != nil
}

// side is a weight as the right operand of one of a layer's products.
type side struct {
	first    *float32 // of the elements that it was made of
	bfloat16 bool
	uses     int
	packed   *kernel.Packed // nil: not yet, or it is of no use
}

// frozen returns a weight of which something may be kept; otherwise, as when it
// is trained, it returns nil, and nothing is kept of it any more.
func (p *panels) frozen(w mat.Tensor) *mat.Dense[float32] {
	m, ok := w.Value().(*mat.Dense[float32])
	if !ok || m.Size() == 0 || w.RequiresGrad() {
		p.sides = [2]side{}
		return nil
	}
	return m
}

// passBy is for a product that is made of the weight itself: it must be known
// of a weight that is trained, which may be frozen again later.
func (p *panels) passBy(w mat.Tensor) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.frozen(w)
	}
}

// of returns the weight w, transposed or not, for one of the passes; nil if
// the product is to be made of w itself. For the backward pass it may be as it
// is for the forward pass, to be multiplied the other way.
func (p *panels) of(w mat.Tensor, backward, transposed, bfloat16 bool) (packed *kernel.Packed, otherWay bool) {
	if p == nil {
		return nil, false
	}
	s := &p.sides[0]
	if backward {
		s = &p.sides[1]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.frozen(w)
	if m == nil {
		return nil, false
	}
	data := mat.Data[float32](m)
	if forward := p.sides[0]; backward && forward.first == &data[0] && forward.bfloat16 == bfloat16 && forward.packed.BothWays() {
		return forward.packed, true
	}
	if s.first != &data[0] || s.bfloat16 != bfloat16 {
		*s = side{first: &data[0], bfloat16: bfloat16}
	}
	if s.uses++; s.uses == 2 {
		k, n := dims(m)
		ld := n
		if transposed {
			k, n = n, k
		}
		if s.packed = kernel.Pack(bfloat16, transposed, k, n, data, ld); s.packed != nil {
			mmap.Release(data)
		}
	}
	return s.packed, false
}

// again is of, for a linear layer's forward pass in bfloat16, from the second
// time on that the weight is used.
func (p *panels) again(w mat.Tensor) *kernel.Packed {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	used := p.sides[0].uses > 0
	p.mu.Unlock()
	if !used {
		return nil
	}
	packed, _ := p.of(w, false, true, true)
	return packed
}
