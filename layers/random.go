package layers

import "math"

// Random is a seeded stream that dropout draws from. A nil *Random means
// evaluation: nothing is dropped. Its zero value is a stream with seed 0.
//
// A stream hands out one number per operator, and each operator derives its
// mask from that number and the element's position, so a step's masks depend
// on the seed and the order of the operators alone: neither on threads nor on
// the timing of goroutines.
type Random struct{ state uint64 }

// NewRandom returns the stream with the given seed.
func NewRandom(seed uint64) *Random { return &Random{state: mix(seed)} }

// Next returns the stream's next number.
func (r *Random) Next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// Derive returns the stream number n of a family: the way to give each
// training step a stream of its own.
func (r *Random) Derive(n uint64) *Random {
	// Not symmetric in seed and n: streams of two seeds must not meet.
	return &Random{state: mix(mix(r.state+0xd1342543de82ef95) + n*0x9e3779b97f4a7c15)}
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Float64 returns the stream's next number in [0, 1).
func (r *Random) Float64() float64 { return float64(r.Next()>>11) / (1 << 53) }

// Normal returns a number from the standard normal distribution (Box and
// Muller, 1958).
func (r *Random) Normal() float64 {
	u, v := 1-r.Float64(), r.Float64()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}
