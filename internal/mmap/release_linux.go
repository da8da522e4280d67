package mmap

import (
	"encoding/binary"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release lets go of the memory that pages of a Private file take, when they will not be needed for a while: they come
// from the file again when they are touched. Pages that have been written to, and memory that is no file's, stay as
// they are, so that nothing is ever lost; x may be any slice. It must not be written to meanwhile.
func Release(x []float32) {
	page := os.Getpagesize()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	lead := int(-start & uintptr(page-1)) // bytes before the first whole page
	b := bytes(x)
	if len(b) < lead+page {
		return
	}
	b = b[lead : lead+(len(b)-lead)/page*page]
	if !isPrivate(b) {
		return
	}
	for _, run := range untouched(b, page) {
		_ = unix.Madvise(run, unix.MADV_DONTNEED) // if it fails, the memory stays
	}
}

// isPrivate tells whether b is not empty and lies in one of them.
func isPrivate(b []byte) bool {
	private.Lock()
	defer private.Unlock()
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return slices.ContainsFunc(private.files, func(file []byte) bool {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(file)))
		return first >= start && first+uintptr(len(b)) <= start+uintptr(len(file))
	})
}

// untouched lists the runs of pages of b that are still the file's, as the kernel tells (admin-guide/mm/pagemap).
func untouched(b []byte, page int) (runs [][]byte) {
	const (
		present   = 1 << 63
		fileOwned = 1 << 61
	)
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil
	}
	defer f.Close()
	entries := make([]byte, 8*len(b)/page)
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) / int64(page)
	if _, err := f.ReadAt(entries, 8*first); err != nil {
		return nil
	}
	start := -1
	for i := range len(b)/page + 1 {
		clean := i < len(b)/page && binary.NativeEndian.Uint64(entries[8*i:])&(present|fileOwned) == present|fileOwned
		switch {
		case clean && start < 0:
			start = i
		case !clean && start >= 0:
			runs = append(runs, b[start*page:i*page])
			start = -1
		}
	}
	return runs
}
