package kernel

import "syscall"

// useHugePages asks for large pages for memory that has not been touched yet. Without them it is as usable.
func useHugePages(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
