package kernel

import (
	"sync"
)

// tiles are the functions that multiply panels, with tiles or without: those of GemmBFloat16 in the format that the machine is fastest at,
// bfloat16 or int16, and digits of float32; see panelFormat. Where there are no tiles digits is nil.
type tiles struct {
	format      *panelFormat // bfloat16Panels or int16Panels
	tilePanels  func(a, b *byte, steps int, c *float32, ldc, rows int, accumulate bool, ahead *byte)
	round       func(to *byte, src *float32, row, second, step, steps int) // to bfloat16
	roundTurned func(to *byte, src *float32, row, second, step, steps int)
	scaled      *scaledTiles // what int16Panels has in place of round
	finish      func(dst *float32, ldd int, src *float32, lds int, bias, residual *float32, ldr, rows, vectors int)
	gelu        func(dst, x, bias, pre *float32, n int)
	together    int // panels of rows that one goroutine takes through an EncoderBlock
	digits      func(a, b *byte, chunks int, c *float32, ldc, rows, cols int, accumulate bool, scratch *float32, ahead *byte)
	cutRows     func(to *byte, src *float32, row, chunks int) bool
	cutColumns  func(to *byte, src *float32, row, chunks int) bool
}

// Operands of a product in bfloat16 are rounded into panels. Each element of C is a running sum over at most panelDepth steps,
// and a sum of these sums in ascending order.
const (
	roundLanes = 32      // lanes of a panel: two tiles
	roundStep  = 32      // steps of a tile
	roundBytes = 2 << 10 // of a panel's step
	roundBlock = 8       // panels of A that meet a panel of B while all are in the second-level cache
)

// bfloat16Panels are of numbers rounded to bfloat16.
var bfloat16Panels = &panelFormat{
	lanes: roundLanes, steps: roundStep, bytes: roundBytes, stride: roundBytes, group: 20, across: 8,
	borrow: func() (panelMaker, func()) {
		s := borrowRounder()
		return s, func() { rounders.Put(s) }
	},
}

// tile is the place of a tile of 16 lanes: its numbers of the first step.
func (p panelSet) tile(i int) *byte {
	if p.scales > 0 {
		return &p.x[i*p.size()/2+p.scales]
	}
	return &p.x[i/2*p.size()+i&1<<10]
}

// rounder rounds operands, with room for what has to be brought into shape first.
type rounder struct {
	*simd
	buffer  [16 * roundPiece]float32
	factors tileFactors
}

// roundPiece is the most steps that are rounded at a time.
const roundPiece = 256

// cut is that of panelMaker: all numbers can be rounded.
func (s *rounder) cut(p panelSet, right bool, o operand[float32], lanes, steps span) (wild bool) {
	together := lanes.len()
	if s.tiles.scaled != nil { // their numbers are read twice
		together = 16
		if o.side {
			together = 16 * len(s.factors)
		}
	}
	for lane := lanes.lo; lane < lanes.hi; lane += together {
		s.roundTiles(p, (lane-lanes.lo)/16, right, o, span{lane, min(lane+together, lanes.hi)}, steps)
	}
	return false
}

// roundTiles fills tiles, from the first on, with so many lanes and steps: in tiles of the right side lanes lie side by side.
func (s *rounder) roundTiles(p panelSet, first int, right bool, o operand[float32], lanes, steps span) {
	if s.tiles.scaled != nil {
		s.scale(p, first, o, lanes, steps)
	}
	tiles, whole := 0, 0 // of which so many steps are done
	if o.side {
		tiles, whole = lanes.len()/16, steps.len()/roundStep
		s.roundAcross(p, first, right, o, span{lanes.lo, lanes.lo + 16*tiles}, span{steps.lo, steps.lo + whole*roundStep})
	}
	for i := range divide(lanes.len(), 16) {
		to, from := p.tile(first+i), steps.lo
		if i < tiles {
			from += whole * roundStep
		}
		s.pieces(o, lanes.lo+16*i, min(16, lanes.len()-16*i), span{from, steps.hi}, func(x *float32, ld, n int) {
			step := 4 * roundStep
			if o.side {
				step *= ld
			}
			s.roundTile(ahead(to, (from-steps.lo)/roundStep*p.stride), right, o.side, i, x, ld, step, n)
			from += n * roundStep
		})
	}
}

// roundTile fills a tile of so many steps with 16 lanes of x, soon bytes apart from one step to the next.
func (s *rounder) roundTile(to *byte, right, side bool, tile int, x *float32, ld, soon, steps int) {
	second := 64
	if side {
		second = 4 * 16 * ld
	}
	if k := s.tiles.scaled; k != nil {
		round, factors, next := k.round, &s.factors[tile], 64
		if right != side {
			round = k.roundTurned
		}
		if side {
			next = 0
		}
		round(to, x, 4*ld, second, soon, steps, &factors[0], next)
		return
	}
	round := s.tiles.round
	if right != side {
		round = s.tiles.roundTurned
	}
	round(to, x, 4*ld, second, soon, steps)
}

// roundAcross rounds whole tiles of lanes that lie side by side, step by step, and so reads each row of memory in one go.
func (s *rounder) roundAcross(p panelSet, first int, right bool, o operand[float32], lanes, steps span) {
	soon := 4 * 64 // bytes from what is rounded to what is fetched: four tiles on, or the next step
	if lanes.len() <= 64 {
		soon = 4 * roundStep * o.ld
	}
	for i := range steps.len() / roundStep {
		for t := range lanes.len() / 16 {
			s.roundTile(ahead(p.tile(first+t), i*p.stride), right, true, t, &o.x[(steps.lo+i*roundStep)*o.ld+lanes.lo+16*t], o.ld, soon, 1)
		}
	}
}

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

var rounders = sync.Pool{New: func() any { return &rounder{} }}

func borrowRounder() *rounder {
	s := rounders.Get().(*rounder)
	s.simd = cpu
	return s
}

// multiply is that of panelMaker.
func (s *rounder) multiply(g *product[float32], a, b panelSet, rows, cols, steps span) {
	accumulate := g.accumulate || steps.lo > 0
	for i := 0; i < rows.len(); i += roundBlock * roundLanes {
		height := min(roundBlock*roundLanes, rows.len()-i)
		for j := 0; j < cols.len(); j += roundLanes {
			c, width := g.c[(rows.lo+i)*g.ldc+cols.lo+j:], min(roundLanes, cols.len()-j)
			panel := b.tile(j / 16)
			next := panel
			if j+roundLanes < cols.len() {
				next = b.tile((j + roundLanes) / 16)
			}
			s.panels(a, i/16, panel, c, g.ldc, height, width, accumulate, next)
		}
		if steps.hi == g.k {
			g.finish(rows.lo+i, rows.lo+i+height, cols.lo, cols.hi)
		}
	}
}

// panels multiplies tiles of A, from the first on, by a panel of B, and fetches what is ahead. Where not all of 16 rows or 32 columns are
// there, it does so in a place of its own.
func (s *rounder) panels(a panelSet, first int, b *byte, c []float32, ldc, rows, cols int, accumulate bool, ahead *byte) {
	done := 0
	if rows >= 16 && cols == roundLanes {
		done = rows / 16 * 16
		s.tiles.tilePanels(a.tile(first), b, a.deep, &c[0], ldc, done, accumulate, ahead)
	}
	for done < rows {
		height, c := min(rows-done, len(s.buffer)/roundLanes), c[done*ldc:]
		if accumulate {
			for i := range height {
				copy(s.buffer[i*roundLanes:i*roundLanes+cols], c[i*ldc:])
			}
		}
		s.tiles.tilePanels(a.tile(first+done/16), b, a.deep, &s.buffer[0], roundLanes, height, accumulate, ahead)
		for i := range height {
			copy(c[i*ldc:i*ldc+cols], s.buffer[i*roundLanes:])
		}
		done += height
	}
}
