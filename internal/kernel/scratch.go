package kernel

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// class of slices with room for at least n elements: eight for each power of two, so that an eighth at most is not used.
func class(n int) (class, room int) {
	shift := max(0, bits.Len(uint(max(n, 1)-1))-4)
	steps := (n + 1<<shift - 1) >> shift
	return shift*16 + steps, steps << shift
}

// shelf keeps slices of one class that are not in use. A sync.Pool would not find all of what another processor has put there, and
// so make more and more of the largest.
type shelf[T Float] struct {
	mu     sync.Mutex
	slices []shelved[T] // those given back last come last
}

// shelved is a slice, and the number of garbage collections there had been when it was given back.
type shelved[T Float] struct {
	x  []T
	at int64
}

var (
	shelves32 [1024]shelf[float32]
	shelves64 [1024]shelf[float64]
	collected atomic.Int64
)

func init() { tidyAfterCollection() }

// tidyAfterCollection lets go, after each garbage collection, of what has not been used since the one before.
func tidyAfterCollection() {
	// The next collection finds this unreachable.
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) {
		now := collected.Add(1)
		for i := range shelves32 {
			shelves32[i].tidy(now - 1)
			shelves64[i].tidy(now - 1)
		}
		tidyAfterCollection()
	})
}

func (s *shelf[T]) tidy(least int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slices = slices.DeleteFunc(s.slices, func(x shelved[T]) bool { return x.at < least })
}

func (s *shelf[T]) take() (x []T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.slices)
	if n == 0 {
		return nil, false
	}
	x, s.slices[n-1] = s.slices[n-1].x, shelved[T]{}
	s.slices = s.slices[:n-1]
	return x, true
}

func (s *shelf[T]) put(x []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slices = append(s.slices, shelved[T]{x, collected.Load()})
}

func shelfOf[T Float](class int) *shelf[T] {
	if s, ok := any(&shelves32[class]).(*shelf[T]); ok {
		return s
	}
	return any(&shelves64[class]).(*shelf[T])
}

// Borrow returns n elements of any value. Made anew, large and short-lived slices would be cleared each time, and wait for the garbage
// collector; what is given back is used again, also for what is up to a third shorter, as the rows of batches differ.
func Borrow[T Float](n int) []T {
	c, room := class(n)
	for c, more := c, room; more <= room+room/2; c, more = class(more + 1) {
		if x, ok := shelfOf[T](c).take(); ok {
			return x[:n]
		}
	}
	return make([]T, n, room)
}

// GiveBack lets a slice of [Borrow] be used again. What is not from there is left to the garbage collector.
func GiveBack[T Float](x []T) {
	if cap(x) == 0 {
		return
	}
	if c, room := class(cap(x)); room == cap(x) {
		shelfOf[T](c).put(x)
	}
}

// scratch is a borrowed slice.
type scratch[T Float] struct{ x []T }

func borrow[T Float](n int) scratch[T] { return scratch[T]{Borrow[T](n)} }

func (s scratch[T]) giveBack() { GiveBack(s.x) }

// Regrow is x, which was borrowed or is nil, with n elements of any value: if it has no room for them other memory takes its place.
func Regrow[T Float](x []T, n int) []T {
	if n <= cap(x) {
		return x[:n]
	}
	GiveBack(x)
	return Borrow[T](n)
}

// borrowBytes is [Borrow] of n bytes that begin at a cache line.
func borrowBytes(n int) (borrowed []float32, bytes []byte) {
	const line = 64
	borrowed = Borrow[float32](divide(n+line, 4))
	first := unsafe.Pointer(unsafe.SliceData(borrowed))
	return borrowed, unsafe.Slice((*byte)(first), 4*len(borrowed))[-uintptr(first)&(line-1):][:n:n]
}

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
