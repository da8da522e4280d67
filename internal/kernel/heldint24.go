package kernel

import "math"

// A panel of integers of 24 bits is in groups; see heldgroups.go. The scale of a column is the power of two of its largest number, and its
// elements are multiples of 2⁻²² of that, rounded to nearest. So an element is off by at most 2⁻²³ of the scale, as the largest numbers of
// float32 would be by half of that, and is a float32 again; below 2⁻¹⁰⁵ the scale is 2⁻¹⁰⁵. What a product loses by it, it gets back, as
// its sums are of 64 products each, and then of these sums, in place of one running sum: see heldint24_test.go.
//
// Numbers are the integers times 256, and A is multiplied by 2⁻³⁰: of numbers up to 2¹²¹ there is room for the sum of a group, and those
// below 2⁻⁹⁶ are rounded to multiples of 2⁻¹¹⁹.
//
// The four integers of a lane in two steps are in three words: the first and the second are the upper 24 bits, the third the lower ones, and
// the bytes that are left over are the fourth, its upper one in the third word and its lower one in the second.
const (
	int24Least = 22              // the exponent of the smallest scale, as float32 has it: what brings a number to an integer is finite
	int24Most  = 1<<23 - 1       // without a sign; a number that rounds to one more is this
	int24One   = 1.0 / (1 << 30) // of the scale: one of the integer times 256
)

// int24At is the unit of a step of a column in the steps of a group, and which of four integers it is.
func int24At(step, column int) (unit, which int) {
	return step / 2, step%2*2 + column/16
}

// int24Number is 256 times an integer.
func int24Number(steps []byte, step, column int) float32 {
	unit, which := int24At(step, column)
	w := unitWords(steps, unit, column)
	var bits uint32
	switch which {
	case 2:
		bits = *w[2] << 8
	case 3:
		bits = *w[2]&^0xffffff | *w[0]&0xff<<16 | *w[1]&0xff<<8
	default:
		bits = *w[which] &^ 0xff
	}
	return float32(int32(bits))
}

// cutInt24 makes a group. It reports whether there is an infinity or a NaN.
func cutInt24(group []byte, x []float32) (wild bool) {
	for j := range heldCols {
		exponent := max(largestBitsOfColumn(x, j)>>23, int24Least)
		wild = wild || exponent == 255
		*groupScale(group, j) = math.Float32frombits(exponent << 23)
		factor := math.Float32frombits((2*127 + 22 - exponent) << 23)
		for i := j; i < len(x) && !wild; i += heldCols {
			n := uint32(max(-int24Most, min(int32(math.RoundToEven(float64(x[i]*factor))), int24Most)))
			unit, which := int24At(i/heldCols, j)
			w := unitWords(group[groupScales:], unit, j)
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

// largestBitsOfColumn is the largest of a column of x [_, 32] without signs, seen as whole numbers.
func largestBitsOfColumn(x []float32, j int) (top uint32) {
	for i := j; i < len(x); i += heldCols {
		top = max(top, math.Float32bits(x[i])&^(1<<31))
	}
	return top
}
