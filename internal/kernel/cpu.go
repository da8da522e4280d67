package kernel

import (
	"fmt"
	"os"
	"strings"
)

// simd is the assembly of one instruction set. Matrices are given by their first element and leading dimension, vectors by their
// first element and length n ≥ 1. Each function has a twin in plain Go.
type simd struct {
	name       string
	rows, cols int // of a tile of Gemm
	lanes      int // float32 in a vector

	// tile[rows-1] is one tile of a product, halfTile[rows-1] one of at most lanes columns; see tile.
	tile, halfTile []func(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32)
	// packCopy and packTranspose pack up to lanes rows or columns; see pack.
	packCopy, packTranspose func(dst *float32, width int, src *float32, ld, lanes, k int)
	// fetch brings rows of memory that will be packed into the cache; see fetcher.
	fetch func(src *float32, ld, rows, lines int)

	add    func(dst, a, b *float32, n int)
	axpy   func(alpha float32, x, y *float32, n int)
	affine func(alpha, beta float32, x *float32, n int)
	scale  func(alpha float32, dst, x *float32, n int)
	dot    func(x, y *float32, n int) float64

	identity, relu, gelu, geluTanh, tanh       func(dst, x, bias, pre *float32, n int)
	sigmoidLinear                              func(dst, x, bias, pre *float32, n int, negative float32)
	reluGrad, geluGrad, geluTanhGrad, tanhGrad func(dst, x, dy *float32, n int)
	sigmoidLinearGrad                          func(dst, x, dy *float32, n int, negative float32)

	maximum          func(x *float32, n int) float32
	expSum           func(dst, x *float32, n int, shift float32) float64
	scaledDifference func(dst, p, d *float32, n int, delta float32)
	subtract         func(dst, x *float32, n int, b float64)
	drop             func(x *float32, n int, key, factor, threshold uint32, scale float32)

	layerNorm         func(y, x, gamma, beta *float32, n int, eps float32, stats *[2]float32)
	layerNormBackward func(dx, dy, x, gamma *float32, n int, mean, rstd float32)
	layerNormScales   func(dgamma, dbeta, dy, x *float32, n int, mean, rstd float32)

	adam func(w, grad, m, v *float32, n int, k *[9]float32)

	held     [HeldInt8][]heldKernel // for 1, 2, … rows
	heldInt8 int8Kernels
	ahead    [2]int // bytes for those for one or two rows, and for more, to fetch ahead, found by trying; 0: as far as the next panel is

	largestBits      func(x *float32, n int) uint32
	roundPairs       func(to *byte, x *float32, steps int)
	largestOfColumns func(largest, x *float32, k int)
	quantizeColumns  func(to *byte, x *float32, blocks int, inverse *float32)
	groups           [HeldInt8]groupKernels // of formats in groups

	tiles *tiles // nil where there are none
}

// cpu is the instruction set in use; nil is plain Go.
var cpu *simd

// EKPHRASIS_CPU names the instruction set to use: generic, or one that the machine has. Without it, the best.
func init() {
	name := os.Getenv("EKPHRASIS_CPU")
	chosen, err := choose(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ekphrasis:", err)
		os.Exit(2)
	}
	cpu = chosen
}

// choose returns the instruction set of that name, and the best one for an empty name.
func choose(name string) (*simd, error) {
	all := available() // best first
	names := make([]string, 0, len(all)+1)
	for _, s := range all {
		if name == s.name || name == "" {
			return s, nil
		}
		names = append(names, s.name)
	}
	if name == "generic" || name == "" {
		return nil, nil
	}
	return nil, fmt.Errorf("EKPHRASIS_CPU=%s: this machine has %s", name, strings.Join(append(names, "generic"), ", "))
}

// CPU is the name of the instruction set in use: generic, avx2, avx512 or amx.
func CPU() string {
	if cpu == nil {
		return "generic"
	}
	return cpu.name
}
