package kernel

// ScaleColumns multiplies column j of x [rows, len(factors)] by factors[j]. y may be x.
func ScaleColumns[T Float](y, x, factors []T, rows int) {
	cols := len(factors)
	checkLen("ScaleColumns: y", len(y), rows*cols)
	checkLen("ScaleColumns: x", len(x), rows*cols)
	Parallel(rows, 1+sumGrain/max(cols, 1), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x, y := x[r*cols:(r+1)*cols], y[r*cols:(r+1)*cols]
			for j, f := range factors {
				y[j] = f * x[j]
			}
		}
	})
}

// SumColumnProducts adds to each dst[j] the sum over i of a[i*cols+j]·b[i*cols+j], in ascending i: the gradient of a
// column's factor.
func SumColumnProducts[T Float](dst, a, b []T, rows, cols int) {
	checkLen("SumColumnProducts: dst", len(dst), cols)
	checkLen("SumColumnProducts: a", len(a), rows*cols)
	checkLen("SumColumnProducts: b", len(b), rows*cols)
	Parallel(cols, columnGrain(rows), func(lo, hi int) {
		for i := range rows {
			a, b := a[i*cols:(i+1)*cols], b[i*cols:(i+1)*cols]
			for j := lo; j < hi; j++ {
				dst[j] += T(a[j] * b[j]) // rounded, so that no machine fuses the two
			}
		}
	})
}
