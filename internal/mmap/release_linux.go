package mmap

import (
	"encoding/binary"
	"os"
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
	if _, ok := privateOf(b); !ok {
		return
	}
	for _, run := range untouched(b, page) {
		_ = unix.Madvise(run, unix.MADV_DONTNEED) // if it fails, the memory stays
	}
}

// privateOf returns the one that b, unless it is empty, lies in.
func privateOf(b []byte) (f privateFile, ok bool) {
	private.Lock()
	defer private.Unlock()
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	for _, f := range private.files {
		start := uintptr(unsafe.Pointer(unsafe.SliceData(f.memory)))
		if len(b) > 0 && first >= start && first+uintptr(len(b)) <= start+uintptr(len(f.memory)) {
			return f, true
		}
	}
	return f, false
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

// CopyRows sets dst to rows of x, dim wide. What is not in memory of a Private file it reads from the file: to touch it would bring
// into memory all that the system keeps together, up to some megabytes a row.
func CopyRows(dst, x []float32, rows []int, dim int) {
	r := newReader(x)
	defer r.close()
	for i, row := range rows {
		to, from := dst[i*dim:(i+1)*dim], x[row*dim:(row+1)*dim]
		if !r.read(bytes(to), bytes(from)) {
			copy(to, from)
		}
	}
}

// reader reads what is not in memory.
type reader struct {
	file    privateFile
	pagemap *os.File // nil: all is in memory
}

func newReader(x []float32) (r reader) {
	var ok bool
	if r.file, ok = privateOf(bytes(x)); ok && r.file.descriptor >= 0 {
		r.pagemap, _ = os.Open("/proc/self/pagemap") // nil if it fails
	}
	return r
}

func (r reader) close() {
	if r.pagemap != nil {
		r.pagemap.Close()
	}
}

// read sets dst to the file's bytes at src, unless some of them are in memory: then it returns false.
func (r reader) read(dst, src []byte) bool {
	if r.pagemap == nil || len(src) == 0 {
		return false
	}
	const present, swapped = 1 << 63, 1 << 62
	page := os.Getpagesize()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(src)))
	first, last := int64(start)/int64(page), (int64(start)+int64(len(src))-1)/int64(page)
	entries := make([]byte, 8*(last-first+1))
	if _, err := r.pagemap.ReadAt(entries, 8*first); err != nil {
		return false
	}
	for ; len(entries) > 0; entries = entries[8:] {
		if binary.NativeEndian.Uint64(entries)&(present|swapped) != 0 {
			return false
		}
	}
	at := start - uintptr(unsafe.Pointer(unsafe.SliceData(r.file.memory)))
	n, err := unix.Pread(r.file.descriptor, dst, int64(at))
	return err == nil && n == len(dst)
}
