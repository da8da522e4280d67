package main

import "golang.org/x/sys/cpu"

// fmaAVX512 does 12 independent fused multiply-adds of 16 float32 each, n times.
//
//go:noescape
func fmaAVX512(n int)

// fmaAVX2 does 12 independent fused multiply-adds of 8 float32 each, n times.
//
//go:noescape
func fmaAVX2(n int)

// dotBFloat16 adds 15 times 16 products of two pairs of bfloat16, n times.
//
//go:noescape
func dotBFloat16(n int)

// dotInt16AVX512 adds 12 times 16 products of two pairs of int16, n times.
//
//go:noescape
func dotInt16AVX512(n int)

// dotInt16AVX2 adds 12 times 8 products of two pairs of int16, n times.
//
//go:noescape
func dotInt16AVX2(n int)

// dotInt8 adds 12 times 16 products of four pairs of int8, n times.
//
//go:noescape
func dotInt8(n int)

// tilesBFloat16 adds 6 products of tiles of 16×32 and 32×16 bfloat16, n times.
//
//go:noescape
func tilesBFloat16(n int, config *[64]byte)

// tilesInt8 adds 6 products of tiles of 16×64 and 64×16 int8, n times.
//
//go:noescape
func tilesInt8(n int, config *[64]byte)

// readAVX512 reads n bytes, a multiple of 512 above 0.
//
//go:noescape
func readAVX512(p *byte, n int)

// readAVX2 does what readAVX512 does.
//
//go:noescape
func readAVX2(p *byte, n int)

// A register holds 64 bytes, a tile 16 rows of 64.
const (
	fused   = 16 * 2 // operations of a fused multiply-add of a register of float32
	tileMul = 6 * 16 * 16 * 2
)

// loops gives those that this machine has, of the instruction set of
// internal/kernel that is in use, which has asked the system for the tiles.
func loops(set string) []loop {
	var all []loop
	switch set {
	case "avx2":
		return []loop{{float32Peak, 12 * fused / 2, fmaAVX2}, {int16Peak, 12 * fused, dotInt16AVX2}}
	case "avx512", "amx":
		all = append(all, loop{float32Peak, 12 * fused, fmaAVX512})
		if cpu.X86.HasAVX512BF16 {
			all = append(all, loop{bfloat16Peak, 15 * 2 * fused, dotBFloat16})
		}
		if cpu.X86.HasAVX512VNNI {
			all = append(all, loop{int16Peak, 12 * 2 * fused, dotInt16AVX512}, loop{"int8, AVX-512", 12 * 4 * fused, dotInt8})
		}
	}
	if set == "amx" {
		tiles := tileConfig()
		all = append(all, loop{tilesPeak, 32 * tileMul, func(n int) { tilesBFloat16(n, tiles) }})
		if cpu.X86.HasAMXInt8 {
			all = append(all, loop{int8Peak, 64 * tileMul, func(n int) { tilesInt8(n, tiles) }})
		}
	}
	return all
}

// tileConfig makes all eight tiles as large as they can be.
func tileConfig() *[64]byte {
	c := [64]byte{0: 1}
	for i := range 8 {
		c[16+2*i], c[48+i] = 64, 16
	}
	return &c
}

// reader gives what reads memory, nil if there is nothing.
func reader(set string) func(p *byte, n int) {
	switch set {
	case "avx2":
		return readAVX2
	case "avx512", "amx":
		return readAVX512
	}
	return nil
}
