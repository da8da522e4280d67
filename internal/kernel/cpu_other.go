//go:build !amd64

package kernel

func available() []*simd { return nil }
