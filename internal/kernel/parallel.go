package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

var threads atomic.Int64

func init() { SetThreads(0) }

// SetThreads sets how many goroutines a kernel may use. Fewer than one means GOMAXPROCS.
func SetThreads(n int) {
	if n < 1 {
		n = runtime.GOMAXPROCS(0)
	}
	threads.Store(int64(n))
}

// Threads is the number of goroutines that a kernel may use.
func Threads() int { return int(threads.Load()) }

// Parallel calls f for consecutive ranges [lo, hi) that together cover [0, n), each at least grain long (but for the
// last), on up to Threads() goroutines, and returns when all have returned. The ranges are handed out as goroutines
// become free, so f must not depend on which range it gets with which. Calls may be nested.
func Parallel(n, grain int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	workers := min(Threads(), (n+grain-1)/grain)
	if workers <= 1 {
		f(0, n)
		return
	}
	// A few ranges a worker even out their speeds.
	size := max(grain, (n+4*workers-1)/(4*workers))
	var next atomic.Int64
	work := func() {
		for {
			hi := int(next.Add(int64(size)))
			lo := hi - size
			if lo >= n {
				return
			}
			f(lo, min(hi, n))
		}
	}
	var wait sync.WaitGroup
	for range workers - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
}
