package kernel

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// HeldFormat is how a [Held] matrix stores its elements.
type HeldFormat int

// Formats of a held matrix.
const (
	HeldFloat32  HeldFormat = iota
	HeldBFloat16            // rounded to nearest, ties to even
	HeldInt24               // whole multiples of a power of two for each column and 64 steps, below 2²³ of them, rounded to nearest; see heldint24.go
	HeldBFloat12            // bfloat16 as far as it is within 2¹⁴ of the largest of its column and 64 steps, smaller numbers rounded; see heldbfloat12.go
	HeldInt8                // of each column, 127 steps either way to its largest element, rounded to nearest; see heldint8.go
	heldFormats
)

// Held is a matrix op(B) in the order in which products with a few rows read it: panels of 32 columns, row by row. It is not
// changed once it is made, and may be shared.
type Held struct {
	k, n   int
	format HeldFormat
	data   []byte               // panels of [k][32] elements; of HeldBFloat16 [k][16][2], column j beside 16+j; of HeldInt8 [k/4][32][4]; see heldgroups.go for the others
	memory *block               // that data is in: it goes when the matrix does
	scale  []float32            // of each column, for HeldInt8
	next   atomic.Pointer[Held] // see Precede
}

const heldCols = 32

// heldKernel multiplies a few rows with a panel, but not of HeldInt8; see heldFloat321AVX512.
type heldKernel func(k int, a *float32, lda int, b *byte, c *float32, ldc, cols, ahead int)

// Hold copies op(B), k×n, which is b transposed if transB is set. A matrix that has an infinity or a NaN is held as [HeldFloat32] in place of
// [HeldInt24], and as [HeldBFloat16] in place of [HeldBFloat12], as is one that has a number of 2⁷⁹ or more. It panics if the slice is too short.
func Hold(format HeldFormat, transB bool, k, n int, b []float32, ldb int) *Held {
	checkMatrix("B", b, ldb, k, n, transB)
	h := newHeld(format, k, n)
	o := operand[float32]{b, ldb, !transB}
	var wild atomic.Bool
	Parallel(divide(n, heldCols), 1+serialWork/(32*heldCols*max(1, k)), func(lo, hi int) {
		if !h.fillPanels(o, lo, hi) {
			wild.Store(true)
		}
	})
	if wild.Load() {
		return Hold(h.grouped().otherwise, transB, k, n, b, ldb)
	}
	return h
}

// fill copies all of op(B).
func (h *Held) fill(o operand[float32]) { h.fillPanels(o, 0, divide(h.n, heldCols)) }

// fillPanels copies some panels of op(B). It reports whether all elements can be held.
func (h *Held) fillPanels(o operand[float32], lo, hi int) bool {
	steps, groups := h.k, h.grouped() // to be converted at once
	if groups != nil {
		steps = min(roundUp(h.k, groups.unit), groupSteps)
	}
	part := borrow[float32](steps * heldCols)
	defer part.giveBack()
	for i := lo; i < hi; i++ {
		panel, lanes := h.panel(i), span{i * heldCols, min((i+1)*heldCols, h.n)}
		for first := 0; first < h.k; first += steps {
			x, k := part.x, min(steps, h.k-first)
			if h.format == HeldFloat32 {
				x = h.floats(nil, panel)
			}
			if lanes.len() < heldCols || k < steps {
				clear(x)
			}
			o.pack(x, heldCols, lanes, first, k, span{0, k})
			if groups == nil {
				h.put(i, x)
			} else if h.cutGroup(groups.group(panel, first), x[:roundUp(k, groups.unit)*heldCols]) {
				return false
			}
		}
	}
	return true
}

func newHeld(format HeldFormat, k, n int) *Held {
	h := &Held{k: k, n: n, format: format}
	panels := divide(n, heldCols)
	h.data, h.memory = longLived.take(h.size())
	if format == HeldInt8 {
		h.scale = make([]float32, panels*heldCols)
	}
	return h
}

// Int8 returns the matrix as [HeldInt8], made of the elements as they are held; itself if it is that.
func (h *Held) Int8() *Held {
	if h.format == HeldInt8 {
		return h
	}
	defer runtime.KeepAlive(h)
	to := newHeld(HeldInt8, h.k, h.n)
	Parallel(divide(h.n, heldCols), 1+serialWork/(32*heldCols*max(1, h.k)), func(lo, hi int) {
		panel := borrow[float32](h.k * heldCols)
		defer panel.giveBack()
		for i := lo; i < hi && h.k > 0; i++ {
			to.put(i, h.floats(panel.x, h.panel(i)))
		}
	})
	return to
}

// panel are the bytes of a panel.
func (h *Held) panel(i int) []byte {
	size := h.panelBytes()
	return h.data[i*size : (i+1)*size]
}

func (h *Held) panelBytes() int {
	switch h.format {
	case HeldInt8:
		return roundUp(h.k, int8Steps) * heldCols
	case HeldInt24, HeldBFloat12:
		return h.grouped().bytes(h.k)
	case HeldBFloat16:
		return 2 * h.k * heldCols
	}
	return 4 * h.k * heldCols
}

// bfloat16At is the place of a step of a column in a panel: two are the halves of what takes the place of a float32.
func bfloat16At(step, column int) int {
	return step*heldCols + column%(heldCols/2)*2 + column/(heldCols/2)
}

// size is that of data.
func (h *Held) size() int { return divide(h.n, heldCols) * h.panelBytes() }

// put stores a panel that has to be converted to bfloat16 or int8.
func (h *Held) put(i int, x []float32) {
	switch p := unsafe.Pointer(unsafe.SliceData(h.panel(i))); h.format {
	case HeldBFloat16:
		if cpu != nil && len(x) > 0 {
			cpu.roundPairs((*byte)(p), single(x), len(x)/heldCols)
			return
		}
		to := unsafe.Slice((*uint16)(p), len(x))
		for j, v := range x {
			to[bfloat16At(j/heldCols, j%heldCols)] = uint16(math.Float32bits(roundBFloat16(v)) >> 16)
		}
	case HeldInt8:
		quantizeColumns(h.panel(i), x, h.scale[i*heldCols:(i+1)*heldCols])
	}
}

// floats are the elements of a panel, but not of int8: in x if they have to be converted.
func (h *Held) floats(x []float32, panel []byte) []float32 {
	n := h.k * heldCols
	switch p := unsafe.Pointer(unsafe.SliceData(panel)); h.format {
	case HeldBFloat16:
		const half = heldCols / 2
		pairs := unsafe.Slice((*[half]uint32)(p), h.k)
		for i := range pairs {
			row := (*[heldCols]float32)(x[i*heldCols:])
			for j, pair := range &pairs[i] {
				row[j], row[half+j] = math.Float32frombits(pair<<16), math.Float32frombits(pair&^0xffff)
			}
		}
	case HeldInt24, HeldBFloat12:
		h.floatsOfGroups(x[:n], panel)
	default:
		return unsafe.Slice((*float32)(p), n)
	}
	return x[:n]
}

// Column sets dst, of k elements, to a column of op(B).
func (h *Held) Column(dst []float32, j int) {
	checkLen("Column: dst", len(dst), h.k)
	if j < 0 || j >= h.n {
		panic(fmt.Sprintf("kernel: column %d of a held matrix with %d", j, h.n))
	}
	defer runtime.KeepAlive(h)
	var scale float32
	if h.format == HeldInt8 {
		scale = h.scale[j]
	}
	panel, j := h.panel(j/heldCols), j%heldCols
	for p := range dst[:h.k] {
		switch h.format {
		case HeldBFloat16:
			dst[p] = math.Float32frombits(uint32(*(*uint16)(unsafe.Pointer(&panel[2*bfloat16At(p, j)]))) << 16)
		case HeldInt24, HeldBFloat12:
			dst[p] = h.grouped().element(panel, p, j)
		case HeldInt8:
			dst[p] = float32(int(panel[int8At(p, j)])-int8Zero) * scale
		default:
			dst[p] = *(*float32)(unsafe.Pointer(&panel[4*(p*heldCols+j)]))
		}
	}
}

// Bytes is the memory that the matrix takes.
func (h *Held) Bytes() int { return len(h.data) + 4*len(h.scale) }

// Multiply computes C = A·op(B) and applies e if it is not nil, as [GemmFew] with the elements that are held. Those of [HeldFloat32]
// and [HeldBFloat16] have the same bits. For [HeldInt24] and [HeldBFloat12] the running sums are of 64 steps each, and then added; rows of A may
// have numbers up to 2¹²¹ and below 2⁶⁴. For [HeldInt8] a row of A is rounded to 32512 steps either way to its largest element, and the sums
// are exact; if the row has a NaN or an infinity, all that comes of it is NaN. What a row gets does not depend on the rows beside it.
func (h *Held) Multiply(m int, a []float32, lda int, c []float32, ldc int, e *Epilogue[float32]) {
	g := newProduct(false, false, m, h.n, 0, a, lda, nil, h.n, c, ldc, false, e)
	checkMatrix("A", a, lda, m, h.k, false)
	defer runtime.KeepAlive(h)
	if m == 0 || h.n == 0 {
		return
	}
	var left int8Left
	if h.format == HeldInt8 {
		left = quantizeRows(m, h.k, a, lda)
		defer left.giveBack()
	}
	if f := h.grouped(); f != nil && cpu != nil {
		rows, ld := f.rows(m, h.k, a, lda)
		defer rows.giveBack()
		a, lda = rows.x, ld
	}
	panels := divide(h.n, heldCols)
	multiply := func(p, ahead int) {
		if h.format == HeldInt8 {
			h.multiplyInt8(p, m, left, c, ldc, ahead)
		} else {
			h.multiplyPanel(p, m, a, lda, c, ldc, ahead)
		}
		g.finish(0, m, p*heldCols, min((p+1)*heldCols, h.n))
	}
	alone := len(h.data) < heldSerial
	next := h.following(m)
	if next != nil && !alone && Threads() > 1 {
		team.upcoming.Store(&upcoming{next, cpu.fetch})
	}
	inRunsOf(panels, alone, func(worker int, own span) (func(p, next int), func()) {
		r := reader{h: h, own: own, fixed: cpu.aheadOf(m), early: 1}
		if next != nil && !alone {
			r.early, r.after = max(1, heldEarly/h.panelBytes()), next.share(worker)
		}
		return func(p, next int) { multiply(p, r.ahead(p, next)) }, func() {}
	})
}

// heldSerial are bytes not worth a second goroutine.
const heldSerial = 1 << 16

// multiplyAll is Multiply on one goroutine, for a small matrix of float32 or bfloat16 that lies in memory before others that are needed next.
func (h *Held) multiplyAll(m int, a []float32, lda int, c []float32, ldc int) {
	const soon = 24 << 10
	ahead := cpu.aheadOf(m)
	if ahead == 0 {
		ahead = soon
	}
	for p := range divide(h.n, heldCols) {
		h.multiplyPanel(p, m, a, lda, c, ldc, ahead)
	}
}

// few is how many of so many rows to multiply at once if there are kernels for at most so many: they are divided evenly.
func few(rows, most int) int { return divide(rows, divide(rows, most)) }

// multiplyPanel multiplies all rows with a panel, which the first ones bring into the cache.
func (h *Held) multiplyPanel(p, m int, a []float32, lda int, c []float32, ldc, ahead int) {
	panel, cols := h.panel(p), min(heldCols, h.n-p*heldCols)
	c = c[p*heldCols:]
	k, steps := h.k, max(1, h.k)
	if f := h.grouped(); f != nil {
		k, steps = roundUp(h.k, f.unit), groupSteps
	}
	if cpu == nil || k == 0 {
		x := borrow[float32](h.k * heldCols)
		defer x.giveBack()
		heldGeneric(m, h.k, steps, a, lda, h.floats(x.x, panel), c, ldc, cols)
		return
	}
	kernels := cpu.held[h.format]
	for i := 0; i < m; {
		rows := few(m-i, len(kernels))
		kernels[rows-1](k, single(a[i*lda:]), lda, unsafe.SliceData(panel), single(c[i*ldc:]), ldc, cols, ahead)
		i += rows
	}
}

// heldGeneric adds up sums of so many steps.
func heldGeneric(m, k, steps int, a []float32, lda int, b, c []float32, ldc, cols int) {
	for i := range m {
		var total [heldCols]float32
		for first := 0; first < k; first += steps {
			var sum [heldCols]float32
			for p := first; p < min(first+steps, k); p++ {
				x := a[i*lda+p]
				for j, y := range (*[heldCols]float32)(b[p*heldCols:]) {
					sum[j] += x * y
				}
			}
			for j, s := range sum {
				total[j] += s
			}
		}
		copy(c[i*ldc:i*ldc+cols], total[:])
	}
}
