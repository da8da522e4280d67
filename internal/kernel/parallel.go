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
// last), on up to Threads() goroutines, and returns when all have returned. Which goroutine gets which range depends on how
// fast they are, so what f computes must not depend on where ranges begin and end. Calls may be nested.
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
	inRuns((n+size-1)/size, func(i, _ int) { f(i*size, min((i+1)*size, n)) })
}

// inOrder calls f(0), …, f(n-1) on up to Threads() goroutines, starting them in that order, so a call may wait for what
// earlier ones do. It returns when all have returned. A call from within f, or beside it, gets one goroutine, the caller's.
func inOrder(n int, f func(i int)) {
	var next atomic.Int64
	together(min(Threads(), n), func(int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
		}
	})
}

// inRuns is inOrder but for the order: each goroutine goes through neighbours, those of its own share and then, from the end, what is left
// of others'. Over many calls it is given the same share. next is what it will probably do next, -1 if that is not known.
func inRuns(n int, f func(i, next int)) {
	inRunsOf(n, false, func(int, span) (func(i, next int), func()) { return f, func() {} })
}

// shareOf is the share of a goroutine.
func shareOf(worker, workers, n int) span {
	return span{worker * n / workers, (worker + 1) * n / workers}
}

// inRunsOf is inRuns with a function for each goroutine, which begin makes of its number and its share, and another one that is called at the
// end. Alone: the caller does all.
func inRunsOf(n int, alone bool, begin func(worker int, own span) (f func(i, next int), end func())) {
	workers := min(Threads(), n)
	if alone || workers < 2 {
		if n == 0 {
			return
		}
		f, end := begin(0, span{0, n})
		defer end()
		for i := range n - 1 {
			f(i, i+1)
		}
		f(n-1, -1)
		return
	}
	shares := make([]share, workers)
	for w := range shares {
		own := shareOf(w, workers, n)
		shares[w].set(own.lo, own.hi)
	}
	together(workers, func(worker int) {
		f, end := begin(worker, shareOf(worker, workers, n))
		defer end()
		for {
			i, next := shares[worker].first()
			if i < 0 {
				break
			}
			f(i, next)
		}
		for w := range workers - 1 {
			for {
				i := shares[(worker+1+w)%workers].last()
				if i < 0 {
					break
				}
				f(i, -1)
			}
		}
	})
}

// inPhases is for work in phases: for each i below n they come one after the other, but goroutines do not wait for each other between them. begin
// makes a function for each of up to Threads() goroutines, and another one that is called at the end. Each goroutine goes through its own
// share of a phase before the next one, and at last through what is left of others', in the same order. nextPhase and next are what it will
// probably do next; next is -1 if that is not known.
func inPhases(phases, n int, alone bool, begin func() (f func(phase, i, nextPhase, next int), end func())) {
	workers := min(Threads(), n)
	if alone {
		workers = min(1, n)
	}
	if workers == 0 {
		return
	}
	taken, done := make([]counter, workers), make([]atomic.Int32, n)
	together(workers, func(worker int) {
		f, end := begin()
		defer end()
		for w := range workers {
			w = (worker + w) % workers
			own := shareOf(w, workers, n)
			at := func(k int) (phase, i int) { return k / own.len(), own.lo + k%own.len() }
			for {
				k := int(taken[w].n.Add(1)) - 1
				phase, i := at(k)
				if phase >= phases {
					break
				}
				nextPhase, next := at(k + 1)
				if nextPhase >= phases {
					nextPhase, next = phase, -1
				}
				for look := (lookout{}); int(done[i].Load()) < phase; { // somebody is at it
					look.again()
				}
				f(phase, i, nextPhase, next)
				done[i].Store(int32(phase + 1))
			}
		}
	})
}

// counter is in a cache line of its own.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

// share is what is left of a range, in a cache line of its own.
type share struct {
	ends atomic.Uint64 // the first, and above it the end
	_    [56]byte
}

func (s *share) set(lo, hi int) { s.ends.Store(uint64(hi)<<32 | uint64(lo)) }

// first takes the first and tells what follows it; -1: nothing.
func (s *share) first() (i, next int) {
	for {
		ends := s.ends.Load()
		lo, hi := int(uint32(ends)), int(ends>>32)
		if lo == hi {
			return -1, -1
		}
		if s.ends.CompareAndSwap(ends, ends+1) {
			if next = lo + 1; next == hi {
				next = -1
			}
			return lo, next
		}
	}
}

// last takes the last; -1: nothing.
func (s *share) last() int {
	for {
		ends := s.ends.Load()
		lo, hi := int(uint32(ends)), int(ends>>32)
		if lo == hi {
			return -1
		}
		if s.ends.CompareAndSwap(ends, ends-1<<32) {
			return hi - 1
		}
	}
}

// together calls f on the caller's goroutine and on up to workers-1 others, as they become free, and returns when all have returned. The caller's
// number is 0, those of the others are below workers and may repeat; f returns when there is nothing left to do. A call from
// within f, or beside it, is the caller's alone.
func together(workers int, f func(worker int)) {
	if workers < 2 {
		f(0)
		return
	}
	j := &job{f: f, most: int64(workers)}
	j.present.add(1)
	if !team.job.CompareAndSwap(nil, j) {
		f(0)
		return
	}
	team.call(workers - 1)
	f(0)
	team.job.Store(nil)
	j.present.done()
	j.present.wait()
}

// job is one call of together.
type job struct {
	f       func(worker int)
	most    int64
	present latch // who is at it; once nobody is, nobody may come
}

// help takes part unless there are enough already: then it returns 0, otherwise its number.
func (j *job) help() (worker int) {
	for {
		n := j.present.left.Load()
		if n == 0 || n >= j.most {
			return 0
		}
		if j.present.left.CompareAndSwap(n, n+1) {
			j.f(int(n))
			j.present.done()
			return int(n)
		}
	}
}

// team are goroutines that help with the job there is. To wake a thread takes longer than many a product, so for a while they look
// out for the next job before they go to sleep.
type teamType struct {
	job      atomic.Pointer[job]
	mu       sync.Mutex // for growing
	members  atomic.Int64
	sleepers atomic.Int64
	wake     chan struct{}
	upcoming atomic.Pointer[upcoming] // nil: nothing is known
}

var team = teamType{wake: make(chan struct{}, 1024)}

// call makes sure that so many helpers see the job.
func (t *teamType) call(helpers int) {
	if int(t.members.Load()) < helpers {
		t.mu.Lock()
		for ; int(t.members.Load()) < helpers; t.members.Add(1) {
			go t.help()
		}
		t.mu.Unlock()
	}
	for range min(helpers, int(t.sleepers.Load())) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *teamType) help() {
	var last *job
	var look lookout
	var soon fetching
	for {
		if j := t.job.Load(); j != nil && j != last {
			last = j
			if worker := j.help(); worker > 0 {
				soon.worker = worker
			}
			look = lookout{}
		} else if !soon.more(t.upcoming.Load()) && !look.again() {
			t.sleepers.Add(1)
			if j := t.job.Load(); j == nil || j == last {
				last, soon = nil, fetching{worker: soon.worker} // they are not kept alive
				t.upcoming.Store(nil)
				<-t.wake
			}
			t.sleepers.Add(-1)
			look = lookout{}
		}
	}
}

// lookout is for looking out for something before sleeping: mostly at once again, sometimes after others have had a turn.
type lookout struct {
	turns int
	since time.Time
}

const (
	patience = 200 * time.Microsecond
	hurry    = 1000 // turns between those that let others run, about a microsecond in all
)

// again reports whether to look again, and not to sleep.
func (l *lookout) again() bool {
	if l.turns++; l.turns%hurry != 0 {
		return true
	}
	runtime.Gosched()
	if l.since.IsZero() {
		l.since = time.Now()
	}
	return time.Since(l.since) < patience
}

// latch is open when as many are done as were added; its wait looks out for that before it sleeps.
type latch struct {
	left     atomic.Int64
	sleepers atomic.Int64
	mu       sync.Mutex
	open     chan struct{} // made by the first sleeper
}

func (l *latch) add(n int) { l.left.Add(int64(n)) }

func (l *latch) done() {
	if l.left.Add(-1) == 0 && l.sleepers.Load() > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.channel())
		l.open = nil
	}
}

// channel is what sleepers wait for.
func (l *latch) channel() chan struct{} {
	if l.open == nil {
		l.open = make(chan struct{})
	}
	return l.open
}

func (l *latch) wait() {
	for look := (lookout{}); l.left.Load() > 0; {
		if look.again() {
			continue
		}
		l.mu.Lock()
		open := l.channel()
		l.mu.Unlock()
		l.sleepers.Add(1)
		if l.left.Load() > 0 {
			<-open
		}
		l.sleepers.Add(-1)
	}
}
