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
// between two products they are kept in panels, as the next one reads them. The results have the bits that
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
	if cpu == nil || cpu.tiles == nil || b.HeadDim%roundLanes != 0 || b.HeadDim > panelDepth || b.Query.Weight == nil || b.Heads*b.HeadDim != b.dim() {
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
	queries, keys panelSet   // the panels of each head
	values        deepPanels // the panels of each head's columns
	columns       []float32  // values that are to be brought into panels
}

// sequence computes one, in at least so many parts, if it has the rows.
func (b *EncoderBlock) sequence(y, x []float32, rows Span, parts int) {
	dim := b.dim()
	s := blockSequence{EncoderBlock: b, x: x[rows.Start*dim : rows.End*dim], y: y[rows.Start*dim : rows.End*dim], rows: rows.Len()}
	s.panels = divide(s.rows, roundLanes)
	lanes := b.Heads * s.panels * roundLanes
	format := cpu.tiles.format
	s.queries, s.keys, s.values = format.newPanels(lanes, b.HeadDim), format.newPanels(lanes, b.HeadDim), newDeepPanels(b.Heads*b.HeadDim, s.rows, s.deepest())
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
	if cpu.tiles.scaled == nil {
		each((*blockPart).project)
	} else {
		columns := borrow[float32](s.rows * b.Heads * b.HeadDim)
		defer columns.giveBack()
		s.columns = columns.x
		each((*blockPart).project)
		Parallel(b.Heads, divide(b.Heads, parts), s.cutValues)
	}
	each((*blockPart).rest)
}

// deepest is how many rows of values are in a stretch: in bfloat16 all, as a part brings its own into panels.
func (s *blockSequence) deepest() int {
	if cpu.tiles.scaled == nil {
		return s.rows
	}
	return panelDepth
}

// blockPart is some of a sequence's rows: those of some panels.
type blockPart struct {
	*blockSequence
	panels span
	rows   span
	*rounder
	normed deepPanels
	c      []float32 // 32 columns of a product
	wide   []float32 // columns that are brought into panels together, the same 32 where these do not need others
	memory scratch[float32]
}

func newBlockPart(s *blockSequence, panels span) *blockPart {
	p := &blockPart{blockSequence: s, panels: panels, rows: span{panels.lo * roundLanes, min(panels.hi*roundLanes, s.rows)}, rounder: borrowRounder()}
	n := panels.len() * roundLanes
	p.normed = newDeepPanels(n, s.dim(), panelDepth)
	wide := 0
	if p.tiles.scaled != nil {
		wide = max(s.dim(), s.HeadDim, panelDepth)
	}
	p.memory = borrow[float32](n * (roundLanes + wide))
	p.c, p.wide = p.memory.x[:n*roundLanes], p.memory.x[n*roundLanes:]
	if wide == 0 {
		p.wide = p.c
	}
	return p
}

func (p *blockPart) giveBack() {
	p.normed.back()
	p.memory.giveBack()
	rounders.Put(p.rounder)
}

// collected is how many of n columns are brought into panels together.
func (p *blockPart) collected(n int) int {
	if p.tiles.scaled == nil {
		return roundLanes
	}
	return n
}

// project computes queries, keys and values.
func (p *blockPart) project() {
	p.norm(0, p.x)
	p.projectRows(p.Query, p.Scale, p.queries, false)
	p.projectRows(p.Key, 1, p.keys, true)
	width := p.Heads * p.HeadDim
	p.product(p.normed.stretches, p.Value, p.Value.panels(), func(j int) {
		column, dst, ld := j*roundLanes, p.c, roundLanes
		if p.columns != nil {
			dst, ld = p.columns[p.rows.lo*width+column:], width
		}
		p.tiles.finish(&dst[0], ld, &p.c[0], roundLanes, from(p.Value.Bias, column), nil, 0, p.rows.len(), roundLanes/16)
		if p.columns == nil {
			p.roundValues(j)
		}
	})
}

// projectRows computes alpha times a projection, in panels of the rows of each head.
func (p *blockPart) projectRows(d Dense, alpha float64, to panelSet, right bool) {
	columns := p.collected(p.HeadDim)
	p.product(p.normed.stretches, d, d.panels(), func(j int) {
		column := j * roundLanes
		p.tiles.finish(&p.wide[column%columns], columns, &p.c[0], roundLanes, from(d.Bias, column), nil, 0, p.rows.len(), roundLanes/16)
		if (column+roundLanes)%columns > 0 {
			return
		}
		if alpha != 1 {
			x := p.wide[:p.rows.len()*columns]
			scale(float32(alpha), x, x)
		}
		head, first := column/p.HeadDim, (column+roundLanes-columns)%p.HeadDim
		p.put(to.ahead(first/roundStep), 2*(head*p.blockSequence.panels+p.panels.lo), right, p.wide, columns, columns, p.rows.len())
	})
}

// put fills tiles, from the first on, with some rows and columns of x as lanes and steps.
func (p *blockPart) put(to panelSet, first int, right bool, x []float32, ld, columns, rows int) {
	round := p.tiles.round
	if right {
		round = p.tiles.roundTurned
	}
	for r := 0; r < rows; r += 16 {
		if p.tiles.scaled == nil {
			round(to.tile(first+r/16), &x[r*ld], 4*ld, 64, 128, divide(columns, roundStep))
		} else {
			p.cutTiles(to, first+r/16, right, operand[float32]{x[r*ld:], ld, false}, span{0, 16}, span{0, columns})
		}
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
			p.put(s.panelSet, (lo-p.rows.lo)/16, false, rows.x[s.steps.lo:], dim, s.steps.len(), min(16, p.rows.hi-lo))
		}
	}
}

// product multiplies a by some panels of the weight, 32 columns at a time, which are in c when f is called with the number of their panel.
func (p *blockPart) product(a []stretch, d Dense, panels span, f func(panel int)) {
	weights := d.stretches(a)
	for j := panels.lo; j < panels.hi; j++ {
		p.multiply(a, weights, j, p.c, false)
		f(j)
	}
}

// stretches are those of the weight that a is multiplied by.
func (d Dense) stretches(a []stretch) []panelSet {
	weights := make([]panelSet, len(a))
	for i, s := range a {
		weights[i] = d.Weight.stretch(s.steps)
	}
	return weights
}

// panels are those of the weight.
func (d Dense) panels() span { return span{0, d.Weight.n / roundLanes} }

// multiply sets c to the product of a and a panel of the weight, or adds it.
func (p *blockPart) multiply(a []stretch, weights []panelSet, panel int, c []float32, accumulate bool) {
	for i, s := range a {
		b, next := weights[i].tile(2*panel), weights[0].soon(panel)
		if i+1 < len(a) {
			next = weights[i+1].tile(2 * panel)
		}
		p.tiles.tilePanels(s.tile(0), b, s.deep, &c[0], roundLanes, p.rows.len(), accumulate || i > 0, next, s.pairs)
	}
}

// roundValues rounds 32 columns of values for the right side, with the columns as lanes.
func (p *blockPart) roundValues(panel int) {
	clear(p.c[p.rows.len()*roundLanes:])
	for tile := range 2 {
		to := p.values.stretches[0].ahead(p.panels.lo).tile(2*panel + tile)
		p.tiles.round(to, &p.c[16*tile], 4*roundLanes, 4*16*roundLanes, 4*roundStep*roundLanes, p.panels.len())
	}
}

// cutValues brings the values of some heads into panels.
func (s *blockSequence) cutValues(lo, hi int) {
	r := borrowRounder()
	defer rounders.Put(r)
	d, width := s.HeadDim, s.Heads*s.HeadDim
	for _, stretch := range s.values.stretches {
		r.cut(stretch.from(lo*d/roundLanes), true, operand[float32]{s.columns, width, true}, span{lo * d, hi * d}, stretch.steps)
	}
}

// rest computes what follows the projections.
func (p *blockPart) rest() {
	dim := p.dim()
	p.attend()
	y := p.y[p.rows.lo*dim:]
	p.product(p.normed.stretches, p.Output, p.Output.panels(), func(j int) {
		p.tiles.finish(&y[j*roundLanes], dim, &p.c[0], roundLanes, from(p.Output.Bias, j*roundLanes), &p.x[p.rows.lo*dim+j*roundLanes], dim, p.rows.len(), roundLanes/16)
	})
	p.norm(1, p.y)
	p.perceptron()
}

// perceptron adds the hidden layer's part to y. A stretch of hidden columns at a time is made, and multiplied by its rows of the second weight, so
// that it stays in the second-level cache.
func (p *blockPart) perceptron() {
	dim := p.dim()
	n := p.panels.len() * roundLanes
	y := p.y[p.rows.lo*dim:]
	sums := borrow[float32](n * dim)
	defer sums.giveBack()
	eachDepth(p.Up.Weight.n, panelDepth, roundStep, func(columns span) {
		hidden := p.tiles.format.newPanels(n, columns.len())
		defer hidden.back()
		first := columns.lo / roundLanes
		p.product(p.normed.stretches, p.Up, span{first, columns.hi / roundLanes}, func(j int) {
			p.activate(hidden, columns.len(), j-first, from(p.Up.Bias, j*roundLanes))
		})
		some := []stretch{{hidden, columns}}
		weights := p.Down.stretches(some)
		for j := range dim / roundLanes {
			c := sums.x[n*roundLanes*j:]
			p.multiply(some, weights, j, c, columns.lo > 0)
			if columns.hi == p.Up.Weight.n {
				p.tiles.finish(&y[j*roundLanes], dim, &c[0], roundLanes, from(p.Down.Bias, j*roundLanes), &y[j*roundLanes], dim, p.rows.len(), roundLanes/16)
			}
		}
	})
}

// activate brings 32 columns of the hidden layer, those of a step, into its panels of so many columns.
func (p *blockPart) activate(hidden panelSet, width, step int, bias *float32) {
	if p.tiles.scaled == nil && p.Act == GELU {
		p.tiles.roundGelu(hidden.ahead(step).tile(0), &p.c[0], bias, hidden.size(), p.rows.len())
		return
	}
	columns := p.collected(width)
	p.tiles.finish(&p.wide[step*roundStep%columns], columns, &p.c[0], roundLanes, bias, nil, 0, p.rows.len(), roundLanes/16)
	if (step+1)*roundStep%columns == 0 {
		x := p.wide[:p.rows.len()*columns]
		coarselyActivate(p.Act, x, x, nil, nil)
		p.put(hidden.ahead(step+1-columns/roundStep), 0, false, p.wide, columns, columns, p.rows.len())
	}
}

// attend sets normed to what the heads say, some rows at a time so that their scores stay in the cache.
func (p *blockPart) attend() {
	const most = 1 << 16
	n := p.blockSequence.panels * roundLanes
	size := max(1, min(p.panels.len(), most/n/roundLanes))
	scores := borrow[float32](size * roundLanes * n)
	defer scores.giveBack()
	probabilities := newDeepPanels(size*roundLanes, p.blockSequence.rows, p.deepest())
	defer probabilities.back()
	for head := range p.Heads {
		for lo := p.panels.lo; lo < p.panels.hi; lo += size {
			p.attendRows(head, span{lo * roundLanes, min((lo+size)*roundLanes, p.rows.hi)}, scores.x, n, probabilities)
		}
	}
	for _, s := range p.normed.stretches {
		if p.tiles.scaled != nil {
			p.put(s.panelSet, 0, false, p.wide[s.steps.lo:], p.dim(), s.steps.len(), p.rows.len())
		}
	}
}

// attendRows does so for some rows and a head; n is the row stride of the scores.
func (p *blockPart) attendRows(head int, rows span, scores []float32, n int, probabilities deepPanels) {
	d, panels := p.HeadDim/roundLanes, p.blockSequence.panels
	all, seen := rows.len(), p.blockSequence.rows
	queries := p.queries.tile(2*head*panels + rows.lo/16)
	for j := range panels {
		keys := p.keys.tile(2 * (head*panels + j))
		p.tiles.tilePanels(queries, keys, d, &scores[j*roundLanes], n, all, false, keys, p.queries.pairs)
	}
	var sums [mostTogether * roundLanes]float64
	for r := range all {
		row := scores[r*n : (r+1)*n]
		sums[r] = coarseExpSum(row, row[:seen], maximum(row[:seen]))
		clear(row[seen:])
	}
	for _, s := range probabilities.stretches {
		p.put(s.panelSet, 0, false, scores[s.steps.lo:], n, s.steps.len(), all)
	}
	for j := range d {
		column, first := (head*d+j)*roundLanes, rows.lo-p.rows.lo
		for i, s := range probabilities.stretches {
			values := p.values.stretches[i].tile(2 * (head*d + j))
			p.tiles.tilePanels(s.tile(0), values, s.deep, &p.c[0], roundLanes, all, i > 0, values, s.pairs)
		}
		x, ld := p.c, roundLanes
		if p.tiles.scaled != nil {
			x, ld = p.wide[first*p.dim()+column:], p.dim()
		}
		for r := range all {
			scale(float32(1/sums[r]), x[r*ld:][:roundLanes], p.c[r*roundLanes:][:roundLanes])
		}
		if p.tiles.scaled == nil {
			to, step := p.normed.at(head*d + j)
			p.put(to.ahead(step), first/16, false, x, ld, roundLanes, all)
		}
	}
}

// mostTogether is more than tiles.together ever is.
const mostTogether = 8

// deepPanels are panels of any number of steps, in stretches.
type deepPanels struct {
	stretches []stretch
	back      func()
}

type stretch struct {
	panelSet
	steps span
}

func newDeepPanels(lanes, k, most int) deepPanels {
	format := cpu.tiles.format
	var d deepPanels
	n := divide(lanes, format.lanes)
	bytes := 0
	eachDepth(k, most, format.steps, func(steps span) {
		s := stretch{format.set(steps), steps}
		d.stretches = append(d.stretches, s)
		bytes += n * s.size()
	})
	memory := format.newBytes(bytes)
	d.back = memory.back
	at := 0
	for i := range d.stretches {
		s := &d.stretches[i]
		s.x = memory.x[at:][:n*s.size()]
		at += n * s.size()
	}
	return d
}

// at is the stretch that has the step of 32 columns, and its number in it.
func (d deepPanels) at(panel int) (stretch, int) {
	i := len(d.stretches) - 1
	for d.stretches[i].steps.lo > panel*roundStep {
		i--
	}
	return d.stretches[i], panel - d.stretches[i].steps.lo/roundStep
}
