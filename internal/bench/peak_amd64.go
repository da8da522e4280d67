package main

// fmaAVX512 does 12 independent fused multiply-adds of 16 float32 each, n times.
//
//go:noescape
func fmaAVX512(n int)

// fmaAVX2 does 12 independent fused multiply-adds of 8 float32 each, n times.
//
//go:noescape
func fmaAVX2(n int)

// fusedMultiplyAdds gives the loop for an instruction set of internal/kernel,
// and how many operations a round of it does; nil if there is none.
func fusedMultiplyAdds(cpu string) (loop func(n int), flops float64) {
	switch cpu {
	case "avx512", "amx":
		return fmaAVX512, 12 * 16 * 2
	case "avx2":
		return fmaAVX2, 12 * 8 * 2
	}
	return nil, 0
}
