package layers

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Results of operators and their gradients are large and short-lived. Made
// anew they would be cleared each time, and wait for the garbage collector;
// those that are known not to be needed any more are used again instead.

// pools keep slices by size of element and class of length.
var pools [2][1024]sync.Pool

// class of slices with room for at least n elements: eight for each power of
// two, so that an eighth at most is not used.
func class(n int) (class, room int) {
	shift := max(0, bits.Len(uint(max(n, 1)-1))-4)
	steps := (n + 1<<shift - 1) >> shift
	return shift*16 + steps, steps << shift
}

func pool[T kernel.Float](class int) *sync.Pool {
	var element T
	return &pools[unsafe.Sizeof(element)/8][class]
}

// buffer returns n elements of any value.
func buffer[T kernel.Float](n int) []T {
	c, room := class(n)
	if x, ok := pool[T](c).Get().(*[]T); ok {
		return (*x)[:n]
	}
	return make([]T, n, room)
}

// zeros is buffer of zeros.
func zeros[T kernel.Float](n int) []T {
	x := buffer[T](n)
	clear(x)
	return x
}

// giveBack lets a buffer be used again. What did not come from buffer is left
// to the garbage collector.
func giveBack[T kernel.Float](x []T) {
	if cap(x) == 0 {
		return
	}
	if c, room := class(cap(x)); room == cap(x) {
		pool[T](c).Put(&x)
	}
}

// Drop says that of some intermediate results only y, which was computed from
// them, will be looked at, so that their memory can be used for others. It
// does nothing where y is part of a graph, which needs them. Each may be
// dropped once.
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
	if r := recycler.Load(); r != nil && x != nil {
		r.mu.Lock()
		r.giveBack = append(r.giveBack, func() { giveBack(x) })
		r.mu.Unlock()
	}
}
