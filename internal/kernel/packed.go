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

// transposedRows is how many rows of A, of panelDepth steps, stay in the second-level cache while the matrix passes by.
const transposedRows = 256

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
	if part < 0 || part%width != 0 {
		panic(fmt.Sprintf("kernel: parts of %d columns", part))
	}
	tasks := p.transposedTasks(height)
	sums := borrow[float32](len(tasks) * height * roundUp(min(m, transposedRows), width))
	defer sums.giveBack()
	var blocks []*transposed
	for i := 0; i < m; i += transposedRows {
		t := &transposed{Packed: p, rows: min(transposedRows, m-i), width: width, a: operand[float32]{a[i*lda:], lda, false}, c: c[i*ldc:], ldc: ldc, tasks: tasks, height: height, sums: sums.x}
		t.ld = roundUp(t.rows, width)
		if part > 0 {
			totals := borrow[float32](len(tasks) * height * t.ld)
			defer totals.giveBack()
			clear(totals.x)
			t.totals = totals.x
		}
		blocks = append(blocks, t)
	}
	if part == 0 {
		part = p.n
	}
	for lo := 0; lo < p.n; lo += part { // which all rows of A meet in the cache
		for _, t := range blocks {
			t.multiply(span{lo, min(lo+part, p.n)})
		}
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

// transposed is what multiplies some rows of A.
type transposed struct {
	*Packed
	rows, width int // of a panel of the matrix
	a           operand[float32]
	c           []float32
	ldc         int
	tasks       []span
	height      int       // the most rows of a task
	sums        []float32 // of a part; those of a task are rows of width ld
	totals      []float32 // of the sums of all parts so far, in the same order; nil: there is one part, as it is
	ld          int
	right       []float32 // panels of Aᵀ of some of its steps
}

// multiply adds the product over a part of the steps.
func (t *transposed) multiply(part span) {
	eachDepth(part.len(), panelDepth, t.width, func(steps span) {
		steps = span{part.lo + steps.lo, part.lo + steps.hi}
		right := borrow[float32](t.ld * steps.len())
		defer right.giveBack()
		t.right = right.x
		t.a.packTogether(t.right, t.width, span{0, t.rows}, steps)
		inRunsOf(len(t.tasks), t.rows*t.k*steps.len() < serialWork, func(int, span) (func(i, next int), func()) {
			return func(i, next int) {
				t.task(i, next, steps, steps.lo > part.lo)
				if steps.hi == part.hi {
					t.finish(i, part.hi == t.n)
				}
			}, func() {}
		})
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

// task multiplies with some rows of the matrix, and meanwhile fetches those of the next task.
func (t *transposed) task(i, next int, steps span, accumulate bool) {
	rows := t.tasks[i]
	x, apart := t.left(rows, steps.lo)
	a := &left[float32]{x, t.width, 1, t.width, apart - t.width}
	panels := divide(t.rows, t.width)
	var soon fetcher[float32]
	if next >= 0 {
		following, _ := t.left(t.tasks[next], steps.lo)
		soon = fetcher[float32]{following, apart, divide(steps.len(), t.width), t.width * t.tasks[next].len()}
	}
	each := divide(soon.rows, panels)
	for j := range panels {
		soon.fetch(each)
		right := t.right[j*t.width*steps.len():]
		tile(rows.len(), steps.len(), a, right, t.width, t.of(i, t.sums)[j*t.width:], t.ld, min(t.width, t.rows-j*t.width), accumulate, right)
	}
}

// of are the rows of a task.
func (t *transposed) of(task int, sums []float32) []float32 {
	return sums[task*t.height*t.ld:][:t.tasks[task].len()*t.ld]
}

// finish adds a task's sums of a part to its totals and, after the last part, brings them into C.
func (t *transposed) finish(task int, last bool) {
	rows, sums := t.tasks[task], t.of(task, t.sums)
	if t.totals != nil {
		totals := t.of(task, t.totals)
		add(totals, totals, sums)
		sums = totals
	}
	switch {
	case !last:
	case cpu.lanes < rows.len() || cpu.lanes < 16: // with fewer lanes packTranspose writes beyond them
		packGeneric(t.c[rows.lo:], t.ldc, sums, t.ld, 1, rows.len(), t.rows)
	default:
		cpu.packTranspose(single(t.c[rows.lo:]), t.ldc, single(sums), t.ld, rows.len(), t.rows)
	}
}
