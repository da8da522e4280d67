package kernel

import "math"

// LogSumExp sets lse[r] to the logarithm of the sum of exp of row r of x [rows, cols]: NaN if the row has a NaN or +∞, or
// nothing but -∞.
func LogSumExp[T Float](lse []float64, x []T, rows, cols int) {
	checkLen("LogSumExp: x", len(x), rows*cols)
	checkLen("LogSumExp: lse", len(lse), rows)
	Parallel(rows, 1+functionGrain/max(1, cols), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := x[r*cols : (r+1)*cols]
			top := maximum(row)
			lse[r] = math.Log(expSum(nil, row, top)) + float64(top)
		}
	})
}

// Largest is the first index of the largest of x, -1 if there is nothing above -∞. NaNs are passed over.
func Largest(x []float32) int {
	const block = 1024
	at, best := 0, float32(math.Inf(-1))
	for i := 0; i < len(x); i += block {
		if top := maximum(x[i:min(i+block, len(x))]); top > best {
			at, best = i, top
		}
	}
	for i, v := range x[at:] {
		if v == best && !math.IsInf(float64(v), -1) {
			return at + i
		}
	}
	return -1
}

// Maximum is the largest of x, -∞ if there is nothing. NaNs may go unseen.
func Maximum(x []float32) float32 { return maximum(x) }

// Subtract sets dst[i] = x[i] - b, computed in float64. dst may be x.
func Subtract(dst, x []float32, b float64) {
	checkLen("Subtract: dst", len(dst), len(x))
	if cpu != nil && len(x) > 0 {
		cpu.subtract(single(dst), single(x), len(x), b)
		return
	}
	for i, v := range x {
		dst[i] = float32(float64(v) - b)
	}
}
