package kernel

import (
	"sync"
)

// tiles are the functions that multiply panels, with tiles or without: those of GemmBFloat16 in the format that the machine is fastest at,
// bfloat16 or int16, and digits of float32; see panelFormat. Where there are no tiles digits is nil.
type tiles struct {
	format      *panelFormat // bfloat16Panels or int16Panels
	tilePanels  func(a, b *byte, steps int, c *float32, ldc, rows int, accumulate bool, ahead *byte, pairs int)
	apart       bool                                                       // tilePanels goes to and from C several times, so that rows had better lie side by side
	round       func(to *byte, src *float32, row, second, step, steps int) // to bfloat16
	roundTurned func(to *byte, src *float32, row, second, step, steps int)
	roundedDots func(a, b *byte, steps int, to **byte, at, rows int, ahead *byte, pairs int) // tilePanels without tiles, but with rounded rows; nil: there is none
	turnTiles   func(to, from *byte, next, n int)
	roundGelu   func(to *byte, src, bias *float32, panel, rows int)
	scaled      *scaledTiles // what int16Panels has in place of round
	finish      func(dst *float32, ldd int, src *float32, lds int, bias, residual *float32, ldr, rows, vectors int)
	gelu        func(dst, x, bias, pre *float32, n int)
	expSum      func(dst, x *float32, n int, shift float32) float32
	together    int // panels of rows that one goroutine takes through an EncoderBlock
	digits      func(a, b *byte, chunks int, c *float32, ldc, rows, cols int, accumulate bool, scratch *float32, ahead *byte)
	cutRows     func(to *byte, src *float32, row, chunks int) bool
	cutColumns  func(to *byte, src *float32, row, chunks int) bool
}

// Operands of a product in bfloat16 are rounded into panels. Each element of C is a running sum over all steps.
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

// soon is the panel that is needed after another: the next one, if there is one.
func (p panelSet) soon(panel int) *byte {
	if (panel+1)*p.size() < len(p.x) {
		panel++
	}
	return p.tile(2 * panel)
}

// lane is the place of a lane's first step, for the left side.
func (p panelSet) lane(i int) *byte { return ahead(p.tile(i/16), i%16*roundBytes/32) }

// rounder rounds operands, with room for what has to be brought into shape first.
type rounder struct {
	*simd
	buffer  [16 * 256]float32
	factors tileFactors
	block   [roundBlock * roundLanes * roundLanes]float32
}

// left rounds up to 16 lanes of an operand for the left side: k steps from the first one on.
func (s *rounder) left(to *byte, o operand[float32], lane, lanes, first, k int) {
	if whole := k / roundStep; whole > 0 && lanes == 16 && !o.side {
		s.tiles.round(to, &o.x[lane*o.ld+first], 4*o.ld, 64, 128, whole)
		to, first, k = ahead(to, whole*roundBytes), first+whole*roundStep, k-whole*roundStep
	}
	const width = len(s.buffer) / 16
	for k > 0 {
		n := min(k, width)
		steps := divide(n, roundStep)
		if n%roundStep > 0 || lanes < 16 {
			for i := range 16 {
				clear(s.buffer[i*width : i*width+steps*roundStep])
			}
		}
		if o.side {
			for p := 0; p < n; p += 16 {
				s.packTranspose(&s.buffer[p], width, &o.x[(first+p)*o.ld+lane], o.ld, min(16, n-p), lanes)
			}
		} else {
			for i := range lanes {
				copy(s.buffer[i*width:i*width+n], o.x[(lane+i)*o.ld+first:])
			}
		}
		s.tiles.round(to, &s.buffer[0], 4*width, 64, 128, steps)
		to, first, k = ahead(to, steps*roundBytes), first+n, k-n
	}
}

// right is left for the right side, in whose tiles lanes lie side by side.
func (s *rounder) right(to *byte, o operand[float32], lane, lanes, first, k int) {
	if whole := k / roundStep; whole > 0 && lanes == 16 && !o.side {
		s.tiles.roundTurned(to, &o.x[lane*o.ld+first], 4*o.ld, 64, 128, whole)
		to, first, k = ahead(to, whole*roundBytes), first+whole*roundStep, k-whole*roundStep
	}
	const depth = len(s.buffer) / 16
	for k > 0 {
		n := min(k, depth)
		steps := divide(n, roundStep)
		if n%roundStep > 0 || lanes < 16 {
			clear(s.buffer[:16*steps*roundStep])
		}
		if o.side {
			for p := range n {
				copy(s.buffer[16*p:16*p+lanes], o.x[(first+p)*o.ld+lane:])
			}
		} else {
			s.packTranspose(&s.buffer[0], 16, &o.x[lane*o.ld+first], o.ld, lanes, n)
		}
		s.tiles.round(to, &s.buffer[0], 4*16, 4*16*16, 4*16*roundStep, steps)
		to, first, k = ahead(to, steps*roundBytes), first+n, k-n
	}
}

// cut is that of panelMaker: all numbers can be rounded.
func (s *rounder) cut(p panelSet, right bool, o operand[float32], lanes, steps span) (wild bool) {
	if s.tiles.scaled != nil {
		s.cutScaled(p, right, o, lanes, steps)
		return false
	}
	side := s.left
	if right {
		side = s.right
	}
	first := lanes.lo
	if o.side && steps.len() >= roundStep {
		first = s.cutAcross(p, right, o, lanes, steps)
	}
	for lane := lanes.lo; lane < lanes.hi; lane += 16 {
		to := p.tile((lane - lanes.lo) / 16)
		from, k := steps.lo, steps.len()
		if lane < first { // all but the rest of the steps is done
			done := k / roundStep
			to, from, k = ahead(to, done*roundBytes), from+done*roundStep, k-done*roundStep
		}
		side(to, o, lane, min(16, lanes.hi-lane), from, k)
	}
	return false
}

// cutAcross rounds whole tiles of lanes that lie side by side, step by step, and so reads each row of memory in one go. It returns the first
// lane that it left out.
func (s *rounder) cutAcross(p panelSet, right bool, o operand[float32], lanes, steps span) int {
	round := s.tiles.roundTurned
	if right {
		round = s.tiles.round
	}
	soon := 4 * 64 // bytes from what is rounded to what is fetched: four tiles on, or the next step
	if lanes.len() <= 64 {
		soon = 4 * roundStep * o.ld
	}
	left := lanes.lo + lanes.len()/16*16
	for i := range steps.len() / roundStep {
		for lane := lanes.lo; lane < left; lane += 16 {
			to := p.tile((lane - lanes.lo) / 16)
			round(ahead(to, i*roundBytes), &o.x[(steps.lo+i*roundStep)*o.ld+lane], 4*o.ld, 4*16*o.ld, soon, 1)
		}
	}
	return left
}

var rounders = sync.Pool{New: func() any { return &rounder{} }}

func borrowRounder() *rounder {
	s := rounders.Get().(*rounder)
	s.simd = cpu
	return s
}

// multiply is that of panelMaker. Where that is faster, and nothing is to be added to the product, it is made in a place of its own, in which
// rows lie side by side, and then brought to C.
func (s *rounder) multiply(g *product[float32], a, b panelSet, rows, cols, steps span) {
	accumulate := g.accumulate || steps.lo > 0
	apart := s.tiles.apart && !accumulate && steps.hi == g.k
	for i := 0; i < rows.len(); i += roundBlock * roundLanes {
		height := min(roundBlock*roundLanes, rows.len()-i)
		for j := 0; j < cols.len(); j += roundLanes {
			c, width := g.c[(rows.lo+i)*g.ldc+cols.lo+j:], min(roundLanes, cols.len()-j)
			panel, next := b.tile(j/16), b.soon(j/roundLanes)
			if apart {
				s.tiles.tilePanels(a.tile(i/16), panel, a.deep, &s.block[0], roundLanes, height, false, next, a.pairs)
				s.finish(g, s.block[:], roundLanes, rows.lo+i, rows.lo+i+height, cols.lo+j, cols.lo+j+width, true)
				continue
			}
			s.panels(a, i/16, panel, c, g.ldc, height, width, accumulate, next)
		}
		if steps.hi == g.k && !apart {
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
		s.tiles.tilePanels(a.tile(first), b, a.deep, &c[0], ldc, done, accumulate, ahead, a.pairs)
	}
	for done < rows {
		height, c := min(rows-done, len(s.buffer)/roundLanes), c[done*ldc:]
		if accumulate {
			for i := range height {
				copy(s.buffer[i*roundLanes:i*roundLanes+cols], c[i*ldc:])
			}
		}
		s.tiles.tilePanels(a.tile(first+done/16), b, a.deep, &s.buffer[0], roundLanes, height, accumulate, ahead, a.pairs)
		for i := range height {
			copy(c[i*ldc:i*ldc+cols], s.buffer[i*roundLanes:])
		}
		done += height
	}
}
