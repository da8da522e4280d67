package kernel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Packed is a matrix op(B) of float32 in the panels that products with many rows read. [Gemm] and [GemmBFloat16] make them anew for each
// product; of a weight that does not change they are made once. It may be shared.
type Packed struct {
	k, n     int
	bfloat16 bool
	cpu      *simd
	b        operand[float32] // what it was made of, for rows that cannot be cut into digits
	data     []float32        // panels of each stretch of up to panelDepth steps, one after the other
	format   *panelFormat     // of panels, nil if there are none
	panels   []byte           // the same as data of up to panelDepth steps
	memory   *block           // of panels
	back     func()           // of data or panels that are borrowed
}

// CutsFloat32 reports whether products in float32 with many rows are made of operands that have to be cut into digits first.
func CutsFloat32() bool { return cpu.inDigits() }

// Pack brings op(B), k×n, into panels for [Gemm], or for [GemmBFloat16]. It returns nil where that is of no use: where there are no
// products in bfloat16, or a number cannot be cut into digits.
func Pack(bfloat16, transB bool, k, n int, b []float32, ldb int) *Packed {
	return pack(bfloat16, transB, k, n, b, ldb, false)
}

// packBriefly is Pack into memory that giveBack takes back.
func packBriefly(bfloat16, transB bool, k, n int, b []float32, ldb int) *Packed {
	return pack(bfloat16, transB, k, n, b, ldb, true)
}

func (p *Packed) giveBack() {
	if p.back != nil {
		p.back()
	}
	p.data, p.panels, p.back = nil, nil, nil
}

func pack(bfloat16, transB bool, k, n int, b []float32, ldb int, briefly bool) *Packed {
	checkMatrix("B", b, ldb, k, n, transB)
	o := operand[float32]{b, ldb, !transB}
	p := &Packed{k: k, n: n, bfloat16: bfloat16, cpu: cpu, b: o}
	switch {
	case k*n == 0 || cpu == nil:
		return nil
	case bfloat16 && cpu.tiles != nil:
		p.format = cpu.tiles.format
	case bfloat16:
		return nil
	case cpu.inDigits() && k >= digitLeast:
		p.format = digitPanels
	default:
		p.copy(o, briefly)
	}
	if p.format == nil {
		return p
	}
	if briefly {
		panels := p.format.newPanels(n, k)
		p.panels, p.back = panels.x, panels.back
	} else {
		p.panels, p.memory = longLived.take(p.before(k) + p.format.bytes) // what is next to be filled may be past the end
	}
	if p.cut(o) {
		p.giveBack()
		return nil
	}
	return p
}

func (p *Packed) copy(o operand[float32], briefly bool) {
	_, width := tileShape[float32]()
	wide := roundUp(p.n, width)
	if briefly {
		data := borrow[float32](wide * p.k)
		p.data, p.back = data.x, data.giveBack
	} else {
		var memory []byte
		memory, p.memory = longLived.take(4 * wide * p.k)
		p.data = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/4)
	}
	eachDepth(p.k, panelDepth, 4, func(steps span) { o.packTogether(p.data[wide*steps.lo:], width, span{0, p.n}, steps) })
}

// cut reports whether there was a number that cannot be cut.
func (p *Packed) cut(o operand[float32]) bool {
	defer runtime.KeepAlive(p)
	var wild atomic.Bool
	eachDepth(p.k, panelDepth, p.format.steps, func(steps span) {
		Parallel(divide(p.n, p.format.lanes), 4, func(lo, hi int) {
			m, giveBack := p.format.borrow()
			defer giveBack()
			if m.cut(p.stretch(steps).from(lo), true, o, span{lo * p.format.lanes, min(hi*p.format.lanes, p.n)}, steps) {
				wild.Store(true)
			}
		})
	})
	return wild.Load()
}

// before is the number of bytes of the panels of all steps before one at which a stretch begins, or the end.
func (p *Packed) before(step int) (bytes int) {
	eachDepth(p.k, panelDepth, p.format.steps, func(steps span) {
		if steps.lo < step {
			bytes += divide(p.n, p.format.lanes) * p.format.set(steps).size()
		}
	})
	return bytes
}

// stretch are the panels of a stretch of steps.
func (p *Packed) stretch(steps span) panelSet {
	s := p.format.set(steps)
	s.x = p.panels[p.before(steps.lo):p.before(steps.hi)]
	return s
}

// Multiply is [Gemm], or [GemmBFloat16], with the matrix for op(B): it sets C to the same bits.
func (p *Packed) Multiply(m int, a []float32, lda int, c []float32, ldc int, e *Epilogue[float32]) {
	defer runtime.KeepAlive(p)
	if p.cpu != cpu {
		panic(fmt.Sprintf("kernel: a matrix packed for %s, on %s", p.cpu.name, CPU()))
	}
	g := newProduct(false, false, m, p.n, 0, a, lda, nil, p.n, c, ldc, false, e)
	checkMatrix("A", a, lda, m, p.k, false)
	g.k, g.b, g.packed, g.coarse = p.k, p.b, p, p.bfloat16
	switch {
	case m == 0:
	case p.format != nil:
		p.format.multiply(&g)
	default:
		g.many()
	}
}

// BothWays reports whether [Packed.MultiplyTransposed] is there. It is not where [Gemm] may cut operands into digits for the other direction.
func (p *Packed) BothWays() bool { return p != nil && p.data != nil && !p.cpu.inDigits() }

// So many rows of A, of so many steps, stay in the second-level cache while the matrix passes by; they are turned before, so many elements at a
// time.
const (
	transposedRows   = 256
	transposedDepth  = 384
	transposedTurned = 1 << 20
)

// MultiplyTransposed sets C [m, k] to the product of A [m, n] and, transposed, the matrix op(B), k×n: to the bits of [Gemm] or, unless part is
// 0, to those of its products over so many columns of A at a time, added to zero one after the other. part must be a multiple of 64.
//
// The matrix is read where it is, as the left operand of Cᵀ = op(B)·Aᵀ: a panel has 32 steps of one of its rows side by side.
func (p *Packed) MultiplyTransposed(m, part int, a []float32, lda int, c []float32, ldc int) {
	defer runtime.KeepAlive(p)
	if !p.BothWays() || p.cpu != cpu {
		panic(fmt.Sprintf("kernel: a matrix packed for %s and for one direction, or on %s", p.cpu.name, CPU()))
	}
	checkMatrix("A", a, lda, m, p.n, false)
	checkMatrix("C", c, ldc, m, p.k, false)
	height, width := tileShape[float32]()
	apart := part > 0
	if part < 0 || part%width != 0 {
		panic(fmt.Sprintf("kernel: parts of %d columns", part))
	}
	if part == 0 {
		part = p.n
	}
	t := &transposed{Packed: p, width: width, height: height, tasks: p.transposedTasks(height), a: operand[float32]{a, lda, false}, c: c, ldc: ldc}
	stages, room, most := t.stages(m, part)
	sums := borrow[float32](room)
	defer sums.giveBack()
	t.sums = sums.x
	if apart {
		totals := borrow[float32](room)
		defer totals.giveBack()
		clear(totals.x)
		t.totals = totals.x
	}
	turned := borrow[float32](most)
	defer turned.giveBack()
	for len(stages) > 0 {
		n, used := 0, 0
		for n < len(stages) && used+t.size(stages[n]) <= most {
			stages[n].right = turned.x[used:]
			used += t.size(stages[n])
			n++
		}
		t.multiply(stages[:n])
		stages = stages[n:]
	}
}

// transposedTasks are rows of the matrix that are multiplied at a time, at most so many.
func (p *Packed) transposedTasks(most int) (tasks []span) {
	eachDepth(p.k, panelDepth, 4, func(rows span) {
		for i, n := 0, divide(rows.len(), most); i < n; i++ {
			tasks = append(tasks, span{rows.lo + i*rows.len()/n, rows.lo + (i+1)*rows.len()/n})
		}
	})
	return tasks
}

// transposed is a product of A and, transposed, a matrix.
type transposed struct {
	*Packed
	height, width int    // the most rows of a task, lanes of a panel
	tasks         []span // rows of the matrix that are multiplied at a time
	a             operand[float32]
	c             []float32
	ldc           int
	sums          []float32 // of a part: for each block of rows of A, task and panel of these rows, a tile
	totals        []float32 // of the sums of all parts so far, in the same order; nil: there is one part, as it is
}

// stage is the product of a block of rows of A and a stretch of steps.
type stage struct {
	rows, steps span
	panels      int       // of rows
	sums        int       // where those of the block begin
	first, last bool      // stretch of a part
	right       []float32 // panels of Aᵀ
}

// size is that of a stage's panels.
func (t *transposed) size(s stage) int { return s.panels * t.width * s.steps.len() }

// stages are all that there are, in order, the room for sums, and that for panels of Aᵀ at a time.
func (t *transposed) stages(m, part int) (all []stage, sums, turned int) {
	total := 0
	for lo := 0; lo < t.n; lo += part { // which all rows of A meet in the cache
		columns := min(part, t.n-lo)
		sums = 0
		for i := 0; i < m; i += transposedRows {
			s := stage{rows: span{i, min(i+transposedRows, m)}, sums: sums}
			s.panels = divide(s.rows.len(), t.width)
			eachDepth(columns, transposedDepth, t.width, func(steps span) {
				s.steps, s.first, s.last = span{lo + steps.lo, lo + steps.hi}, steps.lo == 0, steps.hi == columns
				all = append(all, s)
				total += t.size(s)
				turned = max(turned, t.size(s))
			})
			sums += len(t.tasks) * s.panels * t.height * t.width
		}
	}
	return all, sums, max(turned, min(total, transposedTurned))
}

// multiply adds the products of some stages.
func (t *transposed) multiply(stages []stage) {
	work := 0
	var panels []func()
	for _, s := range stages {
		work += s.rows.len() * s.steps.len() * t.k
		for i := range s.panels {
			panels = append(panels, func() {
				rows := span{s.rows.lo + i*t.width, min(s.rows.lo+(i+1)*t.width, s.rows.hi)}
				t.a.pack(s.right[i*t.width*s.steps.len():], t.width, rows, s.steps.lo, s.steps.len(), span{0, s.steps.len()})
			})
		}
	}
	alone := work < serialWork
	inRunsOf(len(panels), alone, func(int, span) (func(i, next int), func()) {
		return func(i, _ int) { panels[i]() }, func() {}
	})
	inPhases(len(stages), len(t.tasks), alone, func() (func(phase, i, nextPhase, next int), func()) {
		return func(phase, i, nextPhase, next int) {
			var soon fetcher[float32]
			if next >= 0 {
				soon = t.fetcher(t.tasks[next], stages[nextPhase].steps)
			}
			t.task(&stages[phase], i, soon)
		}, func() {}
	})
}

// left are rows of the matrix, from some step on, and how far apart its panels are.
func (t *transposed) left(rows span, step int) (x []float32, apart int) {
	var stretch span
	eachDepth(t.k, panelDepth, 4, func(s span) {
		if s.lo <= rows.lo {
			stretch = s
		}
	})
	apart = t.width * stretch.len()
	return t.data[roundUp(t.n, t.width)*stretch.lo+step/t.width*apart+(rows.lo-stretch.lo)*t.width:], apart
}

// fetcher is for rows of the matrix that are multiplied next.
func (t *transposed) fetcher(rows, steps span) fetcher[float32] {
	x, apart := t.left(rows, steps.lo)
	return fetcher[float32]{x, apart, divide(steps.len(), t.width), t.width * rows.len()}
}

// task multiplies with some rows of the matrix, and meanwhile fetches what is soon needed of it and the next sums.
func (t *transposed) task(s *stage, i int, soon fetcher[float32]) {
	rows, size := t.tasks[i], t.height*t.width
	x, apart := t.left(rows, s.steps.lo)
	a := &left[float32]{x, t.width, 1, t.width, apart - t.width}
	each := divide(soon.rows, s.panels)
	from := s.sums + i*s.panels*size
	for j := range s.panels {
		soon.fetch(each)
		sums := t.sums[from+j*size:]
		right, width := s.right[j*t.width*s.steps.len():], min(t.width, s.rows.len()-j*t.width)
		tile(rows.len(), s.steps.len(), a, right, t.width, sums, t.width, width, !s.first, sums[min(size, len(sums)-1):])
	}
	if !s.last {
		return
	}
	sums := t.sums[from:][:s.panels*size]
	if t.totals != nil {
		totals := t.totals[from:][:len(sums)]
		add(totals, totals, sums)
		sums = totals
	}
	if s.steps.hi == t.n {
		t.finish(s.rows, rows, sums)
	}
}

// finish brings the sums of some rows of A and of the matrix into C.
func (t *transposed) finish(rows, columns span, sums []float32) {
	for i := rows.lo; i < rows.hi; i += t.width {
		c, n := t.c[i*t.ldc+columns.lo:], min(t.width, rows.hi-i)
		if cpu.lanes < columns.len() || cpu.lanes < 16 { // with fewer lanes packTranspose writes beyond them
			packGeneric(c, t.ldc, sums, t.width, 1, columns.len(), n)
		} else {
			cpu.packTranspose(single(c), t.ldc, single(sums), t.width, columns.len(), n)
		}
		sums = sums[t.height*t.width:]
	}
}
