package kernel

import sys "golang.org/x/sys/cpu"

// variants are the machine's instruction sets with products that are slower here and not chosen.
func variants() (all []*simd) {
	for _, s := range available() {
		if s.name == "avx512" && sys.X86.HasAVX512VNNI && !intel() {
			other := *s
			other.readAsStreams()
			all = append(all, &other)
		}
		if s.tiles == &int16Dots && sys.X86.HasAVX512BF16 {
			other := *s
			other.tiles = &bfloat16Dots
			other.held, other.ahead = avx512.held, avx512.ahead
			other.heldInt8 = int8InDigits
			all = append(all, &other)
		}
	}
	return all
}
