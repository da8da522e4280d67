package kernel

import (
	"math"
	"unsafe"
)

// A matrix of int8 is multiplied in whole numbers: a weight is one of 255 steps, and an element of A one of 65025. All sums are exact, and
// rounded to float32 once, so they have the same bits on every machine. To an element of A the steps are 256 times finer than to a
// weight, so what they cost is lost in what rounding the weights does.
//
// Where a product of bytes takes one instruction for four steps of a sum, an element of A is two digits, 256 times the first plus the second,
// each in -128 to 127. Since one of the two bytes has to be without a sign, weights are kept with 128 added, and sums begin with what that adds
// up to, taken off.
const (
	int8Steps  = 4     // of a sum, side by side in a panel
	int8Zero   = 128   // byte of the weight 0
	int8Digits = 32512 // steps to a row's largest element: the largest with two digits either way
)

// int8Row is how a row of A is held: where its sums begin, and one of its steps.
type int8Row struct {
	first float64
	step  float32
}

// int8Kernel multiplies a few rows with a panel of int8; see heldInt81AVX2.
type int8Kernel func(blocks int, a *int16, lda int, b *byte, c *float32, ldc, cols int, scale *float32, rows *float64, ahead int)

// int8Kernels are those for 1, 2, … rows, and what rounds a row as they read it.
type int8Kernels struct {
	multiply []int8Kernel
	quantize func(to *int16, x *float32, n int, inverse float32) int32
}

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

// int8Left are the rows of A, as the kernels read them; in plain Go, number by number.
type int8Left struct {
	scratch[float32]
	words []int16 // [rows, ld]
	ld    int
	rows  []int8Row
}

// quantizeRows rounds the rows of A.
func quantizeRows(m, k int, a []float32, lda int) int8Left {
	const whole = 16 // vectors are written
	left := int8Left{ld: roundUp(k, whole)}
	parts := []int{m * left.ld / 2, m * int(unsafe.Sizeof(int8Row{})) / 4}
	left.scratch = borrow[float32](total(parts...))
	memory := carve(left.x, parts...)
	left.words = unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(memory[0]))), m*left.ld)
	left.rows = unsafe.Slice((*int8Row)(unsafe.Pointer(unsafe.SliceData(memory[1]))), m)
	for i := range m {
		left.rows[i] = quantizeRow(left.words[i*left.ld:][:left.ld], a[min(len(a), i*lda):][:k])
	}
	return left
}

// quantizeRow stores a row, followed by zeros. In a row below 1e-30 all count as zero.
func quantizeRow(to []int16, x []float32) int8Row {
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
		clear(to)
		return row
	}
	clear(to[len(x)&^15:]) // from here on a vector is not whole
	row.first = -int8Zero * float64(quantize(to, x, inverse))
	return row
}

// quantize sets to to x·inverse, and returns the sum.
func quantize(to []int16, x []float32, inverse float32) (sum int32) {
	if cpu != nil && len(x) > 0 {
		return cpu.heldInt8.quantize(&to[0], single(x), len(x), inverse)
	}
	for i, v := range x {
		q := int32(math.Float32bits(float32(v*inverse)+toInteger)) - toIntegerBits
		to[i] = int16(q)
		sum += q
	}
	return sum
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
			int8Generic(left.words[i*left.ld:], panel, c[i*ldc:][:cols], scale, left.rows[i])
		}
		return
	}
	kernels := cpu.heldInt8.multiply
	for i := 0; i < m; {
		rows := few(m-i, len(kernels))
		kernels[rows-1](blocks, &left.words[i*left.ld], left.ld, unsafe.SliceData(panel), single(c[i*ldc:]), ldc, cols, &scale[0], &left.rows[i].first, ahead)
		i += rows
	}
}

// int8Generic multiplies one row.
func int8Generic(words []int16, panel []byte, c, scale []float32, row int8Row) {
	var sums [heldCols]int64
	for p := range len(panel) / heldCols {
		x := int64(words[p])
		for j := range sums {
			sums[j] += x * int64(panel[int8At(p, j)])
		}
	}
	for j := range c {
		c[j] = float32(float32(row.first+float64(sums[j]))*row.step) * scale[j]
	}
}
