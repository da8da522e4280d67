package kernel

import (
	"sync/atomic"
	"testing"
)

func TestParallelCoversTheRangeOnce(t *testing.T) {
	onThreads(func(threads int) {
		for _, n := range []int{0, 1, 2, 7, 100, 1001} {
			for _, grain := range []int{-1, 1, 3, 64, 5000} {
				hits := make([]atomic.Int32, n)
				Parallel(n, grain, func(lo, hi int) {
					if hi-lo < grain && hi != n {
						t.Errorf("range [%d, %d) is shorter than the grain %d", lo, hi, grain)
					}
					Parallel(hi-lo, 1, func(from, to int) { // nested
						for i := lo + from; i < lo+to; i++ {
							hits[i].Add(1)
						}
					})
				})
				for i := range hits {
					if hits[i].Load() != 1 {
						t.Fatalf("%d threads, n %d, grain %d: index %d was visited %d times", threads, n, grain, i, hits[i].Load())
					}
				}
			}
		}
	})
}

func TestSetThreads(t *testing.T) {
	defer SetThreads(0)
	SetThreads(3)
	if Threads() != 3 {
		t.Errorf("Threads() = %d after SetThreads(3)", Threads())
	}
	SetThreads(-1)
	if Threads() < 1 {
		t.Errorf("Threads() = %d after SetThreads(-1)", Threads())
	}
}
