package kernel

import "math"

// maximum is the largest of x, -∞ when x is empty. NaNs may go unseen.
func maximum[T Float](x []T) T {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		return T(s.maximum(single(x), len(x)))
	}
	top := T(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// coarseExpSum is expSum of scores, on a machine with tiles: exponentials are to be rounded to bfloat16, and their error is up to 2⁻¹² of them.
func coarseExpSum[T Float](dst, x []T, shift T) float64 {
	if len(x) == 0 {
		return 0
	}
	return float64(cpu.tiles.expSum(single(dst), single(x), len(x), float32(shift)))
}

// expSum sets dst[i] = exp(x[i]-shift), unless dst is nil, and returns the sum of those. dst may be x. The vector form of exp
// is exact to 2 ulp; what is below 1e-45 becomes zero.
func expSum[T Float](dst, x []T, shift T) float64 {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		return s.expSum(single(dst), single(x), len(x), float32(shift))
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v - shift))
		if dst != nil {
			dst[i] = T(e)
		}
		sum += e
	}
	return sum
}

// sum is the sum of x, accumulated in float64.
func sum[T Float](x []T) float64 {
	var parts [4]float64 // for the processor to add them side by side
	for ; len(x) >= 4; x = x[4:] {
		parts[0] += float64(x[0])
		parts[1] += float64(x[1])
		parts[2] += float64(x[2])
		parts[3] += float64(x[3])
	}
	for _, v := range x {
		parts[0] += float64(v)
	}
	return parts[0] + parts[1] + (parts[2] + parts[3])
}

// affine sets x[i] = alpha·x[i] + beta.
func affine[T Float](alpha, beta T, x []T) {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		s.affine(float32(alpha), float32(beta), single(x), len(x))
		return
	}
	for i, v := range x {
		x[i] = alpha*v + beta
	}
}

// scaledDifference sets dst[i] = p[i]·(d[i]-delta): the gradient of a softmax whose result is p.
func scaledDifference[T Float](dst, p, d []T, delta T) {
	if s := vectorised[T](); s != nil && len(p) > 0 {
		s.scaledDifference(single(dst), single(p), single(d), len(p), float32(delta))
		return
	}
	for i, v := range p {
		dst[i] = v * (d[i] - delta)
	}
}

// mask is the dropout mask of one row: an element stays where the hash of its index is not below the threshold.
type mask struct {
	key, factor uint32
	threshold   uint32
	scale       float64
}

// newMask is the mask of one (seed, head, row) at a probability in [0, 1).
func newMask(probability float64, seed uint64, head, row int) mask {
	h := mix(seed + 0x9e3779b97f4a7c15*mix(uint64(head)<<32+uint64(row)+1))
	return mask{key: uint32(h), factor: uint32(h>>32) | 1, threshold: uint32(probability * (1 << 32)), scale: 1 / (1 - probability)}
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (m mask) keeps(i int) bool {
	h := (uint32(i) + m.key) * m.factor
	h = (h ^ h>>16) * 0x7feb352d
	h = (h ^ h>>15) * 0x846ca68b
	return h^h>>16 >= m.threshold
}

// drop multiplies what the mask keeps of x by its scale, and the rest by zero.
func drop[T Float](x []T, m mask) {
	if s := vectorised[T](); s != nil && len(x) > 0 {
		s.drop(single(x), len(x), m.key, m.factor, m.threshold, float32(m.scale))
		return
	}
	for i := range x {
		if m.keeps(i) {
			x[i] *= T(m.scale)
		} else {
			x[i] = 0
		}
	}
}
