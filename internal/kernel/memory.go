package kernel

import (
	"sync"
	"unsafe"
)

// arena gives memory that is kept for long and read again and again, in large pages where the system has them: what it gives
// lies side by side, so that few pages are in part something else's.
type arena struct {
	mu   sync.Mutex
	rest []byte // of the last block
}

var longLived arena

const (
	hugePage   = 2 << 20
	arenaBlock = 8 * hugePage
)

// take returns n bytes, zero, that begin at a cache line.
func (a *arena) take(n int) []byte {
	const line = 64
	a.mu.Lock()
	defer a.mu.Unlock()
	room := roundUp(n, line)
	if room > len(a.rest) {
		size := max(arenaBlock, roundUp(room, hugePage))
		memory := make([]byte, size+hugePage)
		block := memory[-uintptr(unsafe.Pointer(unsafe.SliceData(memory)))&(hugePage-1):][:size]
		useHugePages(block)
		a.rest = block
	}
	x := a.rest[:n:n]
	a.rest = a.rest[room:]
	return x
}
