package kernel

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// tiles are the functions of an instruction set that multiplies tiles of bfloat16, 16 rows of 32 by 32 rows of 16, with sums in
// float32; see split. Where it does not do so fast enough for float32 in pieces, panels and split are nil.
type tiles struct {
	panels        func(a, b *byte, steps int, c *float32, ldc, rows, cols int, accumulate bool, scratch *float32, ahead *byte)
	leadingPanels func(a, b *byte, steps int, c *float32, ldc, rows int, accumulate bool, ahead *byte)
	split         func(high, low *byte, src *float32, row, second, step, steps int) bool
	round         func(high *byte, src *float32, row, second, step, steps int)
	finish        func(dst *float32, ldd int, src, bias, residual *float32, ldr, rows int)
	together      int // panels of rows that one goroutine takes through an EncoderBlock
}

// pieces reports whether float32 is best multiplied in pieces.
func (s *simd) pieces() bool { return s != nil && s.tiles != nil && s.tiles.panels != nil }

// A float32 of 24 bits is exactly the sum of three bfloat16 of 8, so a product of matrices is one of their pieces: a₁b₁ + a₁b₂ + a₂b₁
// + a₂b₂ + a₁b₃ + a₃b₁, where what is left out is below the rounding of float32. Six products of tiles take less time than one
// of float32 (Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations",
// 2019, arXiv:1904.06376). The small products are added up first. Each element is a running sum over at most splitDepth steps,
// and a sum of these sums in ascending order.
const (
	splitPanel = 32      // lanes of a panel: two tiles
	splitStep  = 32      // steps of a tile
	splitDepth = 768     // steps of a running sum
	splitRows  = 4096    // rows of A cut at a time
	splitHigh  = 2 << 10 // bytes of a panel's step: leading pieces
	splitLow   = 4 << 10 // second and third pieces
	splitAhead = 1024    // bytes fetched ahead in a step of a panel
	splitGroup = 6       // panels of B that one goroutine cuts and keeps
	roundGroup = 20      // the same of leading pieces alone
	splitChunk = 1       // panels of A that meet a panel of B while all are in the second-level cache
	roundChunk = 8
)

// pieces are the panels of some lanes of an operand.
type pieces struct {
	steps int  // tiles deep
	low   bool // with second and third pieces
	x     []byte
	back  func()
}

func newPieces(lanes, k int, low bool) pieces {
	p := pieces{steps: divide(k, splitStep), low: low}
	n := divide(lanes, splitPanel) * p.bytes()
	s := borrow[float32](n/4 + 16 + splitHigh/4) // a tile's place after its last step may be past the end
	x := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s.x))), 4*len(s.x))
	p.x, p.back = x[-uintptr(unsafe.Pointer(unsafe.SliceData(x)))&63:][:n], s.giveBack
	return p
}

// bytes of a panel.
func (p pieces) bytes() int {
	if p.low {
		return p.steps * (splitHigh + splitLow)
	}
	return p.steps * splitHigh
}

// tile is the place of a tile of a panel's first step.
func (p pieces) tile(panel, tile int) (high, low *byte) {
	high = &p.x[panel*p.bytes()+tile<<10]
	if p.low {
		low = ahead(high, p.steps*splitHigh)
	}
	return high, low
}

// splitter cuts operands, with room for what has to be brought into shape first.
type splitter struct {
	*simd
	buffer [16 * 256]float32
}

// blocks cuts blocks of 16 rows of 32, or rounds them where there are no low pieces; see splitAMX.
func (s *splitter) blocks(high, low *byte, src *float32, row, second, step, steps int) (wild bool) {
	if low != nil {
		return s.tiles.split(high, low, src, row, second, step, steps)
	}
	s.tiles.round(high, src, row, second, step, steps)
	return false
}

// left cuts up to 16 lanes of an operand for the left side: k steps from the first one on. It reports whether there was a number that
// cannot be cut.
func (s *splitter) left(high, low *byte, o operand[float32], lane, lanes, first, k int) (wild bool) {
	if !o.side && lanes == 16 {
		whole := k / splitStep
		if whole > 0 {
			wild = s.blocks(high, low, &o.x[lane*o.ld+first], 4*o.ld, 64, 128, whole)
		}
		high, low = ahead(high, whole*splitHigh), ahead(low, whole*splitLow)
		first, k = first+whole*splitStep, k-whole*splitStep
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
		wild = s.blocks(high, low, &s.buffer[0], 4*width, 64, 128, steps) || wild
		high, low = ahead(high, steps*splitHigh), ahead(low, steps*splitLow)
		first, k = first+n, k-n
	}
	return wild
}

// right is left for the right side, in whose tiles lanes lie side by side.
func (s *splitter) right(high, low *byte, o operand[float32], lane, lanes, first, k int) (wild bool) {
	if o.side && lanes == 16 {
		whole := k / splitStep
		if whole > 0 {
			wild = s.blocks(high, low, &o.x[first*o.ld+lane], 4*o.ld, 4*16*o.ld, 4*splitStep*o.ld, whole)
		}
		high, low = ahead(high, whole*splitHigh), ahead(low, whole*splitLow)
		first, k = first+whole*splitStep, k-whole*splitStep
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
		wild = s.blocks(high, low, &s.buffer[0], 4*16, 4*16*16, 4*16*splitStep, steps) || wild
		high, low = ahead(high, steps*splitHigh), ahead(low, steps*splitLow)
		first, k = first+n, k-n
	}
	return wild
}

// ahead is n bytes after p; nil stays nil.
func ahead(p *byte, n int) *byte {
	if p == nil {
		return nil
	}
	return (*byte)(unsafe.Add(unsafe.Pointer(p), n))
}

// cut cuts some lanes of an operand into panels, from the panel first on.
func (s *splitter) cut(p pieces, panel int, right bool, o operand[float32], lanes, steps span) (wild bool) {
	side := s.left
	if right {
		side = s.right
	}
	first := lanes.lo
	if right && o.side && steps.len() >= splitStep {
		first, wild = s.cutAcross(p, panel, o, lanes, steps)
	}
	for lane := lanes.lo; lane < lanes.hi; lane += 16 {
		high, low := p.tile(panel+(lane-lanes.lo)/splitPanel, (lane-lanes.lo)/16&1)
		from, k := steps.lo, steps.len()
		if lane < first { // all but the rest of the steps is done
			done := k / splitStep
			high, low = ahead(high, done*splitHigh), ahead(low, done*splitLow)
			from, k = from+done*splitStep, k-done*splitStep
		}
		wild = side(high, low, o, lane, min(16, lanes.hi-lane), from, k) || wild
	}
	return wild
}

// cutAcross cuts whole tiles for the right side of lanes that lie side by side, step by step, and so reads each row of memory in one
// go. It returns the first lane that it left out.
func (s *splitter) cutAcross(p pieces, panel int, o operand[float32], lanes, steps span) (left int, wild bool) {
	left = lanes.lo + lanes.len()/16*16
	for i := range steps.len() / splitStep {
		for lane := lanes.lo; lane < left; lane += 16 {
			high, low := p.tile(panel+(lane-lanes.lo)/splitPanel, (lane-lanes.lo)/16&1)
			src := &o.x[(steps.lo+i*splitStep)*o.ld+lane]
			wild = s.blocks(ahead(high, i*splitHigh), ahead(low, i*splitLow), src, 4*o.ld, 4*16*o.ld, 4*splitStep*o.ld, 1) || wild
		}
	}
	return left, wild
}

var splitters = sync.Pool{New: func() any { return &splitter{} }}

func borrowSplitter() *splitter {
	s := splitters.Get().(*splitter)
	s.simd = cpu
	return s
}

// split multiplies in pieces, or in the leading ones alone.
func split(g *product[float32]) {
	eachDepth(g.k, func(steps span) {
		for i := 0; i < g.m; i += splitRows {
			splitPart(g, span{i, min(i+splitRows, g.m)}, steps)
		}
	})
}

// eachDepth calls f for each stretch of steps that are one running sum.
func eachDepth(k int, f func(steps span)) {
	for p := 0; p < k; {
		depth := roundUp(divide(k-p, divide(k-p, splitDepth)), splitStep)
		steps := span{p, min(p+depth, k)}
		f(steps)
		p = steps.hi
	}
}

// splitPart adds the products of some rows and steps: A is cut once; whoever takes some columns cuts those of B, which stay in its
// second-level cache while A passes by.
func splitPart(g *product[float32], rows, steps span) {
	a := newPieces(rows.len(), steps.len(), !g.rounded)
	defer a.back()
	left := divide(rows.len(), splitPanel)
	tasksA := divide(left, splitChunk)
	panels := divide(g.n, splitPanel)
	most := splitGroup
	if g.rounded {
		most = roundGroup
	}
	group := splitPanel * divide(panels, roundUp(divide(panels, most), Threads()))
	var wild atomic.Bool
	var cutting latch
	cutting.add(tasksA)
	task := func(t int) {
		s := borrowSplitter()
		defer splitters.Put(s)
		if t < tasksA {
			panel := t * splitChunk
			lanes := span{rows.lo + panel*splitPanel, min(rows.lo+(panel+splitChunk)*splitPanel, rows.hi)}
			if s.cut(a, panel, false, g.a, lanes, steps) {
				wild.Store(true)
			}
			cutting.done()
			return
		}
		cols := span{(t - tasksA) * group, min((t-tasksA+1)*group, g.n)}
		var b pieces
		bad := false
		if g.packed != nil {
			b = g.packed.stretch(steps)
			b.x = b.x[cols.lo/splitPanel*b.bytes():]
		} else {
			b = newPieces(cols.len(), steps.len(), !g.rounded)
			defer b.back()
			bad = s.cut(b, 0, true, g.b, cols, steps)
		}
		cutting.wait()
		if bad || wild.Load() {
			g.unsplit(rows, cols, steps)
			return
		}
		s.multiply(g, a, b, rows, cols, steps)
	}
	tasks := tasksA + divide(g.n, group)
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
	chunk := splitChunk
	if !a.low {
		chunk = roundChunk
	}
	accumulate := g.accumulate || steps.lo > 0
	for i := 0; i < rows.len(); i += chunk * splitPanel {
		height := min(chunk*splitPanel, rows.len()-i)
		for j := 0; j < cols.len(); j += splitPanel {
			c, width := g.c[(rows.lo+i)*g.ldc+cols.lo+j:], min(splitPanel, cols.len()-j)
			panel := b.x[j/splitPanel*b.bytes():]
			if !a.low {
				s.leading(a, i/splitPanel, &panel[0], c, g.ldc, height, width, accumulate)
				continue
			}
			soon := (i/splitPanel+chunk)*a.bytes() + j/splitPanel*chunk*a.steps*splitAhead
			s.tiles.panels(&a.x[i/splitPanel*a.bytes()], &panel[0], a.steps, &c[0], g.ldc, height, width, accumulate,
				&s.buffer[0], &a.x[min(soon, len(a.x)-1)])
		}
		if steps.hi == g.k {
			g.finish(rows.lo+i, rows.lo+i+height, cols.lo, cols.hi)
		}
	}
}

// leading multiplies panels of leading pieces alone, from the first on, by a panel of B. Where not all of 32 rows or columns
// are there, it does so in a place of its own.
func (s *splitter) leading(a pieces, first int, b *byte, c []float32, ldc, rows, cols int, accumulate bool) {
	if whole := rows / splitPanel; whole > 0 && cols == splitPanel {
		s.tiles.leadingPanels(&a.x[first*a.bytes()], b, a.steps, &c[0], ldc, whole*splitPanel, accumulate, b)
		first, rows = first+whole, rows-whole*splitPanel
		c = c[min(len(c), whole*splitPanel*ldc):]
	}
	for ; rows > 0; first, rows = first+1, rows-splitPanel {
		height := min(rows, splitPanel)
		for i := range height {
			copy(s.buffer[i*splitPanel:i*splitPanel+cols], c[i*ldc:])
		}
		s.tiles.leadingPanels(&a.x[first*a.bytes()], b, a.steps, &s.buffer[0], splitPanel, height, accumulate, b)
		for i := range height {
			copy(c[i*ldc:i*ldc+cols], s.buffer[i*splitPanel:])
		}
		c = c[min(len(c), splitPanel*ldc):]
	}
}

// unsplit computes some of the product in float32, for numbers that cannot be cut.
func (g *product[T]) unsplit(rows, cols, steps span) {
	part := *g
	part.m, part.n, part.k, part.e = rows.len(), cols.len(), steps.len(), nil
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
