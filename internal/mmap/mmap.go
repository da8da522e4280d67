// Package mmap lets a file's bytes be used as memory, on systems that can.
//
// Private is for what may be changed in memory while the file stays as it is, such as a model's weights: pages come
// from the file when they are first touched, and only what is written to takes memory of its own. The file must not
// be overwritten in place or cut short meanwhile; replacing it by a rename is fine. Shared is for what is only read.
package mmap

import "unsafe"

// Floats sees little-endian float32 bytes as the numbers they are, without a copy. It reports false where that cannot
// be done: on a big-endian machine, or when the first byte is not where a float32 may be.
func Floats(b []byte) ([]float32, bool) {
	if len(b)%4 != 0 || !littleEndian || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4), true
}

// bytes is the inverse of Floats.
func bytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

var littleEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()
