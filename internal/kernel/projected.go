package kernel

import (
	"fmt"
	"unsafe"
)

// ProjectedAttention is attention to keys and values that are projections of the source's rows x [·, Dim]: keys x·Wk + bk and
// values x·Wv + bv, without a causal mask. For few query rows it is cheaper not to project the source but to take the projections
// to the other side: the scores are (q·Wkᵀ)·xᵀ, and the result (P·x)·Wv + bv. bk adds the same to all scores of a row, which
// softmax does not see: it changes nothing, and its gradient is zero.
type ProjectedAttention struct {
	Attention
	Dim      int
	BFloat16 bool // products of float32 are those of [GemmBFloat16]
	// Panels, unless nil, are x packed for these sources and BFloat16.
	Panels *SourcePanels
}

// SourcePanels are the rows of sources as the right side of products, for several attentions that look at the same ones.
type SourcePanels struct {
	bfloat16 bool
	of       []*sourcePanels
}

// sourcePanels are those of a source: its rows as xᵀ and as x.
type sourcePanels struct{ transposed, plain *Packed }

// PackSources packs x [·, dim] for ProjectedAttention.
func PackSources(bfloat16 bool, sources []Span, dim int, x []float32, ldx int) *SourcePanels {
	p := &SourcePanels{bfloat16, make([]*sourcePanels, len(sources))}
	Parallel(len(sources), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			n := sources[i].Len()
			if n == 0 {
				continue
			}
			rows := x[sources[i].Start*ldx:]
			transposed, plain := packBriefly(bfloat16, true, dim, n, rows, ldx), packBriefly(bfloat16, false, n, dim, rows, ldx)
			if transposed != nil && plain != nil {
				p.of[i] = &sourcePanels{transposed, plain}
			}
		}
	})
	return p
}

// Release gives their memory back; they cannot be used any more.
func (p *SourcePanels) Release() {
	for _, s := range p.of {
		if s != nil {
			s.transposed.giveBack()
			s.plain.giveBack()
		}
	}
	p.of = nil
}

// Cheaper reports whether it takes fewer multiplications than projecting all of the source's rows.
func (s *ProjectedAttention) Cheaper() bool {
	width := s.Heads * s.HeadDim
	looking := make([]int, len(s.Source))
	for i, q := range s.Query {
		looking[s.source(i)] += q.Len()
	}
	here, there := 0, 0
	for i, source := range s.Source {
		here += looking[i] * s.Dim * (2*width + 2*s.Heads*source.Len())
		there += source.Len()*s.Dim*2*width + 2*looking[i]*source.Len()*width
	}
	return here < there
}

// Projected is what the forward pass of a ProjectedAttention leaves for the backward pass. w [Dim, 2·Heads·HeadDim] are Wk and Wv side by
// side, and b, of as many elements or nil, bk and bv.
type Projected[T Float] struct {
	*ProjectedAttention
	gemm               GemmFunc[T]
	q, x, w, b         []T
	ldq, ldx           int
	items              []projectedItem
	rows               []queryRow    // in the order of the items
	probabilities, sum []T           // before dropout, of each item [rows, heads, source rows]; their sum after dropout [rows, heads]
	mixed              sourceSide[T] // P·x
}

// stride is how far apart a matrix's rows of Dim are: not next to each other, as those of a head, which are Heads times as far apart, would
// then often lie in the same few lines of the first-level cache.
func (p *Projected[T]) stride() int { return RowStride(p.Dim) }

// projectedItem is a source and the rows that look at it.
type projectedItem struct {
	number int // of Source
	source Span
	lo, hi int // of rows
	at     int // where its probabilities begin
}

func (it *projectedItem) len() int { return it.hi - it.lo }

// ProjectedAttentionForward sets the rows of out that Query names, as AttentionForward does.
func ProjectedAttentionForward[T Float](s *ProjectedAttention, out []T, ldo int, q []T, ldq int, x []T, ldx int, w, b []T) *Projected[T] {
	s.checkFields()
	if s.Causal {
		panic("kernel: projected attention has no causal mask")
	}
	s.check("out", s.Query, len(out), ldo)
	s.check("q", s.Query, len(q), ldq)
	if s.Panels != nil {
		checkLen("projected attention: panels", len(s.Panels.of), len(s.Source))
	}
	for i, span := range s.Source {
		if ldx < s.Dim || span.Len() > 0 && (span.End-1)*ldx+s.Dim > len(x) {
			panic(fmt.Sprintf("kernel: projected attention: source %d, rows [%d, %d), is outside x, a slice of %d with row stride %d", i, span.Start, span.End, len(x), ldx))
		}
	}
	width := s.Heads * s.HeadDim
	checkLen("projected attention: w", len(w), s.Dim*2*width)
	if b != nil {
		checkLen("projected attention: b", len(b), 2*width)
	}
	p := &Projected[T]{ProjectedAttention: s, q: q, x: x, w: w, b: b, ldq: ldq, ldx: ldx, gemm: GemmIn[T](s.BFloat16)}
	p.order()
	p.forward(out, ldo)
	return p
}

// Release gives the memory back that is kept for Backward, which cannot be called any more.
func (p *Projected[T]) Release() {
	if p.mixed != nil {
		GiveBack(p.probabilities)
		p.mixed.giveBack()
		p.probabilities, p.mixed = nil, nil
	}
}

// order lists the rows by what they look at.
func (p *Projected[T]) order() {
	rows := make([][]queryRow, len(p.Source))
	for i, query := range p.Query {
		source := p.source(i)
		rows[source] = sequenceRows(rows[source], query, p.Source[source].Len(), false)
	}
	n := 0
	for i, r := range rows {
		if len(r) > 0 {
			p.items = append(p.items, projectedItem{i, p.Source[i], len(p.rows), len(p.rows) + len(r), n})
			p.rows = append(p.rows, r...)
			n += len(r) * p.Heads * p.Source[i].Len()
		}
	}
	p.probabilities = Borrow[T](n)
	if p.DropoutP > 0 {
		p.sum = make([]T, len(p.rows)*p.Heads)
	}
}

// gather returns rows of x in the items' order, times alpha.
func (p *Projected[T]) gather(alpha T, x []T, ld int) scratch[T] {
	width := p.Heads * p.HeadDim
	g := borrow[T](len(p.rows) * width)
	p.eachRow(func(i, row int) { scale(alpha, g.x[i*width:(i+1)*width], x[row*ld:][:width]) })
	return g
}

// eachRow calls f with the number of each row, in the items' order, and the row that it is.
func (p *Projected[T]) eachRow(f func(i, row int)) {
	Parallel(len(p.rows), 1+functionGrain/max(p.Heads*p.HeadDim, 1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i, p.rows[i].row)
		}
	})
}

// eachHead calls f with the columns of a matrix as wide as the heads at which head h begins.
func (p *Projected[T]) eachHead(f func(h, column int)) {
	inRuns(p.Heads, func(h, _ int) { f(h, h*p.HeadDim) })
}

// eachItem calls f with the item's rows of the source, and numbers of rows: of a matrix [rows, heads, ·], and of the source.
func (p *Projected[T]) eachItem(f func(it projectedItem, x []T, m, n int)) {
	inRuns(len(p.items), func(i, _ int) {
		it := p.items[i]
		f(it, p.x[it.source.Start*p.ldx:], it.len()*p.Heads, it.source.Len())
	})
}

// withSource sets c [m, rows of the source] to a·xᵀ, for a [m, stride] and the item's rows x.
func (p *Projected[T]) withSource(it projectedItem, m int, a, x, c []T) {
	n := it.source.Len()
	if packed := p.panels(it); packed != nil {
		packed.transposed.Multiply(m, any(a).([]float32), p.stride(), any(c).([]float32), n, nil)
		return
	}
	p.gemm(false, true, m, n, p.Dim, a, p.stride(), x, p.ldx, c, n, false, nil)
}

// mixSource sets c [m, stride] to a·x, for a [m, rows of the source] and the item's rows x.
func (p *Projected[T]) mixSource(it projectedItem, m int, a, x, c []T) {
	n := it.source.Len()
	if packed := p.panels(it); packed != nil {
		packed.plain.Multiply(m, any(a).([]float32), n, any(c).([]float32), p.stride(), nil)
		return
	}
	p.gemm(false, false, m, p.Dim, n, a, n, x, p.ldx, c, p.stride(), false, nil)
}

func (p *Projected[T]) panels(it projectedItem) *sourcePanels {
	var element T
	if p.Panels == nil || p.Panels.bfloat16 != p.BFloat16 || unsafe.Sizeof(element) != 4 {
		return nil
	}
	return p.Panels.of[it.number]
}

// intoSource sets dst [rows, heads, stride] to the heads' products of y [rows, heads·HeadDim] with the transpose of Wk or Wv, which begins
// at column from of w.
func (p *Projected[T]) intoSource(dst, y []T, from int) {
	rows, width := len(p.rows), p.Heads*p.HeadDim
	p.eachHead(func(h, column int) {
		p.gemm(false, true, rows, p.Dim, p.HeadDim, y[column:], width, p.w[from+column:], 2*width, dst[h*p.stride():], p.Heads*p.stride(), false, nil)
	})
}

// outOfSource sets y [rows, heads·HeadDim] to the heads' products of z [rows, heads, stride] with Wk or Wv.
func (p *Projected[T]) outOfSource(y, z []T, from int) {
	rows, width := len(p.rows), p.Heads*p.HeadDim
	p.eachHead(func(h, column int) {
		p.gemm(false, false, rows, p.HeadDim, p.Dim, z[h*p.stride():], p.Heads*p.stride(), p.w[from+column:], 2*width, y[column:], width, false, nil)
	})
}

// drop is dropout of the i-th row of an item's probabilities, or of their slopes.
func (p *Projected[T]) drop(x []T, it projectedItem, i int) {
	if p.DropoutP > 0 {
		drop(x, newMask(p.DropoutP, p.Seed, i%p.Heads, p.rows[it.lo+i/p.Heads].row))
	}
}

// passage is the way of rows [rows, heads·HeadDim] to the source's side and back: times the transpose of the weight that begins at column in of w, and
// times the one at column out.
type passage[T Float] struct {
	in, out      int
	rows, result []T // result, which may be rows, gets what comes back; nil: it is not needed
}

// sourceSide is what is on the source's side when it is multiplied by the weight on the way back.
type sourceSide[T Float] interface {
	// weightGradient sets dw, from a column on, to the heads' products of it, transposed, with y [rows, heads·HeadDim].
	weightGradient(dw, y []T, from int)
	giveBack()
}

// through calls f for each item when its rows are on the source's side, with functions for a matrix [rows and heads of the item, source rows]:
// one sets it to the scores, their products with the source's, and the other one multiplies it by those. What comes of that is returned, and brought
// back. If f needs what the scores come from, [rows, heads, stride], it is there until the second function is called.
func (p *Projected[T]) through(way passage[T], needed bool, f func(it projectedItem, m, n int, from []T, score, mix func([]T))) sourceSide[T] {
	if r := p.roundedPassage(way); r != nil && !needed {
		return any(r.through(func(it projectedItem, m, n int, score, mix func([]float32)) {
			f(it, m, n, nil, func(x []T) { score(any(x).([]float32)) }, func(x []T) { mix(any(x).([]float32)) })
		})).(sourceSide[T])
	}
	side := &plainSide[T]{p, Borrow[T](len(p.rows) * p.Heads * p.stride())}
	p.intoSource(side.all, way.rows, way.in)
	p.eachItem(func(it projectedItem, x []T, m, n int) {
		own := side.all[it.lo*p.Heads*p.stride():]
		f(it, m, n, own, func(scores []T) { p.withSource(it, m, own, x, scores) }, func(scores []T) { p.mixSource(it, m, scores, x, own) })
	})
	if way.result != nil {
		p.outOfSource(way.result, side.all, way.out)
	}
	return side
}

// plainSide is a matrix [rows, heads, stride].
type plainSide[T Float] struct {
	*Projected[T]
	all []T
}

func (s *plainSide[T]) giveBack() { GiveBack(s.all) }

func (s *plainSide[T]) weightGradient(dw, y []T, from int) {
	rows, width := len(s.rows), s.Heads*s.HeadDim
	s.eachHead(func(h, column int) {
		s.gemm(true, false, s.Dim, s.HeadDim, rows, s.all[h*s.stride():], s.Heads*s.stride(), y[column:], width, dw[from+column:], 2*width, false, nil)
	})
}

func (p *Projected[T]) forward(out []T, ldo int) {
	width := p.Heads * p.HeadDim
	rows := p.gather(T(p.Scale), p.q, p.ldq)
	defer rows.giveBack()
	p.mixed = p.through(passage[T]{0, width, rows.x, rows.x}, false, func(it projectedItem, m, n int, _ []T, score, mix func([]T)) {
		probabilities, first := p.probabilities[it.at:][:m*n], it.lo*p.Heads
		score(probabilities)
		dropped := probabilities
		if p.DropoutP > 0 {
			d := borrow[T](m * n)
			defer d.giveBack()
			dropped = d.x
		}
		for i := range m {
			row := probabilities[i*n : (i+1)*n]
			scale(T(1/expSum(row, row, maximum(row))), row, row)
			if p.DropoutP > 0 {
				kept := dropped[i*n : (i+1)*n]
				copy(kept, row)
				p.drop(kept, it, i)
				p.sum[first+i] = T(sum(kept))
			}
		}
		mix(dropped)
	})
	p.eachRow(func(i, row int) {
		y := out[row*ldo:][:width]
		copy(y, rows.x[i*width:])
		if p.b != nil {
			p.addBias(y, i)
		}
	})
}

// addBias adds bv to the i-th row, head by head as often as the dropped probabilities add up to.
func (p *Projected[T]) addBias(row []T, i int) {
	width := p.Heads * p.HeadDim
	if p.DropoutP == 0 {
		add(row, row, p.b[width:2*width])
		return
	}
	for h := range p.Heads {
		axpy(p.sum[i*p.Heads+h], p.b[width+h*p.HeadDim:][:p.HeadDim], row[h*p.HeadDim:])
	}
}

// Backward adds the gradients of ProjectedAttentionForward to dq, dx and db, and sets dw; any of them may be nil. dout is the gradient of out.
func (p *Projected[T]) Backward(dq []T, lddq int, dx []T, lddx int, dw, db []T, dout []T, lddo int) {
	width := p.Heads * p.HeadDim
	p.check("dout", p.Query, len(dout), lddo)
	douts := p.gather(1, dout, lddo)
	defer douts.giveBack()
	if db != nil {
		p.biasGradient(db[width:], douts.x)
	}
	if dw != nil {
		p.mixed.weightGradient(dw, douts.x, width)
	}
	if dq == nil && dx == nil && dw == nil {
		return
	}
	queries, looking := p.gather(T(p.Scale), p.q, p.ldq), scratch[T]{}
	defer queries.giveBack()
	if dx != nil {
		looking = borrow[T](len(p.rows) * p.Heads * p.stride())
		defer looking.giveBack()
		p.intoSource(looking.x, queries.x, 0)
	}
	back := scratch[T]{}
	if dq != nil {
		back = borrow[T](len(douts.x))
		defer back.giveBack()
	}
	dlooking := p.through(passage[T]{width, 0, douts.x, back.x}, dx != nil, func(it projectedItem, m, n int, dmixed []T, score, mix func([]T)) {
		probabilities, slopes := p.probabilities[it.at:][:m*n], borrow[T](m*n)
		defer slopes.giveBack()
		score(slopes.x)
		for i := range m {
			row, slope := probabilities[i*n:(i+1)*n], slopes.x[i*n:(i+1)*n]
			if p.DropoutP > 0 && p.b != nil { // without dropout it is the same for all
				column := i % p.Heads * p.HeadDim
				affine(1, T(dot(douts.x[(it.lo+i/p.Heads)*width+column:][:p.HeadDim], p.b[width+column:])), slope)
			}
			p.drop(slope, it, i)
			scaledDifference(slope, row, slope, T(dot(row, slope)))
			p.drop(row, it, i)
		}
		if dx != nil {
			d := dx[it.source.Start*lddx:]
			p.gemm(true, false, n, p.Dim, m, slopes.x, n, looking.x[it.lo*p.Heads*p.stride():], p.stride(), d, lddx, true, nil)
			p.gemm(true, false, n, p.Dim, m, probabilities, n, dmixed, p.stride(), d, lddx, true, nil)
		}
		mix(slopes.x)
	})
	defer dlooking.giveBack()
	if dw != nil {
		dlooking.weightGradient(dw, queries.x, 0)
	}
	if dq != nil {
		p.eachRow(func(i, row int) { axpy(T(p.Scale), back.x[i*width:(i+1)*width], dq[row*lddq:]) })
	}
}

// biasGradient adds the gradient of bv.
func (p *Projected[T]) biasGradient(db, douts []T) {
	width := p.Heads * p.HeadDim
	if p.DropoutP == 0 {
		SumColumns(db, douts[:len(p.rows)*width], len(p.rows), width)
		return
	}
	for i := range p.rows {
		for h := range p.Heads {
			column := h * p.HeadDim
			axpy(p.sum[i*p.Heads+h], douts[i*width+column:][:p.HeadDim], db[column:])
		}
	}
}
