package kernel

import (
	"math/bits"
	"sync"
	"unsafe"
)

// pools keep scratch slices between calls, by size of element and power of two of length.
var pools [2][64]sync.Pool

// scratch is a borrowed slice of undefined contents.
type scratch[T Float] struct {
	x    []T
	pool *sync.Pool
}

func borrow[T Float](n int) scratch[T] {
	var element T
	class := bits.Len(uint(max(n, 64) - 1))
	pool := &pools[unsafe.Sizeof(element)/8][class]
	if x, ok := pool.Get().(*[]T); ok {
		return scratch[T]{(*x)[:n], pool}
	}
	return scratch[T]{make([]T, n, 1<<class), pool}
}

func (s scratch[T]) giveBack() { s.pool.Put(&s.x) }

// vectorised returns the instruction set for elements of type T, nil for plain Go.
func vectorised[T Float]() *simd {
	var element T
	if unsafe.Sizeof(element) == 4 {
		return cpu
	}
	return nil
}

// single is the address of a float32 slice's first element.
func single[T Float](x []T) *float32 { return (*float32)(unsafe.Pointer(unsafe.SliceData(x))) }
