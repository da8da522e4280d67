//go:build !linux

package mmap

// Release does nothing here: no way is known to tell pages that have been written to.
func Release([]float32) {}

// CopyRows sets dst to rows of x, dim wide.
func CopyRows(dst, x []float32, rows []int, dim int) {
	for i, row := range rows {
		copy(dst[i*dim:(i+1)*dim], x[row*dim:(row+1)*dim])
	}
}
