//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package mmap

import (
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Private returns the bytes of a file as memory that may be written to, which the file does not see. It is never given
// back, since nobody can tell who still looks at it; as long as nothing is written, the system takes the pages when it
// needs them. The file may be closed. On systems without such memory the error is errors.ErrUnsupported.
func Private(f *os.File, size int64) ([]byte, error) {
	b, err := mapped(f, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err == nil {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			fd = -1
		}
		private.Lock()
		defer private.Unlock()
		private.files = append(private.files, privateFile{b, fd})
	}
	return b, err
}

// private are the files in memory; few, since each is a file of weights.
var private struct {
	sync.Mutex
	files []privateFile
}

type privateFile struct {
	memory     []byte
	descriptor int // of its own; -1: none
}

func mapped(f *os.File, size int64, protection, flags int) ([]byte, error) {
	if size <= 0 || size > math.MaxInt {
		return nil, fmt.Errorf("map %s: %d bytes cannot be mapped", f.Name(), size)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), protection, flags)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return b, nil
}
