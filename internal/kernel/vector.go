package kernel

import "math"

// Elements for which a goroutine is worth its start: of plain sums, and of functions such as exp.
const (
	sumGrain      = 1 << 16
	functionGrain = 1 << 13
)

// Add sets dst[i] = a[i] + b[i]. dst may be a or b.
func Add[T Float](dst, a, b []T) {
	checkLen("Add: b", len(b), len(a))
	checkLen("Add: dst", len(dst), len(a))
	Parallel(len(a), sumGrain, func(lo, hi int) { add(dst[lo:hi], a[lo:hi], b[lo:hi]) })
}

// add is Add on one goroutine; so are the other lower-case twins.
func add[T Float](dst, a, b []T) {
	if s := vectorised[T](); s != nil && len(a) > 0 {
		s.add(single(dst), single(a), single(b), len(a))
		return
	}
	b, dst = b[:len(a)], dst[:len(a)]
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

// Axpy adds alpha·x[i] to y[i].
func Axpy[T Float](alpha T, x, y []T) {
	checkLen("Axpy: y", len(y), len(x))
	Parallel(len(x), sumGrain, func(lo, hi int) { axpy(alpha, x[lo:hi], y[lo:hi]) })
}

func axpy[T Float](alpha T, x, y []T) {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		s.axpy(float32(alpha), single(x), single(y), len(x))
		return
	}
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

// Scale multiplies each x[i] by alpha.
func Scale[T Float](alpha T, x []T) {
	Parallel(len(x), sumGrain, func(lo, hi int) { scale(alpha, x[lo:hi], x[lo:hi]) })
}

// scale sets dst[i] = alpha·x[i].
func scale[T Float](alpha T, dst, x []T) {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		s.scale(float32(alpha), single(dst), single(x), len(x))
		return
	}
	for i, v := range x {
		dst[i] = alpha * v
	}
}

// SumColumns adds to each dst[j] the sum over i of x[i*cols+j], in ascending i: the gradient of a bias.
func SumColumns[T Float](dst, x []T, rows, cols int) {
	checkLen("SumColumns: dst", len(dst), cols)
	checkLen("SumColumns: x", len(x), rows*cols)
	Parallel(cols, columnGrain(rows), func(lo, hi int) {
		for i := range rows {
			add(dst[lo:hi], dst[lo:hi], x[i*cols+lo:i*cols+hi])
		}
	})
}

// columnGrain is the least number of columns to give to a goroutine that goes through all rows.
func columnGrain(rows int) int { return max(64, sumGrain/max(1, rows)) }

// Dot is the sum of x[i]·y[i], accumulated in float64.
func Dot[T Float](x, y []T) float64 {
	checkLen("Dot: y", len(y), len(x))
	if len(x) <= sumGrain {
		return dot(x, y)
	}
	// Pieces of one length, whatever the number of goroutines.
	parts := make([]float64, divide(len(x), sumGrain))
	inOrder(len(parts), func(i int) {
		lo, hi := i*sumGrain, min((i+1)*sumGrain, len(x))
		parts[i] = dot(x[lo:hi], y[lo:hi])
	})
	var sum float64
	for _, p := range parts {
		sum += p
	}
	return sum
}

func dot[T Float](x, y []T) float64 {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		return s.dot(single(x), single(y), len(x))
	}
	var sum float64
	y = y[:len(x)]
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// SumSquares is the sum of x[i]², accumulated in float64.
func SumSquares[T Float](x []T) float64 { return Dot(x, x) }

// AllFinite reports whether x has neither a NaN nor an infinity.
func AllFinite(x []float32) bool { return largestBits(x) < math.Float32bits(float32(math.Inf(1))) }

// largestBits is the largest of x without their signs, as the bits of a float32.
func largestBits(x []float32) uint32 {
	if cpu != nil && len(x) > 0 {
		return cpu.largestBits(single(x), len(x))
	}
	var a, b, c, d uint32 // for the processor to compare them side by side
	const sign = 1 << 31
	for ; len(x) >= 4; x = x[4:] {
		a = max(a, math.Float32bits(x[0])&^sign)
		b = max(b, math.Float32bits(x[1])&^sign)
		c = max(c, math.Float32bits(x[2])&^sign)
		d = max(d, math.Float32bits(x[3])&^sign)
	}
	for _, v := range x {
		a = max(a, math.Float32bits(v)&^sign)
	}
	return max(a, b, c, d)
}
