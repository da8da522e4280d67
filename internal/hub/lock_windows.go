package hub

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock reports false if another process holds the lock.
func tryLock(f *os.File) bool {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	return err != windows.ERROR_LOCK_VIOLATION
}
