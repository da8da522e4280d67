//go:build !amd64

package kernel

func variants() []*simd { return nil }
