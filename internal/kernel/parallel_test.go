package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

func TestRunsCoverTheRangeOnceAndTellWhatComesNext(t *testing.T) {
	onThreads(func(threads int) {
		for _, n := range []int{0, 1, 2, 7, 100, 1001} {
			hits := make([]atomic.Int32, n)
			inRuns(n, func(i, next int) {
				if next != -1 && next != i+1 || next >= n {
					t.Errorf("after %d of %d comes %d", i, n, next)
				}
				hits[i].Add(1)
			})
			for i := range hits {
				if hits[i].Load() != 1 {
					t.Fatalf("%d threads, n %d: index %d was visited %d times", threads, n, i, hits[i].Load())
				}
			}
		}
	})
}

func TestASlowGoroutinesShareIsDoneByOthers(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2)
	const n = 100
	var others atomic.Int64
	inRuns(n, func(i, _ int) {
		if i != 0 {
			others.Add(1)
			return
		}
		for start := time.Now(); others.Load() < n-1; runtime.Gosched() {
			if time.Since(start) > 10*time.Second {
				t.Errorf("%d of %d are done beside the first", others.Load(), n-1)
				return
			}
		}
	})
}

func TestPhasesOfAnItemComeInOrder(t *testing.T) {
	onThreads(func(threads int) {
		for _, n := range []int{0, 1, 2, 7, 100} {
			for _, phases := range []int{1, 2, 5} {
				for _, alone := range []bool{false, true} {
					done := make([]atomic.Int32, n)
					var begun, ended atomic.Int32
					inPhases(phases, n, alone, func() (func(phase, i, nextPhase, next int), func()) {
						begun.Add(1)
						return func(phase, i, nextPhase, next int) {
							if next >= n || nextPhase >= phases || next >= 0 && nextPhase == phase && next != i+1 {
								t.Errorf("after phase %d of %d comes phase %d of %d", phase, i, nextPhase, next)
							}
							if before := done[i].Add(1) - 1; int(before) != phase {
								t.Errorf("%d threads: phase %d of %d comes after %d others", threads, phase, i, before)
							}
						}, func() { ended.Add(1) }
					})
					for i := range done {
						if int(done[i].Load()) != phases {
							t.Fatalf("%d threads: %d of %d phases of %d were done", threads, done[i].Load(), phases, i)
						}
					}
					if begun.Load() != ended.Load() || (begun.Load() == 0) != (n == 0) || alone && n > 0 && begun.Load() != 1 {
						t.Errorf("%d threads, %d items: %d began and %d ended", threads, n, begun.Load(), ended.Load())
					}
				}
			}
		}
	})
}

func TestASlowGoroutinesPhasesAreDoneByOthers(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2)
	const phases, n = 3, 100
	var others atomic.Int64
	inPhases(phases, n, false, func() (func(phase, i, nextPhase, next int), func()) {
		return func(phase, i, _, _ int) {
			if phase > 0 || i != 0 {
				others.Add(1)
				return
			}
			for start := time.Now(); others.Load() < n-1; runtime.Gosched() { // the first item's other phases cannot be done yet
				if time.Since(start) > 10*time.Second {
					t.Errorf("%d items are done beside the first", others.Load())
					return
				}
			}
		}, func() {}
	})
	if others.Load() != phases*n-1 {
		t.Errorf("%d of %d are done", others.Load(), phases*n-1)
	}
}

func TestInOrderStartsInOrder(t *testing.T) {
	onThreads(func(threads int) {
		const n = 1000
		var started [n]atomic.Bool
		inOrder(n, func(i int) {
			started[i].Store(true)
			for j := range i {
				for !started[j].Load() { // is never waited for in vain
					runtime.Gosched()
				}
			}
		})
	})
}

// Goroutines that have gone to sleep come back, on one processor and on several, with callers beside each other.
func TestGoroutinesSleepBetweenJobsAndComeBack(t *testing.T) {
	defer SetThreads(0)
	for _, processors := range []int{1, 2, 4} {
		before := runtime.GOMAXPROCS(processors)
		SetThreads(3)
		for round := range 6 {
			var sum atomic.Int64
			var callers sync.WaitGroup
			for range 2 {
				callers.Go(func() {
					for range 200 {
						Parallel(50, 1, func(lo, hi int) { sum.Add(int64(hi - lo)) })
					}
				})
			}
			callers.Wait()
			if sum.Load() != 2*200*50 {
				t.Errorf("%d processors, round %d: %d calls, want %d", processors, round, sum.Load(), 2*200*50)
			}
			time.Sleep(2 * patience)
		}
		runtime.GOMAXPROCS(before)
	}
}

func TestALatchOpensForAllWhoWait(t *testing.T) {
	for _, delay := range []time.Duration{0, patience / 2, 5 * patience} {
		for range 20 {
			var l latch
			l.add(3)
			var open atomic.Bool
			var waiting sync.WaitGroup
			for range 4 {
				waiting.Go(func() {
					l.wait()
					if !open.Load() {
						t.Error("it was not open yet")
					}
				})
			}
			time.Sleep(delay)
			l.done()
			l.done()
			open.Store(true)
			l.done()
			waiting.Wait()
		}
	}
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
