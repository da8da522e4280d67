//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package system

import "os"

// PeakMemory is not known here.
func PeakMemory() int64 { return 0 }

// PeakMemoryOf is not known here.
func PeakMemoryOf(*os.ProcessState) int64 { return 0 }
