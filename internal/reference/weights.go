// Package reference holds the scripts that make the project's golden files, and the Go side of what both languages
// must draw alike: the weights of the models that those files are about. README.md describes the files.
package reference

import "strings"

// Weights says how the parameters of a reference model are drawn. It is the "weights" object of a case's meta.json.
type Weights struct {
	Seed           uint64  `json:"seed"`
	Scale          float32 `json:"scale"`           // of all but the two kinds below
	EmbeddingScale float32 `json:"embedding_scale"` // of the token embedding, which is the LM head too
}

// Tensor returns the parameter with the given state-dict name and shape, flat in row-major order. A gain of a layer
// norm (one-dimensional and called weight) is drawn from [0.75, 1.25), anything else from [-scale, scale).
func (w Weights) Tensor(name string, shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	switch {
	case strings.HasSuffix(name, "wte.weight"), strings.HasSuffix(name, "lm_head.weight"):
		return Fill(name, n, w.EmbeddingScale, w.Seed)
	case len(shape) == 1 && strings.HasSuffix(name, "weight"):
		gain := Fill(name, n, 0.25, w.Seed)
		for i := range gain {
			gain[i]++
		}
		return gain
	}
	return Fill(name, n, w.Scale, w.Seed)
}

// Fill returns n numbers, uniform in [-scale, scale), that depend on name, seed and their index only. They equal those
// of prng.py bit for bit: 24 bits of a splitmix64 output, scaled by a power of two and, with one rounding, by scale.
func Fill(name string, n int, scale float32, seed uint64) []float32 {
	state := mix(seed) ^ fnv1a64(name)
	out := make([]float32, n)
	for i := range out {
		state += 0x9E3779B97F4A7C15
		u := int32(mix(state)>>40) - 1<<23
		out[i] = float32(u) / (1 << 23) * scale
	}
	return out
}

// mix is the finaliser of splitmix64.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// fnv1a64 is the 64-bit FNV-1a hash of s.
func fnv1a64(s string) uint64 {
	h := uint64(0xCBF29CE484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001B3
	}
	return h
}
