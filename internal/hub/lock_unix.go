//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package hub

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock reports false if another process holds the lock. On a file system without locks it reports true: checksums
// still guard the cache, two processes may only download twice.
func tryLock(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return err != unix.EWOULDBLOCK && err != unix.EINTR
}
