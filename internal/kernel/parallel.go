package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
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
// earlier ones do. It returns when all have returned. A call from within f, or beside it, gets one goroutine, the caller's.
func inOrder(n int, f func(i int)) {
	helpers := min(Threads(), n) - 1
	j := &job{f: f, n: int64(n)}
	if helpers < 1 || !team.job.CompareAndSwap(nil, j) {
		for i := range n {
			f(i)
		}
		return
	}
	j.left.add(n)
	j.seats.Store(int64(helpers))
	team.call(helpers)
	j.work()
	team.job.Store(nil)
	j.left.wait()
}

// job is one call of inOrder.
type job struct {
	f     func(i int)
	n     int64
	next  atomic.Int64 // to start
	left  latch        // to finish
	seats atomic.Int64 // for helpers
}

func (j *job) work() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.f(int(i))
		j.left.done()
	}
}

// team are goroutines that help with the job there is. To wake a thread takes longer than many a product, so for a while they look
// out for the next job before they go to sleep.
type teamType struct {
	job      atomic.Pointer[job]
	mu       sync.Mutex
	members  int
	sleepers atomic.Int64
	wake     chan struct{}
}

var team = teamType{wake: make(chan struct{}, 1024)}

// patience is how long to look out for something before sleeping.
const patience = 200 * time.Microsecond

// call makes sure that so many helpers see the job.
func (t *teamType) call(helpers int) {
	t.mu.Lock()
	for ; t.members < helpers; t.members++ {
		go t.help()
	}
	t.mu.Unlock()
	for range min(helpers, int(t.sleepers.Load())) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *teamType) help() {
	var last *job
	idle := time.Now()
	for {
		if j := t.job.Load(); j != nil && j != last {
			last = j
			if j.seats.Add(-1) >= 0 {
				j.work()
			}
			idle = time.Now()
		} else if time.Since(idle) < patience {
			runtime.Gosched()
		} else {
			t.sleepers.Add(1)
			if j := t.job.Load(); j == nil || j == last {
				last = nil // it is not kept alive
				<-t.wake
			}
			t.sleepers.Add(-1)
			idle = time.Now()
		}
	}
}

// latch is a sync.WaitGroup whose wait looks out for the end before it sleeps.
type latch struct {
	left  atomic.Int64
	group sync.WaitGroup
}

func (l *latch) add(n int) {
	l.left.Add(int64(n))
	l.group.Add(n)
}

func (l *latch) done() {
	l.left.Add(-1)
	l.group.Done()
}

func (l *latch) wait() {
	for start := time.Now(); l.left.Load() > 0 && time.Since(start) < patience; {
		runtime.Gosched()
	}
	l.group.Wait()
}
