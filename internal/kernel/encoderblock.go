package kernel

import (
	"fmt"
	"slices"
)

// Dense is a linear layer x·W + b; b may be nil.
type Dense struct {
	Weight *Packed
	Bias   []float32
}

// EncoderBlock is a pre-norm transformer block with products in bfloat16:
//
//	h = x + Output(attention(Query(n), Key(n), Value(n)))  with n = norm(x, Gamma[0], Beta[0])
//	y = h + Down(Act(Up(norm(h, Gamma[1], Beta[1]))))
//
// where each row looks at all of its sequence. Whoever has some rows takes them all the way, while they are in the second-level cache, and
// between two products they are kept in bfloat16 in the order in which the next one reads them. The results have the bits that
// [LayerNorm], [Packed.Multiply] and [AttentionForward] give.
type EncoderBlock struct {
	Heads, HeadDim                      int
	Scale                               float64 // of the scores
	Gamma, Beta                         [2][]float32
	Eps                                 [2]float64
	Query, Key, Value, Output, Up, Down Dense
	Act                                 Activation
}

func (b *EncoderBlock) dense() []Dense {
	return []Dense{b.Query, b.Key, b.Value, b.Output, b.Up, b.Down}
}

// Fits reports whether there is a way to compute the block as a whole: on this machine, for its sizes, and with all weights packed for bfloat16.
func (b *EncoderBlock) Fits() bool {
	if cpu == nil || cpu.tiles == nil || b.HeadDim%roundLanes != 0 || b.Query.Weight == nil || b.Heads*b.HeadDim != b.dim() {
		return false
	}
	for _, d := range b.dense() {
		if d.Weight == nil || !d.Weight.bfloat16 || d.Weight.cpu != cpu || d.Weight.k%roundLanes != 0 || d.Weight.n%roundLanes != 0 {
			return false
		}
	}
	return true
}

// dim is the width of a row.
func (b *EncoderBlock) dim() int { return b.Query.Weight.k }

func (b *EncoderBlock) check() {
	dim, width, hidden := b.dim(), b.Heads*b.HeadDim, b.Up.Weight.n
	for i, d := range b.dense() {
		k, n := []int{dim, dim, dim, width, dim, hidden}[i], []int{width, width, width, dim, hidden, dim}[i]
		if d.Weight.k != k || d.Weight.n != n {
			panic(fmt.Sprintf("kernel: weight %d of an encoder block is %d×%d, want %d×%d", i, d.Weight.k, d.Weight.n, k, n))
		}
		if d.Bias != nil {
			checkLen("encoder block: bias", len(d.Bias), n)
		}
	}
	for i := range 2 {
		checkLen("encoder block: gamma", len(b.Gamma[i]), dim)
		checkLen("encoder block: beta", len(b.Beta[i]), dim)
	}
}

// Forward sets the rows of y that the sequences have, from those of x, both [rows, dim]. They may not overlap.
func (b *EncoderBlock) Forward(y, x []float32, sequences []Span) {
	b.check()
	for _, s := range sequences {
		checkLen("encoder block: y", len(y), s.End*b.dim())
		checkLen("encoder block: x", len(x), s.End*b.dim())
	}
	sequences = slices.DeleteFunc(slices.Clone(sequences), func(s Span) bool { return s.Len() <= 0 })
	threads := Threads()
	whole := len(sequences) / threads * threads
	Parallel(whole, 1, func(lo, hi int) {
		for _, s := range sequences[lo:hi] {
			b.sequence(y, x, s, 1)
		}
	})
	for _, s := range sequences[whole:] {
		b.sequence(y, x, s, threads)
	}
}

// blockSequence is a sequence on its way through an EncoderBlock.
type blockSequence struct {
	*EncoderBlock
	x, y          []float32 // its rows
	rows, panels  int
	queries, keys panelSet // the panels of each head
	values        panelSet // the panels of each head's columns
}

// sequence computes one, in at least so many parts, if it has the rows.
func (b *EncoderBlock) sequence(y, x []float32, rows Span, parts int) {
	dim := b.dim()
	s := blockSequence{EncoderBlock: b, x: x[rows.Start*dim : rows.End*dim], y: y[rows.Start*dim : rows.End*dim], rows: rows.Len()}
	s.panels = divide(s.rows, roundLanes)
	lanes := b.Heads * s.panels * roundLanes
	s.queries, s.keys, s.values = bfloat16Panels.newPanels(lanes, b.HeadDim), bfloat16Panels.newPanels(lanes, b.HeadDim), bfloat16Panels.newPanels(b.Heads*b.HeadDim, s.rows)
	defer s.queries.back()
	defer s.keys.back()
	defer s.values.back()
	parts = min(s.panels, roundUp(divide(s.panels, cpu.tiles.together), parts))
	each := func(f func(p *blockPart)) {
		Parallel(parts, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				p := newBlockPart(&s, span{i * s.panels / parts, (i + 1) * s.panels / parts})
				f(p)
				p.giveBack()
			}
		})
	}
	each((*blockPart).project)
	each((*blockPart).rest)
}

// blockPart is some of a sequence's rows: those of some panels.
type blockPart struct {
	*blockSequence
	panels span
	rows   span
	*rounder
	normed roundedRows
	c      []float32 // 32 columns of a product
	memory scratch[float32]
}

func newBlockPart(s *blockSequence, panels span) *blockPart {
	p := &blockPart{blockSequence: s, panels: panels, rows: span{panels.lo * roundLanes, min(panels.hi*roundLanes, s.rows)}, rounder: borrowRounder()}
	p.memory = borrow[float32](panels.len() * roundLanes * roundLanes)
	p.c = p.memory.x
	p.normed = newRoundedRows(panels.len(), s.dim())
	return p
}

func (p *blockPart) giveBack() {
	p.normed.back()
	p.memory.giveBack()
	rounders.Put(p.rounder)
}

// project computes queries, keys and values.
func (p *blockPart) project() {
	p.norm(0, p.x)
	d := p.HeadDim / roundLanes // panels of columns of a head
	for i, dense := range []Dense{p.Query, p.Key, p.Value} {
		p.product(p.normed, dense, func(j int) {
			p.tiles.finish(&p.c[0], roundLanes, &p.c[0], roundLanes, from(dense.Bias, j*roundLanes), nil, 0, p.rows.len(), roundLanes/16)
			head, step := j/d, j%d
			switch i {
			case 0:
				scale(float32(p.Scale), p.c[:p.rows.len()*roundLanes], p.c[:p.rows.len()*roundLanes])
				p.roundRows(p.queries, head*p.blockSequence.panels+p.panels.lo, step, p.c)
			case 1:
				p.roundKeys(head, step)
			case 2:
				p.roundValues(j)
			}
		})
	}
}

// norm sets normed to rows of x, normalised.
func (p *blockPart) norm(i int, x []float32) {
	dim := p.dim()
	rows := borrow[float32](16 * dim)
	defer rows.giveBack()
	for lo := p.rows.lo; lo < p.rows.hi; lo += 16 {
		for r := range min(16, p.rows.hi-lo) {
			layerNormRow(rows.x[r*dim:(r+1)*dim], x[(lo+r)*dim:(lo+r+1)*dim], p.Gamma[i], p.Beta[i], p.Eps[i])
		}
		for _, s := range p.normed.stretches {
			to := roundedTile(s.panelSet, (lo-p.rows.lo)/roundLanes, lo/16&1)
			p.tiles.round(to, &rows.x[s.from], 4*dim, 64, 128, s.deep)
		}
	}
}

// product multiplies a by the weight, 32 columns at a time, which are in c when f is called with the number of their panel.
func (p *blockPart) product(a roundedRows, d Dense, f func(panel int)) {
	panels := d.Weight.n / roundLanes
	place := func(stretch, panel int) *byte {
		if stretch == len(a.stretches) {
			stretch, panel = 0, panel+1
		}
		if panel == panels {
			return nil
		}
		s := a.stretches[stretch]
		return &d.Weight.panels[d.Weight.before(s.from)+panel*s.size()]
	}
	for j := range panels {
		for i, s := range a.stretches {
			b, next := place(i, j), place(i+1, j)
			if next == nil {
				next = b
			}
			p.tiles.tilePanels(&s.x[0], b, s.deep, &p.c[0], roundLanes, p.rows.len(), i > 0, next)
		}
		f(j)
	}
}

// roundRows rounds 32 columns of the rows for the left side, as a step of panels from the given one on.
func (p *blockPart) roundRows(to panelSet, panel, step int, columns []float32) {
	for r := 0; r < p.rows.len(); r += 16 {
		to := roundedTile(to, panel+r/roundLanes, r/16&1)
		p.tiles.round(ahead(to, step*roundBytes), &columns[r*roundLanes], 4*roundLanes, 64, 0, 1)
	}
}

// roundKeys rounds 32 columns of keys for the right side, with the rows as lanes.
func (p *blockPart) roundKeys(head, step int) {
	for r := 0; r < p.rows.len(); r += 16 {
		to := roundedTile(p.keys, head*p.blockSequence.panels+p.panels.lo+r/roundLanes, r/16&1)
		p.tiles.roundTurned(ahead(to, step*roundBytes), &p.c[r*roundLanes], 4*roundLanes, 64, 0, 1)
	}
}

// roundValues rounds 32 columns of values for the right side, with the columns as lanes.
func (p *blockPart) roundValues(panel int) {
	clear(p.c[p.rows.len()*roundLanes:])
	for tile := range 2 {
		to := roundedTile(p.values, panel, tile)
		p.tiles.round(ahead(to, p.panels.lo*roundBytes), &p.c[16*tile], 4*roundLanes, 4*16*roundLanes, 4*roundStep*roundLanes, p.panels.len())
	}
}

// rest computes what follows the projections.
func (p *blockPart) rest() {
	dim := p.dim()
	p.attend()
	y := p.y[p.rows.lo*dim:]
	p.product(p.normed, p.Output, func(j int) {
		p.tiles.finish(&y[j*roundLanes], dim, &p.c[0], roundLanes, from(p.Output.Bias, j*roundLanes), &p.x[p.rows.lo*dim+j*roundLanes], dim, p.rows.len(), roundLanes/16)
	})
	p.norm(1, p.y)
	hidden := newRoundedRows(p.panels.len(), p.Up.Weight.n)
	defer hidden.back()
	p.product(p.normed, p.Up, func(j int) {
		c := p.c[:p.rows.len()*roundLanes]
		p.tiles.finish(&c[0], roundLanes, &c[0], roundLanes, from(p.Up.Bias, j*roundLanes), nil, 0, p.rows.len(), roundLanes/16)
		coarselyActivate(p.Act, c, c, nil, nil)
		to, step := hidden.at(j)
		p.roundRows(to, 0, step, c)
	})
	p.product(hidden, p.Down, func(j int) {
		p.tiles.finish(&y[j*roundLanes], dim, &p.c[0], roundLanes, from(p.Down.Bias, j*roundLanes), &y[j*roundLanes], dim, p.rows.len(), roundLanes/16)
	})
}

// attend sets normed to what the heads say, some rows at a time so that their scores stay in the cache.
func (p *blockPart) attend() {
	const most = 1 << 16
	n := p.blockSequence.panels * roundLanes
	size := max(1, min(p.panels.len(), most/n/roundLanes))
	scores := borrow[float32](size * roundLanes * n)
	defer scores.giveBack()
	probabilities := bfloat16Panels.newPanels(size*roundLanes, n)
	defer probabilities.back()
	for head := range p.Heads {
		for lo := p.panels.lo; lo < p.panels.hi; lo += size {
			p.attendRows(head, span{lo * roundLanes, min((lo+size)*roundLanes, p.rows.hi)}, scores.x, n, probabilities)
		}
	}
}

// attendRows does so for some rows and a head; n is the row stride of the scores.
func (p *blockPart) attendRows(head int, rows span, scores []float32, n int, probabilities panelSet) {
	d, panels := p.HeadDim/roundLanes, p.blockSequence.panels
	all, seen := rows.len(), p.blockSequence.rows
	queries := roundedTile(p.queries, head*panels+rows.lo/roundLanes, 0)
	for j := range panels {
		keys := roundedTile(p.keys, head*panels+j, 0)
		p.tiles.tilePanels(queries, keys, d, &scores[j*roundLanes], n, all, false, keys)
	}
	var sums [mostTogether * roundLanes]float64
	for r := range all {
		row := scores[r*n : (r+1)*n]
		sums[r] = expSum(row, row[:seen], maximum(row[:seen]))
		clear(row[seen:])
	}
	for r := 0; r < all; r += 16 {
		to := roundedTile(probabilities, r/roundLanes, r/16&1)
		p.tiles.round(to, &scores[r*n], 4*n, 64, 128, panels)
	}
	for j := range d {
		values := roundedTile(p.values, head*d+j, 0)
		p.tiles.tilePanels(&probabilities.x[0], values, panels, &p.c[0], roundLanes, all, false, values)
		for r := range all {
			row := p.c[r*roundLanes : (r+1)*roundLanes]
			scale(float32(1/sums[r]), row, row)
		}
		to, step := p.normed.at(head*d + j)
		for r := 0; r < all; r += 16 {
			to := roundedTile(to, (rows.lo-p.rows.lo+r)/roundLanes, r/16&1)
			p.tiles.round(ahead(to, step*roundBytes), &p.c[r*roundLanes], 4*roundLanes, 64, 0, 1)
		}
	}
}

// mostTogether is more than tiles.together ever is.
const mostTogether = 8

// roundedRows are rows in panels for the left side of a product, in stretches of steps.
type roundedRows struct {
	stretches []stretch
	memory    panelSet
}

type stretch struct {
	panelSet
	from int // step
}

func newRoundedRows(panels, k int) roundedRows {
	r := roundedRows{memory: bfloat16Panels.newPanels(panels*roundLanes, k)}
	eachDepth(k, panelDepth, roundStep, func(steps span) {
		p := panelSet{panelFormat: bfloat16Panels, deep: divide(steps.len(), roundStep)}
		at := panels * steps.lo / roundStep * roundBytes
		p.x = r.memory.x[at:][:panels*p.size()]
		r.stretches = append(r.stretches, stretch{p, steps.lo})
	})
	return r
}

func (r roundedRows) back() { r.memory.back() }

// at are the panels that have the step of 32 columns, and its number in them.
func (r roundedRows) at(panel int) (panelSet, int) {
	i := len(r.stretches) - 1
	for r.stretches[i].from > panel*roundStep {
		i--
	}
	return r.stretches[i].panelSet, panel - r.stretches[i].from/roundStep
}
