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
// become free, so what f computes must not depend on where they begin and end. Calls may be nested.
func Parallel(n, grain int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	// A few ranges a goroutine even out their speeds.
	size := max(grain, 1)
	if workers := Threads(); workers > 1 {
		size = max(size, (n+4*workers-1)/(4*workers))
	} else {
		size = n
	}
	inOrder((n+size-1)/size, func(i int) { f(i*size, min((i+1)*size, n)) })
}

// inOrder calls f(0), …, f(n-1) on up to Threads() goroutines, starting them in that order, so a call may wait for what
// earlier ones do. It returns when all have returned, without waiting for goroutines that came too late to get any.
func inOrder(n int, f func(i int)) {
	workers := min(Threads(), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var done sync.WaitGroup
	done.Add(n)
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
			done.Done()
		}
	}
	for range workers - 1 {
		go work()
	}
	work()
	done.Wait()
}
