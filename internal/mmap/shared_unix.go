//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Shared returns the bytes of a file as memory that must not be written to, and what gives it back. Several processes
// that map a file share its pages. The file may be closed. When it is cut short, touching what is gone is a fault;
// see runtime/debug.SetPanicOnFault. On systems without such memory the error is errors.ErrUnsupported.
func Shared(f *os.File, size int64) (b []byte, unmap func() error, err error) {
	b, err = mapped(f, size, unix.PROT_READ, unix.MAP_SHARED)
	return b, func() error { return unix.Munmap(b) }, err
}
