package kernel

import "math"

// A panel of bfloat16 in 12 bits is in groups; see heldgroups.go. An element has bfloat16's sign and seven bits of fraction, but four bits of
// exponent, which count up to that of the largest number of its column and group. So of what rounds to bfloat16, to nearest, ties to even,
// each number is held to the bit that is at most 2¹⁴ times smaller than the power of two of the largest. A smaller one becomes the smallest
// there is or, up to half of that, zero: it is off by at most 2⁻¹⁵ of that power of two. If that is below 2⁻¹¹¹, 2⁻¹¹¹ counts.
//
// An exponent of zero is that of zero, and the largest number's is 15, both as float32 has them: numbers are 2⁻¹¹² times as large as beside
// the scale. There are no denormal ones, with which some processors take a hundred times as long. A is multiplied by 2⁶⁴, which the scale
// makes up for. So of A there is room for what is below 2⁶⁴, and no product of what is 2⁻⁶⁴ or more loses a bit; a matrix with 2⁷⁹ or more,
// whose scale would be infinite, is not held in this way.
//
// A lane has eight numbers in four steps, columns 16 apart of each: two to a word, as in a panel of bfloat16, but for the four bits where the
// rest of the exponent would be. These spare bits of three words have the bits of the fourth.
const (
	bfloat12One   = 1 << 64
	bfloat12Bits  = 0x87ff0000 // of float32: a number's
	bfloat12Spare = 0x78007800 // of a word: those without a number
	bfloat12Least = 16         // the exponent that counts for the largest number if that is smaller, as float32 has it
	bfloat12Most  = 127 + 79   // and the one from which on there is no scale
)

// Where the bits of the fourth word are if the first is shifted right by 4, the second by 8, and the third turned right by 12.
const (
	bfloat12First  = bfloat12Spare >> 4
	bfloat12Second = bfloat12Spare >> 8
	bfloat12Third  = bfloat12Spare>>12 | bfloat12Spare<<20&(1<<31)
)

// bfloat12Word has the numbers of a step.
func bfloat12Word(w [3]*uint32, step int) uint32 {
	if step < 3 {
		return *w[step]
	}
	return *w[0]>>4&bfloat12First | *w[1]>>8&bfloat12Second | (*w[2]>>12|*w[2]<<20)&bfloat12Third
}

// bfloat12Number is an element without its scale.
func bfloat12Number(steps []byte, step, column int) float32 {
	word := bfloat12Word(unitWords(steps, step/4, column), step%4)
	if column < heldCols/2 {
		word <<= 16
	}
	return math.Float32frombits(word & bfloat12Bits)
}

// cutBFloat12 makes a group. It reports whether there is a number that is too large, an infinity or a NaN.
func cutBFloat12(group []byte, x []float32) (wild bool) {
	var numbers [groupSteps * heldCols]uint32
	for j := range heldCols {
		top := largestBitsOfColumn(x, j)
		if top >= bfloat12Most<<23 {
			return true
		}
		exponent := max(roundBits(top)>>23, bfloat12Least)
		*groupScale(group, j) = math.Float32frombits((exponent + 127 - 15 - 64) << 23)
		for i := j; i < len(x); i += heldCols {
			bits := math.Float32bits(x[i])
			n := int32(roundBits(bits)&0x7fff0000) - int32((exponent-15)<<23)
			if n > 0 {
				n = max(n, 1<<23)
			}
			numbers[i] = bits&(1<<31) | uint32(max(n, 0))
		}
	}
	for unit := range len(x) / (4 * heldCols) {
		for j := range heldCols / 2 {
			var words [4]uint32
			for q := range words {
				at := (4*unit+q)*heldCols + j
				words[q] = numbers[at+heldCols/2] | numbers[at]>>16
			}
			w := unitWords(group[groupScales:], unit, j)
			*w[0] = words[0] | words[3]<<4&bfloat12Spare
			*w[1] = words[1] | words[3]<<8&bfloat12Spare
			*w[2] = words[2] | (words[3]<<12|words[3]>>20)&bfloat12Spare
		}
	}
	return false
}
