package system

import (
	"os"
	"syscall"
)

// PeakMemory is the most memory that this process has had, in bytes; 0 where
// that is not known.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Maxrss << 10
}

// PeakMemoryOf is the same of a process that has ended.
func PeakMemoryOf(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10
}
