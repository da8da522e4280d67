package kernel

// Add sets dst[i] = a[i] + b[i]. dst may be a or b.
func Add[T Float](dst, a, b []T) {
	checkLen("Add: b", len(b), len(a))
	checkLen("Add: dst", len(dst), len(a))
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

// Axpy adds alpha·x[i] to y[i].
func Axpy[T Float](alpha T, x, y []T) {
	checkLen("Axpy: y", len(y), len(x))
	for i, v := range x {
		y[i] += alpha * v
	}
}

// Scale multiplies each x[i] by alpha.
func Scale[T Float](alpha T, x []T) {
	for i := range x {
		x[i] *= alpha
	}
}

// SumColumns adds to each dst[j] the sum over i of x[i*cols+j], in ascending i: the gradient of a bias.
func SumColumns[T Float](dst, x []T, rows, cols int) {
	checkLen("SumColumns: dst", len(dst), cols)
	checkLen("SumColumns: x", len(x), rows*cols)
	for i := range rows {
		Add(dst, dst[:cols], x[i*cols:])
	}
}

// Dot is the sum of x[i]·y[i], accumulated in float64.
func Dot[T Float](x, y []T) float64 {
	checkLen("Dot: y", len(y), len(x))
	var sum float64
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// SumSquares is the sum of x[i]², accumulated in float64.
func SumSquares[T Float](x []T) float64 { return Dot(x, x) }
