package kernel

import (
	"fmt"
	"math"
)

// Span is the rows [Start, End) of a packed matrix.
type Span struct{ Start, End int }

// Len is the number of rows.
func (s Span) Len() int { return s.End - s.Start }

// Attention describes scaled dot-product attention of many heads over packed sequences. Query sequence i has the rows Query[i] of
// q, and looks at the rows Source[SourceOf[i]] of k and v; with SourceOf nil, at Source[i]. Several query sequences may
// share a source. Spans need not be contiguous nor cover all rows, but two spans of Query, or of Source, must not overlap.
//
// Head h has the columns [h·HeadDim, (h+1)·HeadDim) of each matrix. A row that sees no source row gets zeros.
type Attention struct {
	Heads, HeadDim int
	Scale          float64 // of the scores, usually 1/√HeadDim
	Causal         bool    // of Lq query rows and Lk source rows, query row r sees the source rows 0 … Lk-Lq+r
	Query, Source  []Span
	SourceOf       []int

	// DropoutP is the probability of dropping a probability. The mask is a hash of (Seed, head, row of q, index within the
	// source), so the backward pass finds the same one. 0: none.
	DropoutP float64
	Seed     uint64
}

func (s *Attention) source(sequence int) int {
	if s.SourceOf == nil {
		return sequence
	}
	return s.SourceOf[sequence]
}

// visible is the number of source rows that query row r of lq sees, of lk.
func (s *Attention) visible(r, lq, lk int) int {
	if !s.Causal {
		return lk
	}
	return min(lk, max(0, lk-lq+r+1))
}

// keep is the factor of the probability of (head, row of q, index within the source): 0 when it is dropped, else 1/(1-DropoutP).
func (s *Attention) keep(head, row, index int) float64 {
	if s.DropoutP == 0 {
		return 1
	}
	x := s.Seed ^ mix(uint64(head)<<32^uint64(row))
	if float64(mix(x+uint64(index)*0x9e3779b97f4a7c15)>>11)*0x1p-53 < s.DropoutP {
		return 0
	}
	return 1 / (1 - s.DropoutP)
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// check panics unless the spans lie within a matrix of Heads·HeadDim columns.
func (s *Attention) check(name string, spans []Span, length, ld int) {
	width := s.Heads * s.HeadDim
	if ld < width {
		panic(fmt.Sprintf("kernel: attention: %s has row stride %d, want at least %d heads × %d", name, ld, s.Heads, s.HeadDim))
	}
	for i, span := range spans {
		if span.Start < 0 || span.End < span.Start || span.Len() > 0 && width > 0 && (span.End-1)*ld+width > length {
			panic(fmt.Sprintf("kernel: attention: rows [%d, %d) of span %d are outside %s, a slice of %d with row stride %d",
				span.Start, span.End, i, name, length, ld))
		}
	}
}

func (s *Attention) checkSources() {
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
	s.checkSources()
	s.check("out", s.Query, len(out), ldo)
	s.check("q", s.Query, len(q), ldq)
	s.check("k", s.Source, len(k), ldk)
	s.check("v", s.Source, len(v), ldv)
	if lse != nil {
		s.checkStats(len(lse))
	}
	Parallel(len(s.Query)*s.Heads, 1, func(lo, hi int) {
		for unit := lo; unit < hi; unit++ {
			sequence, h := unit/s.Heads, unit%s.Heads
			query, source := s.Query[sequence], s.Source[s.source(sequence)]
			scores := make([]T, source.Len())
			c := h * s.HeadDim
			for r := range query.Len() {
				row := query.Start + r
				n := s.visible(r, query.Len(), source.Len())
				stat := softmaxScores(s, scores[:n], q[row*ldq+c:], k[source.Start*ldk+c:], ldk)
				if lse != nil {
					lse[row*s.Heads+h] = stat
				}
				o := out[row*ldo+c : row*ldo+c+s.HeadDim]
				clear(o)
				for j, p := range scores[:n] {
					Axpy(p*T(s.keep(h, row, j)), v[(source.Start+j)*ldv+c:][:s.HeadDim], o)
				}
			}
		}
	})
}

// softmaxScores sets p to the softmax of q's scaled products with the rows of k, and returns the log-sum-exp.
func softmaxScores[T Float](s *Attention, p, q, k []T, ldk int) T {
	top := math.Inf(-1)
	for j := range p {
		var sum T
		for d, x := range k[j*ldk : j*ldk+s.HeadDim] {
			sum += q[d] * x
		}
		p[j] = sum * T(s.Scale)
		top = max(top, float64(p[j]))
	}
	var sum float64
	for j := range p {
		e := math.Exp(float64(p[j]) - top)
		p[j] = T(e)
		sum += e
	}
	for j := range p {
		p[j] = T(float64(p[j]) / sum)
	}
	if len(p) == 0 {
		return T(math.Inf(-1))
	}
	return T(top + math.Log(sum))
}

// AttentionBackward adds the gradients of AttentionForward to dq, dk and dv; any of them may be nil. dout is the gradient of out,
// and out and lse are what AttentionForward stored. The probabilities are computed again, a block at a time.
func AttentionBackward[T Float](s *Attention, dq []T, lddq int, dk []T, lddk int, dv []T, lddv int, dout []T, lddo int, out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	s.checkSources()
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

	// One unit of work is a head of a source with all the query sequences that look at it, so that sums into dk and dv
	// have one order.
	queries := make([][]int, len(s.Source))
	for i := range s.Query {
		queries[s.source(i)] = append(queries[s.source(i)], i)
	}
	d := s.HeadDim
	Parallel(len(s.Source)*s.Heads, 1, func(lo, hi int) {
		for unit := lo; unit < hi; unit++ {
			index, h := unit/s.Heads, unit%s.Heads
			source, c := s.Source[index], h*d
			for _, sequence := range queries[index] {
				query := s.Query[sequence]
				for r := range query.Len() {
					row := query.Start + r
					dor, qr := dout[row*lddo+c:][:d], q[row*ldq+c:][:d]
					delta := Dot(dor, out[row*ldo+c:][:d])
					stat := float64(lse[row*s.Heads+h])
					for j := range s.visible(r, query.Len(), source.Len()) {
						sr := source.Start + j
						var score T
						for e, x := range k[sr*ldk+c : sr*ldk+c+d] {
							score += qr[e] * x
						}
						p := math.Exp(float64(score*T(s.Scale)) - stat)
						keep := s.keep(h, row, j)
						if dv != nil {
							Axpy(T(p*keep), dor, dv[sr*lddv+c:])
						}
						ds := T(p * (keep*Dot(dor, v[sr*ldv+c:]) - delta) * s.Scale)
						if dq != nil {
							Axpy(ds, k[sr*ldk+c:][:d], dq[row*lddq+c:])
						}
						if dk != nil {
							Axpy(ds, qr, dk[sr*lddk+c:])
						}
					}
				}
			}
		}
	})
}

// AttentionWeights sets w [Heads, Lq, Lk] to the probabilities of one query sequence, before dropout. Those that a causal mask
// hides are zero.
func AttentionWeights[T Float](s *Attention, w []T, sequence int, q []T, ldq int, k []T, ldk int) {
	s.checkSources()
	s.check("q", s.Query, len(q), ldq)
	s.check("k", s.Source, len(k), ldk)
	query, source := s.Query[sequence], s.Source[s.source(sequence)]
	lq, lk := query.Len(), source.Len()
	checkLen("AttentionWeights: w", len(w), s.Heads*lq*lk)
	Parallel(s.Heads*lq, 1, func(lo, hi int) {
		for unit := lo; unit < hi; unit++ {
			h, r := unit/lq, unit%lq
			n := s.visible(r, lq, lk)
			row := w[unit*lk : (unit+1)*lk]
			softmaxScores(s, row[:n], q[(query.Start+r)*ldq+h*s.HeadDim:], k[source.Start*ldk+h*s.HeadDim:], ldk)
			clear(row[n:])
		}
	})
}
