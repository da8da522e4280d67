package kernel

import (
	"math"
	"unsafe"
)

// Where dot products of int16 are much faster than those of bfloat16, GemmBFloat16 is made of them. Each lane has, for a stretch of at most
// panelDepth steps, a scale, a power of two of which its numbers become multiples: integers whose norm, the root of the sum of their squares, is
// between int16Norm and half of it. By the inequality of Cauchy and Schwarz no sum of products of two lanes, nor a part of it,
// leaves 32 bits then: sums are exact, and only once a stretch is there a number of float32 to be added to C.
//
// An integer is off by half of one at most. So the error of a number is at most 2⁻¹⁵ of the lane's norm, where rounding to bfloat16 has
// one of up to 2⁻⁹ of the number itself; int16_test.go compares what becomes of it.
const (
	int16Norm   = 32750 // a little less than the largest integer, for what rounding adds
	int16Scales = 4 * 16
)

// int16Panels are of integers: of a tile a scale for each lane, and then its steps.
var int16Panels = &panelFormat{
	lanes: roundLanes, steps: roundStep, bytes: roundBytes, stride: roundBytes / 2, scales: int16Scales, group: 20, across: 8,
	borrow: bfloat16Panels.borrow,
}

// scaledTiles make int16Panels.
type scaledTiles struct {
	squares       func(sums, x *float32, row, steps int)
	squaresAcross func(sums, x *float32, row, steps, vectors int)
	factors       func(scales, factors, sums *float32) bool
	round         func(to *byte, src *float32, row, second, step, steps int, factors *float32, next int)
	roundTurned   func(to *byte, src *float32, row, second, step, steps int, factors *float32, next int)
}

// tileFactors are those of some tiles: for each row in memory one of each of 16 columns, or where columns are lanes those of the first.
type tileFactors [8][16 * 16]float32

// scale sets the scales of tiles, from the first on, and their factors.
func (s *rounder) scale(p panelSet, first int, o operand[float32], lanes, steps span) {
	var sums [len(s.factors) * 16]float32
	tiles, whole := 0, 0 // of which so many steps are added up
	if o.side {
		tiles, whole = lanes.len()/16, steps.len()/roundStep
		if tiles > 0 && whole > 0 {
			s.tiles.scaled.squaresAcross(&sums[0], &o.from(lanes.lo, steps.lo)[0], 4*o.ld, whole, tiles)
		}
	}
	for i := range divide(lanes.len(), 16) {
		lane, n, left := lanes.lo+16*i, min(16, lanes.len()-16*i), steps
		if i < tiles {
			left.lo += whole * roundStep
		}
		sum := (*[16]float32)(sums[16*i:])
		s.pieces(o, lane, n, left, func(x *float32, ld, n int) {
			if o.side {
				s.tiles.scaled.squaresAcross(&sum[0], x, 4*ld, n, 1)
			} else {
				s.tiles.scaled.squares(&sum[0], x, 4*ld, n)
			}
		})
		scales, factors := floats(ahead(p.tile(first+i), -int16Scales)), &s.factors[i]
		if s.tiles.scaled.factors(&scales[0], &factors[0], &sum[0]) {
			for j := range n {
				if factors[j] == 0 {
					scales[j], factors[j] = o.scale(lane+j, steps)
				}
			}
		}
		if !o.side {
			for j := 15; j >= 0; j-- {
				f := factors[j]
				row := factors[16*j : 16*j+16]
				for l := range row {
					row[l] = f
				}
			}
		}
	}
}

// scale is the scale of a lane and its factor, the other way round: both zero where all numbers are so small that there is no such factor, and
// a NaN and zero where there is an infinity or a NaN.
func (o operand[T]) scale(lane int, steps span) (scale, factor float32) {
	x, next := o.from(lane, steps.lo), 1
	if o.side {
		next = o.ld
	}
	sum := 0.0
	for i := range steps.len() {
		v := float64(x[i*next])
		sum += v * v
	}
	if sum-sum != 0 {
		return float32(math.NaN()), 0
	}
	exponent := math.Floor(math.Log2(int16Norm / math.Sqrt(sum)))
	if exponent > 127 {
		return 0, 0
	}
	factor = float32(math.Ldexp(1, int(exponent)))
	return 1 / factor, factor
}

// floats are the 16 numbers at p.
func floats(p *byte) *[16]float32 { return (*[16]float32)(unsafe.Pointer(p)) }
