package kernel

import "unsafe"

// In decoding, matrices are read one after the other, again and again. Where memory is read as several streams, whoever multiplies with one
// fetches the panels that it will read next, with the last of its share those of its share of the next matrix, and who has nothing to do goes on
// fetching there.
const (
	heldEarly = 64 << 10  // bytes of its share of the next matrix that a goroutine fetches with the last panels of its share of one
	heldIdle  = 512 << 10 // bytes of its share that it fetches when there is nothing to do, so many that they stay in the second-level cache
)

// Precede says that products with the next matrix will as a rule come after those with this one: some of it is then fetched before.
func (h *Held) Precede(next *Held) { h.next.Store(next) }

// following is the matrix to fetch from after this one, nil if nothing is to be fetched so far ahead: machines that fetch a few bytes
// ahead gain nothing by it.
func (h *Held) following(m int) *Held {
	next := h.next.Load()
	if cpu == nil || cpu.aheadOf(m) > 0 || next != nil && len(next.data) < heldSerial {
		return nil
	}
	return next
}

// share are the panels that a goroutine begins with.
func (h *Held) share(worker int) []byte {
	panels := divide(h.n, heldCols)
	workers := min(Threads(), panels)
	if worker >= workers {
		return nil
	}
	own, size := shareOf(worker, workers, panels), h.panelBytes()
	return h.data[own.lo*size : own.hi*size]
}

// reader tells what a goroutine fetches while it multiplies.
type reader struct {
	h     *Held
	own   span   // its panels
	fixed int    // bytes ahead to fetch, if not 0
	early int    // panels ahead to fetch otherwise
	after []byte // what it will read after its own panels
}

// ahead is how many bytes ahead to fetch while a panel is multiplied after which comes another, or -1.
func (r *reader) ahead(panel, next int) int {
	size := r.h.panelBytes()
	soon := panel + r.early
	switch {
	case r.fixed > 0:
		return r.fixed
	case panel < r.own.lo || panel >= r.own.hi: // another's
	case soon < r.own.hi:
		return r.early * size
	case (soon-r.own.hi)*size < len(r.after):
		first, now := &r.after[(soon-r.own.hi)*size], &r.h.data[panel*size]
		return int(uintptr(unsafe.Pointer(first)) - uintptr(unsafe.Pointer(now)))
	case next > panel:
		return (next - panel) * size
	}
	return 0 // the panel itself, which costs little
}

// aheadOf is how many bytes products of m rows fetch ahead, 0 if that depends on the panels.
func (s *simd) aheadOf(m int) int {
	switch {
	case s == nil:
		return 0
	case m > 2:
		return s.ahead[1]
	}
	return s.ahead[0]
}

// upcoming is a matrix that will probably be multiplied soon.
type upcoming struct {
	*Held
	fetch func(src *float32, ld, rows, lines int)
}

// fetching is what a helper does while there is nothing else.
type fetching struct {
	worker int // that it was the last time
	of     *upcoming
	rest   []byte // of its share
}

// more fetches a little more of what is upcoming. It reports whether there was anything left.
func (f *fetching) more(of *upcoming) bool {
	const piece, line = 4096, 64
	if of != f.of {
		f.of, f.rest = of, nil
		if of != nil {
			share := of.share(f.worker)
			f.rest = share[min(heldEarly, len(share)):min(heldIdle, len(share))]
		}
	}
	n := min(piece, len(f.rest))
	if n > 0 {
		of.fetch((*float32)(unsafe.Pointer(&f.rest[0])), 0, 1, divide(n, line))
		f.rest = f.rest[n:]
	}
	return n > 0
}
