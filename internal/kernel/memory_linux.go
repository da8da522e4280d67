package kernel

import "syscall"

// mapMemory asks the system for memory, and tells how to give it back; without that it is Go's.
func mapMemory(n int) (memory []byte, giveBack func([]byte)) {
	memory, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n), nil
	}
	return memory, func(memory []byte) { _ = syscall.Munmap(memory) }
}

// useHugePages asks for large pages for memory that has not been touched yet. Without them it is as usable.
func useHugePages(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
