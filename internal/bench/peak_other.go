//go:build !amd64

package main

// fusedMultiplyAdds has no loop for this machine.
func fusedMultiplyAdds(string) (loop func(n int), flops float64) { return nil, 0 }
