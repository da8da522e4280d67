package kernel

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestAnArenaGivesZeroMemoryOfItsOwnAtCacheLines(t *testing.T) {
	var a arena
	var blocks []*block // keep the memory
	for _, n := range []int{1, 64, 0, 1000, arenaBlock - 1, arenaBlock, arenaBlock + 1, 3*hugePage + 7, 65} {
		x, of := a.take(n)
		blocks = append(blocks, of)
		if len(x) != n || cap(x) != n || uintptr(unsafe.Pointer(unsafe.SliceData(x)))%64 != 0 {
			t.Fatalf("%d bytes at %p, want %d", len(x), x, n)
		}
		for i, v := range x {
			if v != 0 {
				t.Fatalf("byte %d of %d is %d", i, n, v)
			}
			x[i] = 1 // is seen if it is given again
		}
	}
	runtime.KeepAlive(blocks)
}

func TestABlockIsGivenBackWithItsLastUser(t *testing.T) {
	given := make(chan int, 1)
	func() {
		b := newBlock(hugePage)
		runtime.AddCleanup(b, func(n int) { given <- n }, 1)
		b.memory[hugePage-1] = 1
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-given:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the block is still there")
}
