package kernel

import (
	"runtime"
	"sync"
	"unsafe"
)

// arena gives memory that is kept for long and read again and again, in large pages where the system has them: what it gives
// lies side by side, so that few pages are in part something else's.
type arena struct {
	mu   sync.Mutex
	rest []byte // of the block
	of   *block
}

// block is memory beside Go's heap, which would have touched it before it is known to be for large pages. It is given back when nobody has the
// block any more, so whoever uses the memory has to keep it.
type block struct{ memory []byte }

var longLived arena

const (
	hugePage   = 2 << 20
	arenaBlock = 8 * hugePage
)

// take returns n bytes, zero, that begin at a cache line, and the block that they are in.
func (a *arena) take(n int) ([]byte, *block) {
	const line = 64
	room := roundUp(n, line)
	if room >= arenaBlock {
		b := newBlock(roundUp(room, hugePage))
		return b.memory[:n:n], b
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if room > len(a.rest) {
		a.of = newBlock(arenaBlock)
		a.rest = a.of.memory
	}
	x := a.rest[:n:n]
	a.rest = a.rest[room:]
	return x, a.of
}

// newBlock makes a block that begins at a large page.
func newBlock(size int) *block {
	memory, giveBack := mapMemory(size + hugePage)
	b := &block{memory[-uintptr(unsafe.Pointer(unsafe.SliceData(memory)))&(hugePage-1):][:size:size]}
	if giveBack != nil {
		useHugePages(b.memory)
		runtime.AddCleanup(b, giveBack, memory)
	}
	return b
}
