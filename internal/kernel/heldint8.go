package kernel

import (
	"math"
	"unsafe"
)

// A matrix of int8 is multiplied in whole numbers: a weight is one of 255 steps, and an element of A one of 65025, in two digits, 256 times
// the first plus the second, each in -128 to 127. A product of bytes with a byte's sign takes one instruction for four steps of a sum, and
// all sums are exact, so they have the same bits on every machine. To an element of A the steps are 256 times finer than to a
// weight, so what they cost is lost in what rounding the weights does. Since one of the two bytes has to be without a sign, weights
// are kept with 128 added, and sums begin with what that adds up to, taken off.
const (
	int8Steps  = 4     // of a sum, side by side in a panel
	int8Zero   = 128   // byte of the weight 0
	int8Digits = 32512 // steps to a row's largest element: the largest with two digits either way
)

// int8Row is how a row of A is held: where sums of its two digits begin, and one of its steps.
type int8Row struct {
	first, second int32
	step          float32
}

// int8Kernel multiplies a few rows with a panel of int8; see heldInt81AVX512.
type int8Kernel func(blocks int, a *byte, lda int, b *byte, c *float32, ldc, cols int, scale *float32, rows *int32, ahead int)

// int8At is the place of a step of a column in a panel.
func int8At(step, column int) int {
	return (step/int8Steps*heldCols+column)*int8Steps + step%int8Steps
}

// quantizeColumns divides each of a panel's columns by 1/127 of its largest element, which becomes the scale. In a column below
// 1e-30 all count as zero.
func quantizeColumns(to []byte, x, scale []float32) {
	largestOfColumns(scale, x)
	var inverse [heldCols]float32
	for j, top := range scale[:heldCols] {
		if top >= 1e-30 {
			inverse[j] = 127 / top
		}
		scale[j] = top / 127
	}
	done := 0
	if blocks := len(x) / (int8Steps * heldCols); cpu != nil && blocks > 0 {
		cpu.quantizeColumns(&to[0], &x[0], blocks, &inverse[0])
		done = blocks * int8Steps * heldCols
	}
	to, x = to[done:], x[done:]
	for i := range to {
		to[i] = int8Zero
	}
	for i, v := range x {
		j := i % heldCols
		to[int8At(i/heldCols, j)] = byte(int8Zero + int(math.RoundToEven(float64(v*inverse[j]))))
	}
}

// largestOfColumns sets largest to the largest elements of a panel's columns, without their signs.
func largestOfColumns(largest, x []float32) {
	if cpu != nil {
		cpu.largestOfColumns(&largest[0], &x[0], len(x)/heldCols)
		return
	}
	for j, v := range x {
		largest[j%heldCols] = max(largest[j%heldCols], float32(math.Abs(float64(v))))
	}
}

// int8Left are the rows of A: of each the first digits of all steps and then the second.
type int8Left struct {
	scratch[float32]
	digits []byte // [2·rows, ld]
	ld     int
	rows   []int8Row
}

// quantizeRows rounds the rows of A.
func quantizeRows(m, k int, a []float32, lda int) int8Left {
	const line = 64 // whole vectors of digits are written
	left := int8Left{ld: roundUp(k, line)}
	parts := []int{2 * m * left.ld / 4, m * int(unsafe.Sizeof(int8Row{})) / 4}
	left.scratch = borrow[float32](total(parts...))
	memory := carve(left.x, parts...)
	left.digits = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(memory[0]))), 2*m*left.ld)
	left.rows = unsafe.Slice((*int8Row)(unsafe.Pointer(unsafe.SliceData(memory[1]))), m)
	for i := range m {
		digits := left.digits[2*i*left.ld:][:2*left.ld]
		left.rows[i] = quantizeRow(digits[:left.ld], digits[left.ld:], a[min(len(a), i*lda):][:k])
	}
	return left
}

// quantizeRow stores the digits of a row, followed by zeros. In a row below 1e-30 all count as zero.
func quantizeRow(first, second []byte, x []float32) int8Row {
	top := largestBits(x)
	largest := math.Float32frombits(top)
	row := int8Row{step: largest / int8Digits}
	inverse := float32(0)
	switch {
	case top >= 0x7f800000: // infinity, or not a number
		row.step = float32(math.NaN())
	case largest >= 1e-30:
		inverse = int8Digits / largest
	}
	if inverse == 0 {
		clear(first)
		clear(second)
		return row
	}
	rest := len(x) &^ 15 // from here on a vector is not whole
	clear(first[rest:])
	clear(second[rest:])
	var sums [2]int32
	quantize(first, second, x, inverse, &sums)
	row.first, row.second = -int8Zero*sums[0], -int8Zero*sums[1]
	return row
}

// quantize sets first and second to the digits of x·inverse, and sums to their sums.
func quantize(first, second []byte, x []float32, inverse float32, sums *[2]int32) {
	if cpu != nil && len(x) > 0 {
		cpu.quantize(&first[0], &second[0], single(x), len(x), inverse, sums)
		return
	}
	for i, v := range x {
		q := int32(math.Float32bits(float32(v*inverse)+toInteger)) - toIntegerBits
		a := (q + 128) >> 8
		b := q - a<<8
		first[i], second[i] = byte(a), byte(b)
		sums[0], sums[1] = sums[0]+a, sums[1]+b
	}
}

// A float32 of this size has the whole numbers in its last bits.
const (
	toInteger     = 3 << 22
	toIntegerBits = 0x4b400000
)

// multiplyInt8 is multiplyPanel for int8.
func (h *Held) multiplyInt8(p, m int, left int8Left, c []float32, ldc, ahead int) {
	panel, cols, scale := h.panel(p), min(heldCols, h.n-p*heldCols), h.scale[p*heldCols:]
	blocks := divide(h.k, int8Steps)
	c = c[p*heldCols:]
	if cpu == nil || h.k == 0 {
		for i := range m {
			int8Generic(left.digits[2*i*left.ld:], left.ld, panel, c[i*ldc:][:cols], scale, left.rows[i])
		}
		return
	}
	kernels := cpu.heldInt8
	for i := 0; i < m; {
		rows := few(m-i, len(kernels))
		kernels[rows-1](blocks, &left.digits[2*i*left.ld], left.ld, unsafe.SliceData(panel), single(c[i*ldc:]), ldc, cols, &scale[0], &left.rows[i].first, ahead)
		i += rows
	}
}

// int8Generic multiplies one row, whose digits are ld bytes apart.
func int8Generic(digits []byte, ld int, panel []byte, c, scale []float32, row int8Row) {
	var first, second [heldCols]int32
	for j := range first {
		first[j], second[j] = row.first, row.second
	}
	for p := range len(panel) / heldCols {
		x, y := int32(int8(digits[p])), int32(int8(digits[ld+p]))
		for j := range first {
			w := int32(panel[int8At(p, j)])
			first[j] += x * w
			second[j] += y * w
		}
	}
	for j := range c {
		sum := float32(256*float32(first[j])) + float32(second[j])
		c[j] = float32(sum*row.step) * scale[j]
	}
}
