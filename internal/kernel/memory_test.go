package kernel

import (
	"testing"
	"unsafe"
)

func TestAnArenaGivesZeroMemoryOfItsOwnAtCacheLines(t *testing.T) {
	var a arena
	for _, n := range []int{1, 64, 0, 1000, arenaBlock - 1, arenaBlock, arenaBlock + 1, 3*hugePage + 7, 65} {
		x := a.take(n)
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
}
