package kernel

import (
	"fmt"
	"math"
	"math/bits"
	"unsafe"
)

// HeldFormat is how a [Held] matrix stores its elements.
type HeldFormat int

// Formats of a held matrix.
const (
	HeldFloat32  HeldFormat = iota
	HeldBFloat16            // rounded to nearest, ties to even
	HeldInt8                // of each column, 127 steps either way to its largest element, rounded to nearest
	heldFormats
)

func (f HeldFormat) bytes() int { return [heldFormats]int{4, 2, 1}[f] }

// Held is a matrix op(B) in the order in which products with a few rows read it: panels of 32 columns, row by row. It is not
// changed once it is made, and may be shared.
type Held struct {
	k, n   int
	format HeldFormat
	data   []byte    // panels of [k][32] elements
	scale  []float32 // of each column, for HeldInt8
}

const heldCols = 32

// heldKernel multiplies a few rows with a panel; see heldFloat321AVX512.
type heldKernel func(k int, a *float32, b *byte, c *float32, ldc, cols int, scale *float32)

// Hold copies op(B), k×n, which is b transposed if transB is set. It panics if the slice is too short.
func Hold(format HeldFormat, transB bool, k, n int, b []float32, ldb int) *Held {
	checkMatrix("B", b, ldb, k, n, transB)
	h := &Held{k: k, n: n, format: format}
	panels := divide(n, heldCols)
	size := panels * k * heldCols * format.bytes()
	memory := make([]byte, size+63)
	h.data = memory[-uintptr(unsafe.Pointer(unsafe.SliceData(memory)))&63:][:size]
	if format == HeldInt8 {
		h.scale = make([]float32, panels*heldCols)
	}
	o := operand[float32]{b, ldb, !transB}
	Parallel(panels, 1+serialWork/(32*heldCols*max(1, k)), func(lo, hi int) {
		panel := borrow[float32](k * heldCols)
		defer panel.giveBack()
		for i := lo; i < hi && k > 0; i++ {
			x := panel.x
			if format == HeldFloat32 {
				x = h.floats(nil, h.panel(i))
			} else {
				clear(x)
			}
			o.pack(x, heldCols, span{i * heldCols, min((i+1)*heldCols, n)}, 0, k, span{0, k})
			h.put(i, x)
		}
	})
	return h
}

// panel are the bytes of a panel.
func (h *Held) panel(i int) []byte {
	size := h.k * heldCols * h.format.bytes()
	return h.data[i*size : (i+1)*size]
}

// put stores a panel that has to be converted.
func (h *Held) put(i int, x []float32) {
	switch p := unsafe.Pointer(unsafe.SliceData(h.panel(i))); h.format {
	case HeldBFloat16:
		to := unsafe.Slice((*uint16)(p), len(x))
		for j, v := range x {
			to[j] = uint16(math.Float32bits(roundBFloat16(v)) >> 16)
		}
	case HeldInt8:
		h.quantize(unsafe.Slice((*int8)(p), len(x)), x, h.scale[i*heldCols:(i+1)*heldCols])
	}
}

// quantize divides each column by 1/127 of its largest element.
func (h *Held) quantize(to []int8, x, scale []float32) {
	for j, v := range x {
		scale[j%heldCols] = max(scale[j%heldCols], float32(math.Abs(float64(v))))
	}
	var inverse [heldCols]float32
	for j := range scale {
		if scale[j] > 0 {
			inverse[j] = 127 / scale[j]
		}
		scale[j] /= 127
	}
	for j, v := range x {
		to[j] = int8(math.RoundToEven(float64(v * inverse[j%heldCols])))
	}
}

// floats are the elements of a panel as they take part in products, before the columns' scales: in x if they have to be converted.
func (h *Held) floats(x []float32, panel []byte) []float32 {
	n := h.k * heldCols
	switch p := unsafe.Pointer(unsafe.SliceData(panel)); h.format {
	case HeldBFloat16:
		for j, v := range unsafe.Slice((*uint16)(p), n) {
			x[j] = math.Float32frombits(uint32(v) << 16)
		}
	case HeldInt8:
		for j, v := range unsafe.Slice((*int8)(p), n) {
			x[j] = float32(v)
		}
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
	first := h.panel(j / heldCols)
	at := j % heldCols * h.format.bytes()
	for p := range dst[:h.k] {
		element := unsafe.Pointer(&first[p*heldCols*h.format.bytes()+at])
		switch h.format {
		case HeldBFloat16:
			dst[p] = math.Float32frombits(uint32(*(*uint16)(element)) << 16)
		case HeldInt8:
			dst[p] = float32(*(*int8)(element)) * h.scale[j]
		default:
			dst[p] = *(*float32)(element)
		}
	}
}

// Bytes is the memory that the matrix takes.
func (h *Held) Bytes() int { return len(h.data) + 4*len(h.scale) }

// Multiply computes C = A·op(B) and applies e if it is not nil, as [GemmFew] with the elements that are held: for
// [HeldInt8] the sums are multiplied by the column's scale at the end. Those of float32 and bfloat16 have the same bits. What a
// row gets does not depend on the rows beside it.
func (h *Held) Multiply(m int, a []float32, lda int, c []float32, ldc int, e *Epilogue[float32]) {
	g := newProduct(false, false, m, h.n, 0, a, lda, nil, h.n, c, ldc, false, e)
	checkMatrix("A", a, lda, m, h.k, false)
	if m == 0 || h.n == 0 {
		return
	}
	groups := heldGroups(m)
	packed := borrow[float32](m * h.k)
	defer packed.giveBack()
	i, rest := 0, packed.x
	for _, rows := range groups {
		if h.k > 0 {
			packGeneric(rest, rows, a[i*lda:], lda, 1, rows, h.k)
		}
		i, rest = i+rows, rest[rows*h.k:]
	}
	Parallel(divide(h.n, heldCols), 1+serialWork/(m*heldCols*max(1, h.k)), func(lo, hi int) {
		var x scratch[float32]
		if cpu == nil {
			x = borrow[float32](h.k * heldCols)
			defer x.giveBack()
		}
		for p := lo; p < hi; p++ {
			h.multiplyPanel(p, groups, packed.x, x.x, c, ldc)
		}
		g.finish(0, m, lo*heldCols, min(hi*heldCols, h.n))
	})
}

// heldGroups divides rows into groups for which there are kernels.
func heldGroups(m int) (groups []int) {
	kernels := 1
	if cpu != nil {
		kernels = len(cpu.held[0])
	}
	for rows := 1 << (kernels - 1); m > 0; rows /= 2 {
		for ; m >= rows; m -= rows {
			groups = append(groups, rows)
		}
	}
	return groups
}

// multiplyPanel multiplies all groups of rows with a panel, which the first brings into the cache.
func (h *Held) multiplyPanel(p int, groups []int, a, scratch, c []float32, ldc int) {
	panel, cols := h.panel(p), min(heldCols, h.n-p*heldCols)
	var scale []float32
	if h.scale != nil {
		scale = h.scale[p*heldCols:]
	}
	var b []float32
	if cpu == nil {
		b = h.floats(scratch, panel)
	}
	for _, rows := range groups {
		if cpu != nil && h.k > 0 {
			f := cpu.held[h.format][bits.TrailingZeros(uint(rows))]
			f(h.k, single(a), unsafe.SliceData(panel), single(c[p*heldCols:]), ldc, cols, unsafe.SliceData(scale))
		} else {
			heldGeneric(rows, h.k, a, b, c[p*heldCols:], ldc, cols, scale)
		}
		a = a[rows*h.k:]
		c = c[min(len(c), rows*ldc):]
	}
}

func heldGeneric(rows, k int, a, b, c []float32, ldc, cols int, scale []float32) {
	for i := range rows {
		var sum [heldCols]float32
		for p := range k {
			x := a[p*rows+i]
			for j, y := range (*[heldCols]float32)(b[p*heldCols:]) {
				sum[j] += x * y
			}
		}
		for j := range cols {
			if scale != nil {
				sum[j] *= scale[j]
			}
			c[i*ldc+j] = sum[j]
		}
	}
}
