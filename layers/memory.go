package layers

import (
	"sync"
	"sync/atomic"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Results of operators and their gradients are large and short-lived; those
// that are known not to be needed any more are used again.

// buffer returns n elements of any value.
func buffer[T kernel.Float](n int) []T { return kernel.Borrow[T](n) }

// zeros is buffer of zeros.
func zeros[T kernel.Float](n int) []T {
	x := buffer[T](n)
	clear(x)
	return x
}

// giveBack lets a buffer be used again.
func giveBack[T kernel.Float](x []T) { kernel.GiveBack(x) }

// Drop says that of some intermediate results only y, which was computed from
// them, will be looked at, so that their memory can be used for others. It
// does nothing where y is part of a graph, which needs them. y may be nil. Each
// may be dropped once.
func Drop(y mat.Tensor, results ...mat.Tensor) {
	if wants(y) {
		return
	}
	for _, x := range results {
		drop(x)
	}
}

// drop gives back the memory of a plain matrix.
func drop(x mat.Tensor) {
	switch d := x.(type) {
	case *mat.Dense[float32]:
		giveBack(mat.Data[float32](d))
	case *mat.Dense[float64]:
		giveBack(mat.Data[float64](d))
	}
}

// DropGradient forgets the gradient of a parameter, which is kept by nobody
// else, so that its memory can be used for others.
func DropGradient(p mat.Tensor) {
	if p.HasGrad() {
		g := p.Grad()
		p.ZeroGrad()
		drop(g)
	}
}

// Recycler takes back the results of all operators that are put into graphs
// while it is in use. It is for a training loop, in which graphs are
// made and gone through one after the other.
type Recycler struct {
	mu       sync.Mutex
	giveBack []func()
}

var recycler atomic.Pointer[Recycler]

// Use runs f, and then takes the results that f's graphs have left: f must
// not keep any of them. Only one recycler is used at a time; a second one,
// in another goroutine, takes nothing.
func (r *Recycler) Use(f func() error) error {
	if !recycler.CompareAndSwap(nil, r) {
		return f()
	}
	err := f()
	recycler.Store(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.giveBack {
		f()
	}
	clear(r.giveBack)
	r.giveBack = r.giveBack[:0]
	return err
}

// recycle gives x back when the recycler in use is done.
func recycle[T kernel.Float](x []T) {
	if x != nil {
		afterwards(func() { giveBack(x) })
	}
}

// afterwards calls f when the recycler in use is done, if there is one.
func afterwards(f func()) {
	if r := recycler.Load(); r != nil {
		r.mu.Lock()
		r.giveBack = append(r.giveBack, f)
		r.mu.Unlock()
	}
}
