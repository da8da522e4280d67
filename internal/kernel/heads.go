package kernel

import "math"

// NormalizeHeads divides each head of each row of x by its root mean square, and multiplies it by the head's gain:
//
//	y = gain·x·rms,  rms = 1/sqrt(mean(x²) + eps)
//
// x has len(gain) heads of headDim columns in rows of ldx elements, y the same in rows of ldy. rms [rows, heads] is
// stored for NormalizeHeadsBackward unless nil. y may be x.
func NormalizeHeads[T Float](y []T, ldy int, rms, x []T, ldx int, gain []T, rows, headDim int, eps float64) {
	heads := len(gain)
	width := heads * headDim
	checkMatrix("NormalizeHeads: y", y, ldy, rows, width, false)
	checkMatrix("NormalizeHeads: x", x, ldx, rows, width, false)
	if rms != nil {
		checkLen("NormalizeHeads: rms", len(rms), rows*heads)
	}
	Parallel(rows, 1+functionGrain/max(width, 1), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for h := range heads {
				x, y := x[r*ldx+h*headDim:][:headDim], y[r*ldy+h*headDim:][:headDim]
				s := 1 / math.Sqrt(dot(x, x)/float64(headDim)+eps)
				scale(gain[h]*T(s), y, x)
				if rms != nil {
					rms[r*heads+h] = T(s)
				}
			}
		}
	})
}

// NormalizeHeadsBackward computes the gradients of NormalizeHeads from dy, its input x and the rms that it stored. dx is
// set; dgain [heads] is added to. Either may be nil. dx may be dy.
func NormalizeHeadsBackward[T Float](dx []T, lddx int, dgain, dy []T, lddy int, rms, x []T, ldx int, gain []T, rows, headDim int) {
	heads := len(gain)
	width := heads * headDim
	checkMatrix("NormalizeHeadsBackward: dy", dy, lddy, rows, width, false)
	checkMatrix("NormalizeHeadsBackward: x", x, ldx, rows, width, false)
	checkLen("NormalizeHeadsBackward: rms", len(rms), rows*heads)
	if dx != nil {
		checkMatrix("NormalizeHeadsBackward: dx", dx, lddx, rows, width, false)
	}
	if dgain != nil {
		checkLen("NormalizeHeadsBackward: dgain", len(dgain), heads)
	}
	// The products of dy and x, which both gradients need, before dx overwrites dy.
	products := make([]float64, rows*heads)
	Parallel(rows, 1+functionGrain/max(width, 1), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for h := range heads {
				x, g := x[r*ldx+h*headDim:][:headDim], dy[r*lddy+h*headDim:][:headDim]
				product, s := dot(x, g), float64(rms[r*heads+h])
				products[r*heads+h] = product * s
				if dx == nil {
					continue
				}
				d, a := dx[r*lddx+h*headDim:][:headDim], float64(gain[h])*s
				scale(T(a), d, g)
				axpy(T(-a*s*s*product/float64(headDim)), x, d)
			}
		}
	})
	for h := range dgain {
		var sum float64
		for r := range rows {
			sum += products[r*heads+h]
		}
		dgain[h] += T(sum)
	}
}
