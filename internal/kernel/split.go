package kernel

import (
	"sync"
	"unsafe"
)

// tiles are the functions that multiply bfloat16 in pairs, and digits of float32 in fours, with tiles or without; see split and
// multiplyDigits. Where there are no tiles digits is nil.
type tiles struct {
	leadingPanels func(a, b *byte, steps int, c *float32, ldc, rows int, accumulate bool, ahead *byte)
	round         func(to *byte, src *float32, row, second, step, steps int)
	roundTurned   func(to *byte, src *float32, row, second, step, steps int)
	finish        func(dst *float32, ldd int, src *float32, lds int, bias, residual *float32, ldr, rows, vectors int)
	together      int // panels of rows that one goroutine takes through an EncoderBlock
	digits        func(a, b *byte, chunks int, c *float32, ldc, rows, cols int, accumulate bool, scratch *float32, ahead *byte)
	cutRows       func(to *byte, src *float32, row, chunks int) bool
	cutColumns    func(to *byte, src *float32, row, chunks int) bool
}

// Operands of a product in bfloat16 are rounded into panels. Each element of C is a running sum over at most splitDepth steps,
// and a sum of these sums in ascending order.
const (
	splitPanel = 32      // lanes of a panel: two tiles
	splitStep  = 32      // steps of a tile
	splitDepth = 768     // steps of a running sum
	splitRows  = 4096    // rows of A rounded at a time
	splitBytes = 2 << 10 // of a panel's step
	splitGroup = 20      // panels of B that one goroutine rounds and keeps
	splitChunk = 8       // panels of A that meet a panel of B while all are in the second-level cache
)

// pieces are the panels of some lanes of an operand.
type pieces struct {
	steps int // tiles deep
	x     []byte
	back  func()
}

func newPieces(lanes, k int) pieces {
	p := pieces{steps: divide(k, splitStep)}
	n := divide(lanes, splitPanel) * p.bytes()
	s := borrow[float32](n/4 + 16 + splitBytes/4) // a tile's place after its last step may be past the end
	x := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s.x))), 4*len(s.x))
	p.x, p.back = x[-uintptr(unsafe.Pointer(unsafe.SliceData(x)))&63:][:n], s.giveBack
	return p
}

// bytes of a panel.
func (p pieces) bytes() int { return p.steps * splitBytes }

// tile is the place of a tile of a panel's first step.
func (p pieces) tile(panel, tile int) *byte { return &p.x[panel*p.bytes()+tile<<10] }

// splitter rounds operands, with room for what has to be brought into shape first.
type splitter struct {
	*simd
	buffer [16 * 256]float32
}

// left rounds up to 16 lanes of an operand for the left side: k steps from the first one on.
func (s *splitter) left(to *byte, o operand[float32], lane, lanes, first, k int) {
	if whole := k / splitStep; whole > 0 && lanes == 16 {
		if o.side {
			s.tiles.roundTurned(to, &o.x[first*o.ld+lane], 4*o.ld, 4*16*o.ld, 4*splitStep*o.ld, whole)
		} else {
			s.tiles.round(to, &o.x[lane*o.ld+first], 4*o.ld, 64, 128, whole)
		}
		to, first, k = ahead(to, whole*splitBytes), first+whole*splitStep, k-whole*splitStep
	}
	const width = len(s.buffer) / 16
	for k > 0 {
		n := min(k, width)
		steps := divide(n, splitStep)
		if n < width || lanes < 16 {
			clear(s.buffer[:])
		}
		if o.side {
			for p := 0; p < n; p += 16 {
				s.packTranspose(&s.buffer[p], width, &o.x[(first+p)*o.ld+lane], o.ld, min(16, n-p), lanes)
			}
		} else {
			for i := range lanes {
				copy(s.buffer[i*width:i*width+n], o.x[(lane+i)*o.ld+first:])
			}
		}
		s.tiles.round(to, &s.buffer[0], 4*width, 64, 128, steps)
		to, first, k = ahead(to, steps*splitBytes), first+n, k-n
	}
}

// right is left for the right side, in whose tiles lanes lie side by side.
func (s *splitter) right(to *byte, o operand[float32], lane, lanes, first, k int) {
	if whole := k / splitStep; whole > 0 && lanes == 16 {
		if o.side {
			s.tiles.round(to, &o.x[first*o.ld+lane], 4*o.ld, 4*16*o.ld, 4*splitStep*o.ld, whole)
		} else {
			s.tiles.roundTurned(to, &o.x[lane*o.ld+first], 4*o.ld, 64, 128, whole)
		}
		to, first, k = ahead(to, whole*splitBytes), first+whole*splitStep, k-whole*splitStep
	}
	const depth = len(s.buffer) / 16
	for k > 0 {
		n := min(k, depth)
		steps := divide(n, splitStep)
		if n < depth || lanes < 16 {
			clear(s.buffer[:])
		}
		if o.side {
			for p := range n {
				copy(s.buffer[16*p:16*p+lanes], o.x[(first+p)*o.ld+lane:])
			}
		} else {
			s.packTranspose(&s.buffer[0], 16, &o.x[lane*o.ld+first], o.ld, lanes, n)
		}
		s.tiles.round(to, &s.buffer[0], 4*16, 4*16*16, 4*16*splitStep, steps)
		to, first, k = ahead(to, steps*splitBytes), first+n, k-n
	}
}

// ahead is n bytes after p.
func ahead(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

// cut rounds some lanes of an operand into panels, from the panel first on.
func (s *splitter) cut(p pieces, panel int, right bool, o operand[float32], lanes, steps span) {
	side := s.left
	if right {
		side = s.right
	}
	first := lanes.lo
	if right && o.side && steps.len() >= splitStep {
		first = s.cutAcross(p, panel, o, lanes, steps)
	}
	for lane := lanes.lo; lane < lanes.hi; lane += 16 {
		to := p.tile(panel+(lane-lanes.lo)/splitPanel, (lane-lanes.lo)/16&1)
		from, k := steps.lo, steps.len()
		if lane < first { // all but the rest of the steps is done
			done := k / splitStep
			to, from, k = ahead(to, done*splitBytes), from+done*splitStep, k-done*splitStep
		}
		side(to, o, lane, min(16, lanes.hi-lane), from, k)
	}
}

// cutAcross rounds whole tiles for the right side of lanes that lie side by side, step by step, and so reads each row of memory in one
// go. It returns the first lane that it left out.
func (s *splitter) cutAcross(p pieces, panel int, o operand[float32], lanes, steps span) int {
	left := lanes.lo + lanes.len()/16*16
	for i := range steps.len() / splitStep {
		for lane := lanes.lo; lane < left; lane += 16 {
			to := p.tile(panel+(lane-lanes.lo)/splitPanel, (lane-lanes.lo)/16&1)
			s.tiles.round(ahead(to, i*splitBytes), &o.x[(steps.lo+i*splitStep)*o.ld+lane], 4*o.ld, 4*16*o.ld, 4*splitStep*o.ld, 1)
		}
	}
	return left
}

var splitters = sync.Pool{New: func() any { return &splitter{} }}

func borrowSplitter() *splitter {
	s := splitters.Get().(*splitter)
	s.simd = cpu
	return s
}

// split multiplies in bfloat16.
func split(g *product[float32]) {
	eachDepth(g.k, splitDepth, splitStep, func(steps span) {
		for i := 0; i < g.m; i += splitRows {
			splitPart(g, span{i, min(i+splitRows, g.m)}, steps)
		}
	})
}

// eachDepth calls f for stretches of steps, about equally long, at most depth and a multiple of step.
func eachDepth(k, depth, step int, f func(steps span)) {
	for p := 0; p < k; {
		n := roundUp(divide(k-p, divide(k-p, depth)), step)
		steps := span{p, min(p+n, k)}
		f(steps)
		p = steps.hi
	}
}

// splitPart adds the products of some rows and steps: A is rounded once; whoever takes some columns rounds those of B, which stay in its
// second-level cache while A passes by.
func splitPart(g *product[float32], rows, steps span) {
	a := newPieces(rows.len(), steps.len())
	defer a.back()
	left := divide(rows.len(), splitPanel)
	panels := divide(g.n, splitPanel)
	group := splitPanel * divide(panels, roundUp(divide(panels, splitGroup), Threads()))
	var cutting latch
	cutting.add(left)
	task := func(t int) {
		s := borrowSplitter()
		defer splitters.Put(s)
		if t < left {
			s.cut(a, t, false, g.a, span{rows.lo + t*splitPanel, min(rows.lo+(t+1)*splitPanel, rows.hi)}, steps)
			cutting.done()
			return
		}
		cols := span{(t - left) * group, min((t-left+1)*group, g.n)}
		var b pieces
		if g.packed != nil {
			b = g.packed.stretch(steps)
			b.x = b.x[cols.lo/splitPanel*b.bytes():]
		} else {
			b = newPieces(cols.len(), steps.len())
			defer b.back()
			s.cut(b, 0, true, g.b, cols, steps)
		}
		cutting.wait()
		s.multiply(g, a, b, rows, cols, steps)
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

// multiply adds the product of the pieces to some rows and columns of C.
func (s *splitter) multiply(g *product[float32], a, b pieces, rows, cols, steps span) {
	accumulate := g.accumulate || steps.lo > 0
	for i := 0; i < rows.len(); i += splitChunk * splitPanel {
		height := min(splitChunk*splitPanel, rows.len()-i)
		for j := 0; j < cols.len(); j += splitPanel {
			c, width := g.c[(rows.lo+i)*g.ldc+cols.lo+j:], min(splitPanel, cols.len()-j)
			at := j / splitPanel * b.bytes()
			next := &b.x[at]
			if j+splitPanel < cols.len() {
				next = &b.x[at+b.bytes()]
			}
			s.leading(a, i/splitPanel, &b.x[at], c, g.ldc, height, width, accumulate, next)
		}
		if steps.hi == g.k {
			g.finish(rows.lo+i, rows.lo+i+height, cols.lo, cols.hi)
		}
	}
}

// leading multiplies panels, from the first on, by a panel of B, and fetches what is ahead. Where not all of 16 rows or 32 columns are
// there, it does so in a place of its own.
func (s *splitter) leading(a pieces, first int, b *byte, c []float32, ldc, rows, cols int, accumulate bool, ahead *byte) {
	done := 0
	if rows >= 16 && cols == splitPanel {
		done = rows / 16 * 16
		s.tiles.leadingPanels(a.tile(first, 0), b, a.steps, &c[0], ldc, done, accumulate, ahead)
	}
	for done < rows {
		height, c := min(rows-done, len(s.buffer)/splitPanel), c[done*ldc:]
		if accumulate {
			for i := range height {
				copy(s.buffer[i*splitPanel:i*splitPanel+cols], c[i*ldc:])
			}
		}
		s.tiles.leadingPanels(a.tile(first+done/splitPanel, done/16&1), b, a.steps, &s.buffer[0], splitPanel, height, accumulate, ahead)
		for i := range height {
			copy(c[i*ldc:i*ldc+cols], s.buffer[i*splitPanel:])
		}
		done += height
	}
}
