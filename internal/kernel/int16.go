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

// roundPiece is the most steps that are rounded at a time.
const roundPiece = 256

// cutScaled is cut for int16Panels.
func (s *rounder) cutScaled(p panelSet, right bool, o operand[float32], lanes, steps span) {
	together := 16 // lanes, which are read twice
	if o.side {
		together = 16 * len(s.factors)
	}
	for lane := lanes.lo; lane < lanes.hi; lane += together {
		s.cutTiles(p, (lane-lanes.lo)/16, right, o, span{lane, min(lane+together, lanes.hi)}, steps)
	}
}

// cutTiles fills tiles, from the first on, with some lanes and steps.
func (s *rounder) cutTiles(p panelSet, first int, right bool, o operand[float32], lanes, steps span) {
	s.scale(p, first, o, lanes, steps)
	tiles, whole := 0, 0 // of which so many steps are rounded
	if o.side {
		tiles, whole = lanes.len()/16, steps.len()/roundStep
	}
	for i := range whole { // all lanes of a step, as they lie side by side
		for t := range tiles {
			s.roundScaled(ahead(p.tile(first+t), i*p.stride), right, true, t, &o.from(lanes.lo+16*t, steps.lo+i*roundStep)[0], o.ld, 1)
		}
	}
	for i := range divide(lanes.len(), 16) {
		to, left := p.tile(first+i), steps
		if i < tiles {
			to, left.lo = ahead(to, whole*p.stride), left.lo+whole*roundStep
		}
		s.pieces(o, lanes.lo+16*i, min(16, lanes.len()-16*i), left, func(x *float32, ld, steps int) {
			s.roundScaled(to, right, o.side, i, x, ld, steps)
			to = ahead(to, steps*p.stride)
		})
	}
}

// roundScaled rounds so many steps of 16 lanes of x for a tile.
func (s *rounder) roundScaled(to *byte, right, side bool, tile int, x *float32, ld, steps int) {
	round, second, step, next := s.tiles.scaled.round, 4*16, 4*roundStep, 4*16
	if right != side {
		round = s.tiles.scaled.roundTurned
	}
	if side {
		second, step, next = second*ld, step*ld, 0
	}
	round(to, x, 4*ld, second, step, steps, &s.factors[tile][0], next)
}

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

// pieces calls f with so many times roundStep steps of 16 lanes of an operand, piece by piece: with its own memory, or a copy with zeros where
// there are not as many lanes or steps. Where a piece ends depends on the steps alone.
func (s *rounder) pieces(o operand[float32], lane, lanes int, steps span, f func(x *float32, ld, n int)) {
	for p := steps.lo; p < steps.hi; {
		k := min(steps.hi-p, roundPiece)
		if k > roundStep {
			k = k / roundStep * roundStep
		}
		x, ld := o.from(lane, p), o.ld
		if lanes < 16 || k < roundStep {
			x, ld = s.copy(o, lane, lanes, p, k)
		}
		f(&x[0], ld, divide(k, roundStep))
		p += k
	}
}

// copy copies lanes, in the order in which they are, and their row stride.
func (s *rounder) copy(o operand[float32], lane, lanes, first, k int) (x []float32, ld int) {
	rows, cols, ld := lanes, k, roundPiece
	if o.side {
		rows, cols, ld = k, lanes, 16
	}
	steps := roundUp(k, roundStep)
	if o.side {
		clear(s.buffer[:16*steps])
	} else {
		for i := range 16 {
			clear(s.buffer[i*ld:][:steps])
		}
	}
	for i := range rows {
		copy(s.buffer[i*ld:][:cols], o.from(lane, first)[i*o.ld:])
	}
	return s.buffer[:], ld
}
