package kernel

import (
	"math"
	"math/bits"
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
type int8Kernel func(blocks int, a *uint32, b *byte, c *float32, ldc, cols int, scale *float32, rows *int32, ahead int)

// int8At is the place of a step of a column in a panel.
func int8At(step, column int) int {
	return (step/int8Steps*heldCols+column)*int8Steps + step%int8Steps
}

// quantizeColumns divides each of a panel's columns by 1/127 of its largest element, which becomes the scale.
func quantizeColumns(to []byte, x, scale []float32) {
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
	for i := range to {
		to[i] = int8Zero
	}
	for i, v := range x {
		j := i % heldCols
		to[int8At(i/heldCols, j)] = byte(int8Zero + int(math.RoundToEven(float64(v*inverse[j]))))
	}
}

// quantizeRows rounds the rows of A. Of four steps a row has the first digits in four bytes, and then the second.
func quantizeRows(groups []int, k int, a []float32, lda int) heldLeft {
	m := 0
	for _, rows := range groups {
		m += rows
	}
	blocks := divide(k, int8Steps)
	left := heldLeft{scratch: borrow[float32](2 * m * blocks), rows: make([]int8Row, m)}
	left.digits = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(left.x))), len(left.x))
	i, rest := 0, left.digits
	for _, rows := range groups {
		for r := range rows {
			if k > 0 {
				left.rows[i] = quantizeRow(rest[2*r:], 2*rows, a[i*lda:][:k])
			}
			i++
		}
		rest = rest[2*rows*blocks:]
	}
	return left
}

// quantizeRow stores the digits of a row's steps, the blocks of four so far apart. In a row below 1e-30 all count as zero.
func quantizeRow(to []uint32, stride int, x []float32) int8Row {
	top := uint32(0)
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	largest, inverse := math.Float32frombits(top), float32(0)
	row := int8Row{step: largest / int8Digits}
	switch {
	case top >= 0x7f800000: // infinity, or not a number
		row.step = float32(math.NaN())
		x = make([]float32, len(x))
	case largest >= 1e-30:
		inverse = int8Digits / largest
	}
	var first, second int32 // sums
	for p := 0; p < len(x); p += int8Steps {
		var high, low uint32
		for i, v := range x[p:min(p+int8Steps, len(x))] {
			q := int32(math.Float32bits(float32(v*inverse)+toInteger)) - toIntegerBits
			a := (q + 128) >> 8
			b := q - a<<8
			high |= uint32(byte(a)) << (8 * i)
			low |= uint32(byte(b)) << (8 * i)
			first, second = first+a, second+b
		}
		at := p / int8Steps * stride
		to[at], to[at+1] = high, low
	}
	row.first, row.second = -int8Zero*first, -int8Zero*second
	return row
}

// A float32 of this size has the whole numbers in its last bits.
const (
	toInteger     = 3 << 22
	toIntegerBits = 0x4b400000
)

// multiplyInt8 is multiplyPanel for int8.
func (h *Held) multiplyInt8(p int, groups []int, left heldLeft, c []float32, ldc int) {
	panel, cols, scale := h.panel(p), min(heldCols, h.n-p*heldCols), h.scale[p*heldCols:]
	blocks := divide(h.k, int8Steps)
	a, row := left.digits, left.rows
	for _, rows := range groups {
		if cpu != nil && h.k > 0 {
			f := cpu.heldInt8[bits.TrailingZeros(uint(rows))]
			f(blocks, &a[0], unsafe.SliceData(panel), single(c[p*heldCols:]), ldc, cols, &scale[0], &row[0].first, cpu.ahead[HeldInt8])
		} else {
			for i := range rows {
				int8Generic(blocks, a[min(len(a), 2*i):], 2*rows, panel, c[p*heldCols+i*ldc:][:cols], scale, row[i])
			}
		}
		a, row = a[2*rows*blocks:], row[rows:]
		c = c[min(len(c), rows*ldc):]
	}
}

// int8Generic multiplies one row, whose blocks are so far apart.
func int8Generic(blocks int, a []uint32, stride int, panel []byte, c, scale []float32, row int8Row) {
	var first, second [heldCols]int32
	for j := range first {
		first[j], second[j] = row.first, row.second
	}
	for p := range blocks {
		high, low := a[p*stride], a[p*stride+1]
		block := panel[p*heldCols*int8Steps:][:heldCols*int8Steps]
		for i := range int8Steps {
			x, y := int32(int8(high>>(8*i))), int32(int8(low>>(8*i)))
			for j := range first {
				w := int32(block[j*int8Steps+i])
				first[j] += x * w
				second[j] += y * w
			}
		}
	}
	for j := range c {
		sum := float32(256*float32(first[j])) + float32(second[j])
		c[j] = float32(sum*row.step) * scale[j]
	}
}
