package kernel

import "unsafe"

// roundedPassage is a passage in bfloat16. What is on the source's side, Heads times as wide as the rows, is rounded as soon as it is computed, into
// the panels that the next product reads. The results have the same bits.
type roundedPassage struct {
	*Projected[float32]
	way     passage[float32]
	looking deepPanels // of each item those of its rows and heads
	first   []int      // of an item's panels, by the source's number
	side    *roundedSide
}

// roundedPassage is nil where there is none: in another format, for sizes that do not fill panels, or sources of more rows than a stretch has steps.
func (p *Projected[T]) roundedPassage(way passage[T]) *roundedPassage {
	q, ok := any(p).(*Projected[float32])
	if !ok || !p.BFloat16 || cpu == nil || cpu.tiles == nil || cpu.tiles.roundedDots == nil || len(p.items) == 0 || p.Dim%roundLanes != 0 || p.HeadDim%roundLanes != 0 {
		return nil
	}
	for _, it := range p.items {
		if p.panels(it) == nil || it.source.Len() > panelDepth {
			return nil
		}
	}
	return &roundedPassage{Projected: q, way: any(way).(passage[float32])}
}

// through is that of Projected.
func (r *roundedPassage) through(f func(it projectedItem, m, n int, score, mix func([]float32))) *roundedSide {
	r.enter()
	defer r.looking.back()
	r.side = newRoundedSide(r.Projected)
	r.eachItem(func(it projectedItem, _ []float32, m, n int) {
		f(it, m, n, func(scores []float32) { r.score(it, m, n, scores) }, func(scores []float32) { r.mix(it, m, n, scores) })
	})
	if r.way.result != nil {
		r.leave()
	}
	return r.side
}

// enter takes the rows to the source's side.
func (r *roundedPassage) enter() {
	format, width, n := cpu.tiles.format, r.Heads*r.HeadDim, 0
	r.first = make([]int, len(r.Source))
	for _, it := range r.items {
		r.first[it.number] = n
		n += divide(it.len()*r.Heads, roundLanes)
	}
	r.looking = newDeepPanels(n*roundLanes, r.Dim, panelDepth)
	r.eachHead(func(h, column int) {
		m := borrowRounder()
		defer rounders.Put(m)
		rows, weight := format.newPanels(len(r.rows), r.HeadDim), format.newPanels(r.Dim, r.HeadDim)
		defer rows.back()
		defer weight.back()
		m.cut(rows, false, operand[float32]{r.way.rows[column:], width, false}, span{0, len(r.rows)}, span{0, r.HeadDim})
		m.cut(weight, true, operand[float32]{r.w[r.way.in+column:], 2 * width, false}, span{0, r.Dim}, span{0, r.HeadDim})
		to := make([]*byte, roundUp(len(r.rows), 8))
		for _, s := range r.looking.stretches {
			for _, it := range r.items {
				own := s.from(r.first[it.number])
				for i := range it.len() {
					to[it.lo+i] = own.lane(i*r.Heads + h)
				}
			}
			m.rounded(rows, weight, to, len(r.rows), s.steps)
		}
	})
}

// rounded puts the product of panels, of so many rows and some columns, where its rows are to be.
func (s *rounder) rounded(a, b panelSet, to []*byte, rows int, columns span) {
	for j := columns.lo; j < columns.hi; j += roundLanes {
		s.tiles.roundedDots(a.tile(0), b.tile(j/16), a.deep, &to[0], (j-columns.lo)/roundStep*roundBytes, rows, b.soon(j/roundLanes), a.pairs)
	}
}

// score sets scores [m, n] to the products of the item's rows with the source's.
func (r *roundedPassage) score(it projectedItem, m, n int, scores []float32) {
	s := borrowRounder()
	defer rounders.Put(s)
	g := product[float32]{m: m, n: n, k: r.Dim, c: scores, ldc: n}
	for _, a := range r.looking.stretches {
		s.multiply(&g, a.from(r.first[it.number]), r.panels(it).transposed.stretch(a.steps), span{0, m}, span{0, n}, a.steps)
	}
}

// mix sets the item's part of the side to the product of scores [m, n] and the source's rows.
func (r *roundedPassage) mix(it projectedItem, m, n int, scores []float32) {
	s := borrowRounder()
	defer rounders.Put(s)
	left := cpu.tiles.format.newPanels(m, n)
	defer left.back()
	s.cut(left, false, operand[float32]{scores, n, false}, span{0, m}, span{0, n})
	to := make([]*byte, roundUp(m, 8))
	for h := range r.Heads {
		own := r.side.head(h)
		for i := range it.len() {
			to[i*r.Heads+h] = own.lane(it.lo + i)
		}
	}
	s.rounded(left, r.panels(it).plain.stretch(span{0, n}), to, m, span{0, r.Dim})
}

// leave brings the rows back.
func (r *roundedPassage) leave() {
	width := r.Heads * r.HeadDim
	r.eachHead(func(h, column int) {
		r.side.multiply(h, operand[float32]{r.w[r.way.out+column:], 2 * width, true}, r.way.result[column:], width)
	})
}

// roundedSide is a sourceSide in panels: for each head those of all rows, with Dim steps.
type roundedSide struct {
	*Projected[float32]
	panelSet
}

func newRoundedSide(p *Projected[float32]) *roundedSide {
	rows := len(p.rows)
	s := &roundedSide{p, cpu.tiles.format.newPanels(p.Heads*roundUp(rows, roundLanes), p.Dim)}
	p.eachHead(func(h, _ int) { // rows that are not there must not be NaN where rows are steps
		for i := rows; i < roundUp(rows, roundLanes); i++ {
			lane := s.head(h).lane(i)
			for j := range s.deep {
				clear(unsafe.Slice(ahead(lane, j*roundBytes), roundBytes/32))
			}
		}
	})
	return s
}

func (s *roundedSide) giveBack() { s.back() }

// head are the panels of a head.
func (s *roundedSide) head(h int) panelSet { return s.from(h * divide(len(s.rows), roundLanes)) }

// multiply sets c [rows, HeadDim] to the product of a head's panels and b.
func (s *roundedSide) multiply(h int, b operand[float32], c []float32, ldc int) {
	r, rows, columns, steps := borrowRounder(), span{0, len(s.rows)}, span{0, s.HeadDim}, span{0, s.Dim}
	defer rounders.Put(r)
	right := s.newPanels(s.HeadDim, s.Dim)
	defer right.back()
	r.cut(right, true, b, columns, steps)
	r.multiply(&product[float32]{m: rows.hi, n: columns.hi, k: steps.hi, c: c, ldc: ldc}, s.head(h), right, rows, columns, steps)
}

func (s *roundedSide) weightGradient(dw, y []float32, from int) {
	width := s.Heads * s.HeadDim
	rows, columns, steps := span{0, s.Dim}, span{0, s.HeadDim}, span{0, len(s.rows)}
	s.eachHead(func(h, column int) {
		r := borrowRounder()
		defer rounders.Put(r)
		left, right := s.newPanels(s.Dim, steps.hi), s.newPanels(s.HeadDim, steps.hi)
		defer left.back()
		defer right.back()
		for i := range left.deep {
			r.tiles.turnTiles(left.ahead(i).tile(0), s.head(h).tile(2*i), left.size(), s.Dim/roundLanes)
		}
		r.cut(right, true, operand[float32]{y[column:], width, true}, columns, steps)
		r.multiply(&product[float32]{m: rows.hi, n: columns.hi, k: steps.hi, c: dw[from+column:], ldc: 2 * width}, left, right, rows, columns, steps)
	})
}
