package kernel

import "syscall"

// allowTiles asks the kernel for the use of the tile registers, whose state makes the frames of signals larger.
func allowTiles() bool {
	const request, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM
	_, _, err := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, request, tileData, 0)
	return err == 0
}
