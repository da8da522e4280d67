package main

import (
	"os"
	"syscall"
)

// peakRSS is the most memory that a process that has ended had, in bytes.
func peakRSS(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10
}
