package kernel

import "fmt"

// Span is the rows [Start, End) of a packed matrix.
type Span struct{ Start, End int }

// Len is the number of rows.
func (s Span) Len() int { return s.End - s.Start }

// Attention describes scaled dot-product attention of many heads over packed sequences. Query sequence i has the rows Query[i] of
// q, and looks at the rows Source[SourceOf[i]] of k and v; with SourceOf nil, at Source[i]. Several query sequences may
// share a source. Spans need not be contiguous nor cover all rows, but two spans of Query, or of Source, must not overlap.
//
// Head h has the columns [h·HeadDim, (h+1)·HeadDim) of each matrix. A row that sees no source row gets zeros. What a row gets
// has the same bits whatever other rows are computed with it, except that a NaN or an infinity among the values of a source
// may also reach rows from which the causal mask hides it.
type Attention struct {
	Heads, HeadDim int
	Scale          float64 // of the scores, usually 1/√HeadDim
	Causal         bool    // of Lq query rows and Lk source rows, query row r sees the source rows 0 … Lk-Lq+r
	Query, Source  []Span
	SourceOf       []int
	// SourceRows, unless nil, are the rows of k and v that the spans of Source number. They may repeat; there is no gradient then.
	SourceRows []int

	// BFloat16 lets the products of AttentionForward be those of [GemmBFloat16] on a machine that is faster at them. Otherwise they are
	// sums of float32, as in [GemmFew], which for so short ones takes no more time than tiles.
	BFloat16 bool

	// DropoutP, in [0, 1), is the probability of dropping a probability. The mask is a hash of (Seed, head, row of q, index within
	// the source), so the backward pass finds the same one. 0: none.
	DropoutP float64
	Seed     uint64
}

func (s *Attention) source(sequence int) int {
	if s.SourceOf == nil {
		return sequence
	}
	return s.SourceOf[sequence]
}

// check panics unless the spans lie within a matrix of Heads·HeadDim columns.
func (s *Attention) check(name string, spans []Span, length, ld int) {
	width := s.Heads * s.HeadDim
	if ld < width {
		panic(fmt.Sprintf("kernel: attention: %s has row stride %d, want at least %d heads × %d", name, ld, s.Heads, s.HeadDim))
	}
	for i, span := range spans {
		if span.Start < 0 || span.End < span.Start || span.Len() > 0 && (span.End-1)*ld+width > length {
			panic(fmt.Sprintf("kernel: attention: rows [%d, %d) of span %d are outside %s, a slice of %d with row stride %d",
				span.Start, span.End, i, name, length, ld))
		}
	}
}

// checkSource is check of k or v.
func (s *Attention) checkSource(name string, length, ld int) {
	if s.SourceRows == nil {
		s.check(name, s.Source, length, ld)
		return
	}
	for i, span := range s.Source {
		if span.Start < 0 || span.End < span.Start || span.End > len(s.SourceRows) {
			panic(fmt.Sprintf("kernel: attention: span %d is [%d, %d) of %d source rows", i, span.Start, span.End, len(s.SourceRows)))
		}
	}
	low, high := 0, -1
	for _, row := range s.SourceRows {
		low, high = min(low, row), max(high, row)
	}
	s.check(name, []Span{{low, high + 1}}, length, ld)
}

// checkFields panics unless the fields fit together.
func (s *Attention) checkFields() {
	if s.Heads < 1 || s.HeadDim < 1 {
		panic(fmt.Sprintf("kernel: attention: %d heads × %d, want at least one of each", s.Heads, s.HeadDim))
	}
	if s.DropoutP < 0 || s.DropoutP >= 1 {
		panic(fmt.Sprintf("kernel: attention: DropoutP is %v, want [0, 1)", s.DropoutP))
	}
	if s.SourceOf != nil {
		checkLen("attention: SourceOf", len(s.SourceOf), len(s.Query))
		for i, source := range s.SourceOf[:len(s.Query)] {
			if source < 0 || source >= len(s.Source) {
				panic(fmt.Sprintf("kernel: attention: query sequence %d looks at source %d of %d", i, source, len(s.Source)))
			}
		}
	} else if len(s.Source) < len(s.Query) {
		panic(fmt.Sprintf("kernel: attention: %d query sequences but %d sources", len(s.Query), len(s.Source)))
	}
}

func (s *Attention) checkStats(lse int) {
	for _, span := range s.Query {
		checkLen("attention: lse", lse, span.End*s.Heads)
	}
}

// AttentionForward sets the rows of out that Query names: out = dropout(softmax(Scale·q·kᵀ))·v, head by head. Each matrix has
// Heads·HeadDim columns from its slice's first element and its own row stride, so that parts of a fused q, k, v matrix
// will do. lse [rows of q, Heads] receives the logarithm of each row's sum of exponentials for AttentionBackward; nil: not
// stored.
func AttentionForward[T Float](s *Attention, out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	s.checkFields()
	s.check("out", s.Query, len(out), ldo)
	s.check("q", s.Query, len(q), ldq)
	s.checkSource("k", len(k), ldk)
	s.checkSource("v", len(v), ldv)
	if lse != nil {
		s.checkStats(len(lse))
	}
	attentionUnits[T](s, true, func(u *attentionUnit[T]) { u.forward(out, ldo, q, ldq, k, ldk, v, ldv, lse) })
}

// AttentionKeys are the keys and the values of every source in the order in which AttentionForward reads them, for many calls with the same
// ones.
type AttentionKeys[T Float] struct {
	heads, headDim int
	lengths        []int            // of the sources
	panels         []attentionPanel // of each source and head, for float32
	memory         []float32        // borrowed, of the panels
	keys           [][]T            // of each source and head, for float64
	values         []T              // likewise, the rows up to the last
}

// attentionPanel is one head's part of a source.
type attentionPanel struct{ keys, values *Held }

// PackAttentionKeys packs k and v for the heads and sources of s, whose SourceRows and Query do not matter. With s.BFloat16 those of
// float32 are rounded to bfloat16.
func PackAttentionKeys[T Float](s *Attention, k []T, ldk int, v []T, ldv int) *AttentionKeys[T] {
	s.check("k", s.Source, len(k), ldk)
	s.check("v", s.Source, len(v), ldv)
	p := &AttentionKeys[T]{heads: s.Heads, headDim: s.HeadDim}
	for _, source := range s.Source {
		p.lengths = append(p.lengths, source.Len())
	}
	if k32, ok := any(k).([]float32); ok {
		p.panels, p.memory = packAttention(s, k32, ldk, any(v).([]float32), ldv)
		return p
	}
	rows, columns := 0, s.Heads*s.HeadDim
	for _, source := range s.Source {
		if source.Len() > 0 {
			rows = max(rows, source.End)
		}
	}
	for i := range rows {
		p.values = append(p.values, v[i*ldv:][:columns]...)
	}
	_, width := tileShape[T]()
	p.keys = make([][]T, len(s.Source)*s.Heads)
	Parallel(len(p.keys), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			u := attentionUnit[T]{Attention: s, head: i % s.Heads, source: s.Source[i/s.Heads]}
			n := u.source.Len()
			p.keys[i] = make([]T, roundUp(n, width)*s.HeadDim)
			if n > 0 {
				packAll(p.keys[i], u.operand(k, ldk, false), width, n, s.HeadDim)
			}
		}
	})
	return p
}

// packAttention packs keys and values one after the other, those of a head and source side by side, in memory that is borrowed.
func packAttention(s *Attention, k []float32, ldk int, v []float32, ldv int) (panels []attentionPanel, borrowed []float32) {
	format := HeldFloat32
	if s.BFloat16 {
		format = HeldBFloat16
	}
	panels = make([]attentionPanel, len(s.Source)*s.Heads)
	size := 0
	for i := range panels {
		n := s.Source[i/s.Heads].Len()
		panels[i] = attentionPanel{&Held{k: s.HeadDim, n: n, format: format}, &Held{k: n, n: s.HeadDim, format: format}}
		size += panels[i].keys.size() + panels[i].values.size()
	}
	borrowed, memory := borrowBytes(size)
	for _, p := range panels {
		for _, h := range []*Held{p.keys, p.values} {
			h.data, memory = memory[:h.size()], memory[h.size():]
		}
	}
	Parallel(len(panels), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			u := attentionUnit[float32]{Attention: s, head: i % s.Heads, source: s.Source[i/s.Heads]}
			if u.source.Len() > 0 {
				panels[i].keys.fill(u.operand(k, ldk, false))
				panels[i].values.fill(u.operand(v, ldv, true))
			}
		}
	})
	return panels, borrowed
}

// Release lets the memory be used again. Nothing else may be done with the keys and values afterwards.
func (p *AttentionKeys[T]) Release() {
	GiveBack(p.memory)
	*p = AttentionKeys[T]{}
}

// Forward is [AttentionForward] with the packed keys and values, without a causal mask. Sums are of the elements' own arithmetic.
func (p *AttentionKeys[T]) Forward(s *Attention, out []T, ldo int, q []T, ldq int) {
	s.checkFields()
	s.check("out", s.Query, len(out), ldo)
	s.check("q", s.Query, len(q), ldq)
	if s.Causal || s.SourceRows != nil || s.Heads != p.heads || s.HeadDim != p.headDim || len(s.Source) != len(p.lengths) {
		panic(fmt.Sprintf("kernel: attention: keys packed for %d sources and %d heads × %d do not fit", len(p.lengths), p.heads, p.headDim))
	}
	for i, source := range s.Source {
		if source.Len() != p.lengths[i] {
			panic(fmt.Sprintf("kernel: attention: source %d has %d rows, its packed keys %d", i, source.Len(), p.lengths[i]))
		}
	}
	attentionUnits[T](s, true, func(u *attentionUnit[T]) {
		if p.panels != nil {
			u.forwardPacked(out, ldo, q, ldq, p.panels[u.item*s.Heads+u.head])
			return
		}
		u.keys = p.keys[u.item*s.Heads+u.head]
		u.forwardPlain(out, ldo, q, ldq, nil, 0, p.values, s.Heads*s.HeadDim, nil)
	})
}

// AttentionBackward adds the gradients of AttentionForward to dq, dk and dv; any of them may be nil. dout is the gradient of out,
// and out and lse are what AttentionForward stored. The probabilities are computed again, a block at a time.
func AttentionBackward[T Float](s *Attention, dq []T, lddq int, dk []T, lddk int, dv []T, lddv int, dout []T, lddo int, out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	s.checkFields()
	if s.SourceRows != nil {
		panic("kernel: attention: there is no gradient with SourceRows")
	}
	if dq != nil {
		s.check("dq", s.Query, len(dq), lddq)
	}
	if dk != nil {
		s.check("dk", s.Source, len(dk), lddk)
	}
	if dv != nil {
		s.check("dv", s.Source, len(dv), lddv)
	}
	s.check("dout", s.Query, len(dout), lddo)
	s.check("out", s.Query, len(out), ldo)
	s.check("q", s.Query, len(q), ldq)
	s.check("k", s.Source, len(k), ldk)
	s.check("v", s.Source, len(v), ldv)
	s.checkStats(len(lse))

	attentionUnits[T](s, false, func(u *attentionUnit[T]) {
		u.backward(dq, lddq, dk, lddk, dv, lddv, dout, lddo, out, ldo, q, ldq, k, ldk, v, ldv, lse)
	})
}

// AttentionWeights sets w [Heads, Lq, Lk] to the probabilities of one query sequence, before dropout. Those that a causal mask
// hides are zero.
func AttentionWeights[T Float](s *Attention, w []T, sequence int, q []T, ldq int, k []T, ldk int) {
	s.checkFields()
	s.check("q", s.Query, len(q), ldq)
	s.checkSource("k", len(k), ldk)
	query, source := s.Query[sequence], s.Source[s.source(sequence)]
	lq, lk := query.Len(), source.Len()
	checkLen("AttentionWeights: w", len(w), s.Heads*lq*lk)
	rows := sequenceRows(nil, query, lk, s.Causal)
	Parallel(s.Heads, 1+serialWork/max(1, lq*lk*s.HeadDim), func(lo, hi int) {
		for h := lo; h < hi; h++ {
			u := attentionUnit[T]{Attention: s, head: h, source: source, rows: rows}
			u.weights(w[h*lq*lk:(h+1)*lq*lk], q, ldq, k, ldk)
		}
	})
}
