package kernel

import "fmt"

// Epilogue is what Gemm does to each element of its result before it leaves the cache.
type Epilogue[T Float] struct {
	Bias       []T // [n], added to every row; nil: none
	Activation Activation
	Pre        []T // [m*n], receives the value before the activation; nil: not stored
}

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when accumulate is set, and then applies e if it is not nil. op(A)
// is m×k and op(B) is k×n; op transposes when its flag is set, so with transA the slice a holds a k×m matrix. With k = 0
// the product is zero.
//
// Each element of C is one running sum over k in ascending order, starting from zero, or from C when accumulating.
func Gemm[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int, accumulate bool, e *Epilogue[T]) {
	checkMatrix("A", a, lda, m, k, transA)
	checkMatrix("B", b, ldb, k, n, transB)
	checkMatrix("C", c, ldc, m, n, false)
	if e != nil {
		if e.Bias != nil {
			checkLen("Gemm: bias", len(e.Bias), n)
		}
		if e.Pre != nil {
			checkLen("Gemm: Pre", len(e.Pre), m*n)
		}
	}
	if m == 0 || n == 0 {
		return
	}
	Parallel(m, 1+(1<<15)/max(1, n*k), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			gemmRow(transA, transB, i, n, k, a, lda, b, ldb, c[i*ldc:i*ldc+n], accumulate)
			if e != nil {
				applyEpilogue(e, i, n, c[i*ldc:i*ldc+n])
			}
		}
	})
}

func gemmRow[T Float](transA, transB bool, i, n, k int, a []T, lda int, b []T, ldb int, c []T, accumulate bool) {
	if !accumulate {
		clear(c)
	}
	at := func(p int) T {
		if transA {
			return a[p*lda+i]
		}
		return a[i*lda+p]
	}
	if transB {
		for j := range c {
			sum := c[j]
			for p, w := range b[j*ldb : j*ldb+k] {
				sum += at(p) * w
			}
			c[j] = sum
		}
		return
	}
	for p := range k {
		x := at(p)
		for j, w := range b[p*ldb : p*ldb+n] {
			c[j] += x * w
		}
	}
}

func applyEpilogue[T Float](e *Epilogue[T], row, n int, c []T) {
	if e.Bias != nil {
		Add(c, c, e.Bias[:n])
	}
	if e.Pre != nil {
		copy(e.Pre[row*n:(row+1)*n], c)
	}
	Activate(e.Activation, c, c)
}

func checkMatrix[T Float](name string, x []T, ld, rows, cols int, transposed bool) {
	if transposed {
		rows, cols = cols, rows
	}
	if rows < 0 || cols < 0 || ld < cols {
		panic(fmt.Sprintf("kernel: %s is %d×%d with leading dimension %d", name, rows, cols, ld))
	}
	if rows > 0 && cols > 0 && len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("kernel: %s is %d×%d with leading dimension %d, but its slice has %d elements", name, rows, cols, ld, len(x)))
	}
}

func checkLen(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: %s has %d elements, want %d", name, got, want))
	}
}
