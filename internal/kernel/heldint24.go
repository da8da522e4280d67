package kernel

import (
	"math"
	"unsafe"
)

// A panel of integers of 24 bits has groups of 64 steps. In a group each column has a scale, the power of two of its largest number, and its
// elements are multiples of 2⁻²² of that, rounded to nearest. So an element is off by at most 2⁻²³ of the scale, as the largest numbers of
// float32 would be by half of that, and is a float32 again; below 2⁻¹⁰⁵ the scale is 2⁻¹⁰⁵. What a product loses by it, it gets back, as
// its sums are of 64 products each, and then of these sums, in place of one running sum: see heldint24_test.go.
//
// Sums are of the integers, times the scale when a group ends. So that they stay within float32, A is multiplied by 2⁻³⁰ before: of numbers
// up to 2¹²¹ there is room for the sum of a group, and those below 2⁻⁹⁶ are rounded to multiples of 2⁻¹¹⁹.
//
// The four integers of a lane in two steps are in three vectors of 16 lanes: the first and the second are the upper 24 bits, the third the
// lower ones, and the bytes that are left over are the fourth, its upper one in the third vector and its lower one in the second.
const (
	int24Steps = 64
	int24Pair  = 3 * 64                              // bytes of two steps: 16 lanes three times
	int24Group = 4*heldCols + int24Steps/2*int24Pair // bytes: the scales and the steps
	int24Least = 22                                  // the exponent of the smallest scale, as float32 has it: what brings a number to an integer is finite
	int24Most  = 1<<23 - 1                           // without a sign; a number that rounds to one more is this
	int24One   = 1.0 / (1 << 30)                     // of the scale: one of the integer times 256
)

// int24Bytes are those of a panel of so many steps.
func int24Bytes(k int) int { return divide(k, int24Steps)*4*heldCols + divide(k, 2)*int24Pair }

// int24At is the place of a step of a column in the steps of a group, and which of four integers it is.
func int24At(step, column int) (at, which int) {
	return step/2*int24Pair + column%16*4, step%2*2 + column/16
}

// int24Words are the three that have four integers of a lane.
func int24Words(steps []byte, at int) (w [3]*uint32) {
	for q := range w {
		w[q] = (*uint32)(unsafe.Pointer(&steps[at+64*q]))
	}
	return w
}

// int24Of is an element of a group of a panel.
func int24Of(group []byte, step, column int) float32 {
	at, which := int24At(step, column)
	w := int24Words(group[4*heldCols:], at)
	var bits uint32
	switch which {
	case 2:
		bits = *w[2] << 8
	case 3:
		bits = *w[2]&^0xffffff | *w[0]&0xff<<16 | *w[1]&0xff<<8
	default:
		bits = *w[which] &^ 0xff
	}
	return float32(int32(bits)) * int24One * *(*float32)(unsafe.Pointer(&group[4*column]))
}

// cutInt24 makes a group of a panel of up to 64 steps of x, an even number. It reports whether there is an infinity or a NaN.
func cutInt24(group []byte, x []float32) (wild bool) {
	if cpu != nil {
		return cpu.cutInt24(&group[0], &x[0], len(x)/(2*heldCols))
	}
	for j := range heldCols {
		top := uint32(0)
		for i := j; i < len(x); i += heldCols {
			top = max(top, math.Float32bits(x[i])&^(1<<31))
		}
		exponent := max(top>>23, int24Least)
		wild = wild || exponent == 255
		*(*float32)(unsafe.Pointer(&group[4*j])) = math.Float32frombits(exponent << 23)
		factor := math.Float32frombits((2*127 + 22 - exponent) << 23)
		for i := j; i < len(x) && !wild; i += heldCols {
			n := uint32(max(-int24Most, min(int32(math.RoundToEven(float64(x[i]*factor))), int24Most)))
			at, which := int24At(i/heldCols, j)
			w := int24Words(group[4*heldCols:], at)
			switch which {
			case 2:
				*w[2] = *w[2]&^0xffffff | n&0xffffff
			case 3:
				*w[0] = *w[0]&^0xff | n>>8&0xff
				*w[1] = *w[1]&^0xff | n&0xff
				*w[2] = *w[2]&0xffffff | n<<8&^0xffffff
			default:
				*w[which] = *w[which]&0xff | n<<8
			}
		}
	}
	return wild
}

// floatsOfInt24 sets x to the elements of a panel.
func floatsOfInt24(x []float32, panel []byte) {
	for len(x) > 0 {
		rows := min(int24Steps, len(x)/heldCols)
		group, pairs := x[:rows*heldCols], 0
		if cpu != nil && rows > 1 {
			pairs = rows / 2
			cpu.floatsOfInt24(&group[0], &panel[0], pairs)
		}
		for i := 2 * pairs * heldCols; i < len(group); i++ {
			group[i] = int24Of(panel, i/heldCols, i%heldCols)
		}
		x, panel = x[len(group):], panel[min(len(panel), int24Group):]
	}
}
