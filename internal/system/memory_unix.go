//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package system

import (
	"os"
	"runtime"
	"syscall"
)

// PeakMemory is the most memory that this process has had, in bytes; 0 where
// that is not known.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return peak(&usage)
}

// PeakMemoryOf is the same of a process that has ended.
func PeakMemoryOf(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return peak(usage)
}

// peak is in bytes; the system counts kilobytes, but for Darwin.
func peak(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10
}
