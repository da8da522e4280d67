package kernel

import (
	"sync/atomic"
	"unsafe"
)

// panelFormat is how operands of float32 are brought into panels for a product of another kind of number, on tiles or without; see
// bfloat16Panels, int16Panels and digitPanels.
type panelFormat struct {
	lanes  int // of a panel
	steps  int // of a unit
	bytes  int // of a panel's unit
	stride int // bytes from a tile's unit to its next
	scales int // bytes before the first unit of a tile, of which a panel has two; 0: the units of both lie side by side
	group  int // panels of B that one goroutine makes and keeps in its second-level cache
	across int // panels of A that one makes, at most, where lanes lie side by side
	borrow func() (m panelMaker, giveBack func())
}

// panelMaker makes panels and multiplies with them.
type panelMaker interface {
	// cut fills panels with some lanes of an operand. It reports whether there was a number that the format does not have.
	cut(p panelSet, right bool, o operand[float32], lanes, steps span) (wild bool)
	// multiply adds the product of panels to some rows and columns of C.
	multiply(g *product[float32], a, b panelSet, rows, cols, steps span)
}

// Panels come from the second-level cache, which is fast enough, and C is the more in the way the more often it comes and goes.
const (
	panelDepth = 768  // steps that panels have at a time
	panelRows  = 4096 // rows of A
)

// panelSet are the panels of some lanes of an operand, one after the other.
type panelSet struct {
	*panelFormat
	deep  int // units of a panel
	pairs int // of the last unit that are filled, if a unit has 32 steps of which the first is beside the 17th
	x     []byte
	back  func()
}

// set are panels of some steps, without memory.
func (f *panelFormat) set(steps span) panelSet {
	deep := divide(steps.len(), f.steps)
	return panelSet{panelFormat: f, deep: deep, pairs: min(16, steps.len()-(deep-1)*f.steps)}
}

// newPanels borrows memory for so many lanes and steps.
func (f *panelFormat) newPanels(lanes, k int) panelSet {
	p := f.set(span{0, k})
	memory := f.newBytes(divide(lanes, f.lanes) * p.size())
	p.x, p.back = memory.x, memory.back
	return p
}

// panelBytes are borrowed memory.
type panelBytes struct {
	x    []byte
	back func()
}

func (f *panelFormat) newBytes(n int) panelBytes {
	borrowed, x := borrowBytes(n + f.bytes) // what is next to be filled may be past the end
	return panelBytes{x[:n], func() { GiveBack(borrowed) }}
}

// size is that of a panel, in bytes.
func (p panelSet) size() int { return p.deep*p.bytes + 2*p.scales }

// from are the panels from one on.
func (p panelSet) from(panel int) panelSet {
	p.x = p.x[panel*p.size():]
	return p
}

// ahead are the panels without some of their first steps.
func (p panelSet) ahead(steps int) panelSet {
	p.x = p.x[steps*p.stride:]
	return p
}

// ahead is n bytes after p.
func ahead(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

// multiply multiplies in the format.
func (f *panelFormat) multiply(g *product[float32]) {
	eachDepth(g.k, panelDepth, f.steps, func(steps span) {
		for i := 0; i < g.m; i += panelRows {
			f.part(g, span{i, min(i+panelRows, g.m)}, steps)
		}
	})
}

// eachDepth calls f for stretches of steps, about equally long, at most so many and a multiple of step.
func eachDepth(k, most, step int, f func(steps span)) {
	for p := 0; p < k; {
		n := roundUp(divide(k-p, divide(k-p, most)), step)
		steps := span{p, min(p+n, k)}
		f(steps)
		p = steps.hi
	}
}

// part adds the products of some rows and steps: A is brought into panels once; whoever takes some columns does so with those of B, which
// stay in its second-level cache while A passes by. There are at least two such tasks a thread, as one that is held up takes fewer.
func (f *panelFormat) part(g *product[float32], rows, steps span) {
	a := f.newPanels(rows.len(), steps.len())
	defer a.back()
	across := 1 // panels of A that are made at a time
	if g.a.side {
		across = min(f.across, divide(rows.len(), 2*Threads()*f.lanes))
	}
	left, right := divide(rows.len(), across*f.lanes), divide(g.n, f.lanes)
	group := f.lanes * divide(right, roundUp(divide(right, f.group), 2*Threads()))
	var wild atomic.Bool
	var cutting latch
	cutting.add(left)
	task := func(t int) {
		m, giveBack := f.borrow()
		defer giveBack()
		if t < left {
			if m.cut(a.from(t*across), false, g.a, span{rows.lo + t*across*f.lanes, min(rows.lo+(t+1)*across*f.lanes, rows.hi)}, steps) {
				wild.Store(true)
			}
			cutting.done()
			return
		}
		cols := span{(t - left) * group, min((t-left+1)*group, g.n)}
		var b panelSet
		bad := false
		if g.packed != nil {
			b = g.packed.stretch(steps).from(cols.lo / f.lanes)
		} else {
			b = f.newPanels(cols.len(), steps.len())
			defer b.back()
			bad = m.cut(b, true, g.b, cols, steps)
		}
		cutting.wait()
		if bad || wild.Load() {
			g.uncut(rows, cols, steps)
			return
		}
		m.multiply(g, a, b, rows, cols, steps)
	}
	tasks := left + divide(g.n, group)
	if rows.len()*g.n*steps.len() < serialWork {
		for t := range tasks {
			task(t)
		}
		return
	}
	inOrder(tasks, task)
}

// finish sets some rows and columns of C to those of x, which begins with the first of them, and applies the epilogue. It may write to x
// if that is its own.
func (s *simd) finish(g *product[float32], x []float32, ld, i0, i1, j0, j1 int, own bool) {
	e, rows, width := g.e, i1-i0, j1-j0
	if e == nil {
		e = &Epilogue[float32]{}
	}
	plain := e.Activation == Identity && e.Pre == nil
	if rows == 0 || width%16 != 0 || !plain && !own { // beside what is its own somebody else writes
		g.finishFrom(x, ld, i0, i1, j0, j1)
		return
	}
	bias := from(e.Bias, j0)
	if !plain {
		x = x[:rows*ld]
		s.tiles.finish(&x[0], ld, &x[0], ld, bias, nil, 0, rows, width/16)
		bias = nil
		for i := 0; i < rows && e.Pre != nil; i++ {
			copy(e.Pre[(i0+i)*g.n+j0:(i0+i)*g.n+j1], x[i*ld:])
		}
		g.activation()(e.Activation, x, x, nil, nil)
	}
	s.tiles.finish(&g.c[i0*g.ldc+j0], g.ldc, &x[0], ld, bias, from(e.Residual, i0*g.n+j0), g.n, rows, width/16)
}

// from is the address of an element; nil if there are none.
func from(x []float32, i int) *float32 {
	if x == nil {
		return nil
	}
	return &x[i]
}

// uncut computes some of the product in float32, for numbers that cannot be cut.
func (g *product[T]) uncut(rows, cols, steps span) {
	part := *g
	part.m, part.n, part.k, part.e = rows.len(), cols.len(), steps.len(), nil
	part.packed = nil
	part.a.x = g.a.from(rows.lo, steps.lo)
	part.b.x = g.b.from(cols.lo, steps.lo)
	part.c = g.c[rows.lo*g.ldc+cols.lo:]
	part.accumulate = g.accumulate || steps.lo > 0
	part.plain()
	if steps.hi == g.k {
		g.finish(rows.lo, rows.hi, cols.lo, cols.hi)
	}
}

// from is the operand's memory from a lane's step on.
func (o operand[T]) from(lane, step int) []T {
	if o.side {
		return o.x[step*o.ld+lane:]
	}
	return o.x[lane*o.ld+step:]
}
