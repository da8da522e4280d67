package kernel

import (
	"sync"
	"unsafe"
)

// On tiles of int8 a product of float32 is one of digits. Of 128 numbers along k, each lane has a scale, a power of two: its numbers are
// integers of 24 bits of it, rounded to nearest, in three digits of 8 bits. The products of two digits are exact, and so are
// their sums over a chunk; those of each order, first by first, first by second and second by first, and so on, are added up by
// themselves, and only third by third is left out. The chunks are then added in ascending order in float32.
//
// This is the scheme of Ozaki, Ogita, Oishi and Rump ("Error-free transformations of matrix multiplication by using fast routines of matrix
// multiplication and its applications", Numerical Algorithms 59, 2012) with a fixed number of slices. An error is at most 1.01·2⁻²² of the
// product of the two lanes' largest numbers for each of the 128, but for the rounding of the sums; digits_test.go compares this with sums
// in float32, which are less exact for numbers of like magnitude, and more where small ones lie among large.
const (
	digitLanes = 16                   // of a panel
	digitSteps = 128                  // numbers of a lane in a chunk: two steps of the tiles
	digitChunk = 4*digitLanes + 6<<10 // bytes: a scale for each lane; of each step a tile of each digit
	digitBlock = 16                   // panels of A that meet a group of B while all are in the second-level cache
	digitWide  = 2                    // panels of B of which a chunk stays in the first-level cache, also in half of it
	digitAhead = 512                  // bytes fetched ahead in a chunk of two panels
	digitLeast = 192                  // below so many steps the product is in float32
)

// inDigits reports whether float32 is best multiplied in digits.
func (s *simd) inDigits() bool { return s != nil && s.tiles != nil && s.tiles.digits != nil }

// digitPanels are of digits.
var digitPanels = &panelFormat{
	lanes: digitLanes, steps: digitSteps, bytes: digitChunk, group: 12, across: 1,
	borrow: func() (panelMaker, func()) {
		s := borrowCutter()
		return s, func() { cutters.Put(s) }
	},
}

// cutter cuts operands into digits, with room for what has to be brought into shape first.
type cutter struct {
	*simd
	buffer [digitLanes * digitSteps]float32
	sums   [8*digitLanes*digitLanes + 16]float32
	block  [digitBlock * digitLanes * digitWide * digitLanes]float32
}

// cut is that of panelMaker.
func (s *cutter) cut(p panelSet, right bool, o operand[float32], lanes, steps span) (wild bool) {
	for chunk := range p.deep {
		first := steps.lo + chunk*digitSteps
		k := min(digitSteps, steps.hi-first)
		for lane := lanes.lo; lane < lanes.hi; lane += digitLanes {
			at := (lane-lanes.lo)/digitLanes*p.size() + chunk*digitChunk
			wild = s.panel(&p.x[at], right, o, lane, min(digitLanes, lanes.hi-lane), first, k) || wild
		}
	}
	return wild
}

// panel cuts a chunk of a panel.
func (s *cutter) panel(chunk *byte, right bool, o operand[float32], lane, lanes, first, k int) (wild bool) {
	whole := k == digitSteps && lanes == 16
	if !whole {
		clear(s.buffer[:])
	}
	if right {
		src, row := &s.buffer[0], 16
		switch {
		case o.side && whole:
			src, row = &o.x[first*o.ld+lane], o.ld
		case o.side:
			for p := range k {
				copy(s.buffer[16*p:16*p+lanes], o.x[(first+p)*o.ld+lane:])
			}
		default:
			s.packTranspose(src, row, &o.x[lane*o.ld+first], o.ld, lanes, k)
		}
		return s.tiles.cutColumns(chunk, src, 4*row, 1)
	}
	src, row := &s.buffer[0], digitSteps
	switch {
	case !o.side && whole:
		src, row = &o.x[lane*o.ld+first], o.ld
	case !o.side:
		for i := range lanes {
			copy(s.buffer[i*digitSteps:i*digitSteps+k], o.x[(lane+i)*o.ld+first:])
		}
	default:
		for p := 0; p < k; p += 16 {
			s.packTranspose(&s.buffer[p], row, &o.x[(first+p)*o.ld+lane], o.ld, min(16, k-p), lanes)
		}
	}
	return s.tiles.cutRows(chunk, src, 4*row, 1)
}

var cutters = sync.Pool{New: func() any { return &cutter{} }}

func borrowCutter() *cutter {
	s := cutters.Get().(*cutter)
	s.simd = cpu
	return s
}

// multiply is that of panelMaker. The product is made in a place of its own, where rows lie side by side, and
// then brought to C; but where there is more to be added to whole panels, in C.
func (s *cutter) multiply(g *product[float32], a, b panelSet, rows, cols, steps span) {
	const ld = digitWide * digitLanes
	sums := align(&s.sums[0])
	accumulate := g.accumulate || steps.lo > 0
	for i := rows.lo; i < rows.hi; i += digitBlock * digitLanes {
		height := min(digitBlock*digitLanes, rows.hi-i)
		panels := a.x[(i-rows.lo)/digitLanes*a.size():]
		for j := cols.lo; j < cols.hi; j += ld {
			width := min(ld, cols.hi-j)
			wide := divide(width, digitLanes)
			panel := &b.x[(j-cols.lo)/digitLanes*b.size()]
			// The next block of A, each time another part of it; if there is none, the next panels of B.
			next, at := b.x, ((j-cols.lo)/digitLanes+digitWide)*b.size()
			if rows.len() > digitBlock*digitLanes {
				next, at = a.x, (i-rows.lo+digitBlock*digitLanes)/digitLanes*a.size()+(j-cols.lo)/digitLanes*digitBlock*a.deep*digitAhead
			}
			soon := &next[min(len(next)-1, at)]
			c, left := g.c[i*g.ldc+j:], height
			if (accumulate || steps.hi < g.k) && width%digitLanes == 0 && height >= digitLanes {
				whole := height / digitLanes
				s.tiles.digits(&panels[0], panel, a.deep, &c[0], g.ldc, whole, wide, accumulate, sums, soon)
				left -= whole * digitLanes
			}
			if done := height - left; left > 0 {
				c = c[done*g.ldc:]
				if accumulate {
					for r := range left {
						copy(s.block[r*ld:r*ld+width], c[r*g.ldc:])
					}
				}
				s.tiles.digits(&panels[done/digitLanes*a.size()], panel, a.deep, &s.block[0], ld, divide(left, digitLanes), wide, accumulate, sums, soon)
				if steps.hi == g.k {
					s.finish(g, s.block[:], ld, i+done, i+height, j, j+width, true)
				} else {
					for r := range left {
						copy(c[r*g.ldc:r*g.ldc+width], s.block[r*ld:])
					}
				}
			}
			if g.e != nil && steps.hi == g.k {
				s.finish(g, g.c[i*g.ldc+j:], g.ldc, i, i+height-left, j, j+width, false)
			}
		}
	}
}

// align is the first address of a cache line's beginning, at p or after it.
func align(p *float32) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), -uintptr(unsafe.Pointer(p))&63))
}
