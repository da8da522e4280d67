package events

import (
	"math"
	"sort"
	"sync"
)

// Histogram logs the distribution of values in TensorFlow's buckets, whose width grows with the
// distance from 0 by 10 % a bucket: a gradient that explodes does not flatten the rest into one bar. Infinities
// and NaNs are left out.
func Histogram[T float32 | float64](w *Writer, tag string, step int, values []T) error {
	return w.summary(step, message(nil).text(valueTag, tag).message(valueHistogram, histogramOf(values)))
}

func histogramOf[T float32 | float64](values []T) message {
	b := buckets()
	counts := make([]float64, len(b.limits))
	low, high := math.Inf(1), math.Inf(-1)
	var n, sum, squares float64
	for _, value := range values {
		v := float64(value)
		if v-v != 0 {
			continue
		}
		counts[b.find(v)]++
		low, high = min(low, v), max(high, v)
		n++
		sum += v
		squares += v * v
	}
	if n == 0 {
		low, high = 0, 0
	}
	limits, counts := trim(b.limits, counts)
	return message(nil).
		float64(histogramMin, low).
		float64(histogramMax, high).
		float64(histogramCount, n).
		float64(histogramSum, sum).
		float64(histogramSumSquares, squares).
		float64s(histogramLimits, limits).
		float64s(histogramBuckets, counts)
}

// trim drops empty buckets at both ends, where TensorBoard takes minimum and maximum for limits, and merges
// neighbours that are empty.
func trim(limits, counts []float64) ([]float64, []float64) {
	var l, c []float64
	used := 0
	for i, count := range counts {
		switch {
		case count > 0:
			l, c = append(l, limits[i]), append(c, count)
			used = len(l)
		case used == 0: // before the first
		case c[len(c)-1] == 0:
			l[len(l)-1] = limits[i]
		default:
			l, c = append(l, limits[i]), append(c, 0)
		}
	}
	return l[:used], c[:used]
}

// bucketing has the upper limits of the buckets in ascending order; a value equal to a limit belongs
// to the next bucket. Those above 0 are 1e-12 times powers of 1.1 up to 1e20, then the largest float64.
type bucketing struct {
	limits []float64
	// first[b] is the bucket of the float32 nearest to 0 whose upper 16 bits are b. Such numbers are within
	// 1 % of each other, so the bucket of each is that or a neighbour.
	first [1 << 16]uint16
}

var buckets = sync.OnceValue(func() *bucketing {
	var up []float64
	for v := 1e-12; v < 1e20; v *= 1.1 {
		up = append(up, v)
	}
	up = append(up, math.MaxFloat64)
	b := &bucketing{}
	for i := len(up) - 1; i >= 0; i-- {
		b.limits = append(b.limits, -up[i])
	}
	b.limits = append(append(b.limits, 0), up...)
	for i := range b.first {
		b.first[i] = uint16(b.search(float64(math.Float32frombits(uint32(i) << 16))))
	}
	return b
})

func (b *bucketing) search(v float64) int {
	i := sort.Search(len(b.limits), func(i int) bool { return v < b.limits[i] })
	return min(i, len(b.limits)-1)
}

// find is search, but fast.
func (b *bucketing) find(v float64) int {
	i := int(b.first[math.Float32bits(float32(v))>>16])
	for i > 0 && v < b.limits[i-1] {
		i--
	}
	for i < len(b.limits)-1 && v >= b.limits[i] {
		i++
	}
	return i
}
