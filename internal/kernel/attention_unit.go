package kernel

import "math"

// queryRow is a row of q and the number of rows of its source that it sees, the first ones.
type queryRow struct{ row, visible int }

// sequenceRows appends the rows of one query sequence that looks at lk source rows.
func sequenceRows(rows []queryRow, query Span, lk int, causal bool) []queryRow {
	for r := range query.Len() {
		visible := lk
		if causal {
			visible = min(lk, max(0, lk-query.Len()+r+1))
		}
		rows = append(rows, queryRow{query.Start + r, visible})
	}
	return rows
}

// attentionUnit is the work of one head on one source, for some or all of the rows of q that look at it, in whatever sequences
// they are. It packs keys and values once, and then takes the rows in blocks: the scores of a block fit in the cache. Each row
// is computed on its own terms, so it does not matter which rows it shares a block with.
type attentionUnit[T Float] struct {
	*Attention
	head   int
	item   int // of Source
	source Span
	rows   []queryRow
	keys   []T               // packed; nil: not yet
	memory *scratch[T]       // for this unit and those after it
	next   *attentionUnit[T] // that the same goroutine will do, nil if that is not known
}

// borrow returns n elements of any value, until the next call for a unit with the same memory.
func (u *attentionUnit[T]) borrow(n int) []T {
	u.memory.x = Regrow(u.memory.x, n)
	return u.memory.x
}

// attentionUnits divides the work and calls f for each part. Only when split is set do the rows of one head and source end up in several.
func attentionUnits[T Float](s *Attention, split bool, f func(u *attentionUnit[T])) {
	rows := make([][]queryRow, len(s.Source))
	work := 0
	for i, query := range s.Query {
		source := i
		if s.SourceOf != nil {
			source = s.SourceOf[i]
		}
		lk := s.Source[source].Len()
		rows[source] = sequenceRows(rows[source], query, lk, s.Causal)
		work += max(query.Len(), fewRows) * lk * s.HeadDim * s.Heads
	}
	units := make([]attentionUnit[T], 0, len(s.Query)*s.Heads)
	for i, r := range rows {
		size := max(1, len(r))
		if few := 2 * Threads(); split && len(s.Source)*s.Heads < few {
			size = max(attentionBlock[T](s.Source[i].Len()), divide(len(r), few))
		}
		for h := range s.Heads {
			for lo := 0; lo < len(r); lo += size {
				units = append(units, attentionUnit[T]{s, h, i, s.Source[i], r[lo:min(lo+size, len(r))], nil, nil, nil})
			}
		}
	}
	work += unitWork * len(units)
	Parallel(len(units), 1+len(units)*serialWork/max(1, work), func(lo, hi int) {
		var memory scratch[T]
		defer func() { memory.giveBack() }()
		for i := lo; i < hi; i++ {
			units[i].memory = &memory
			if i+1 < hi {
				units[i].next = &units[i+1]
			}
			f(&units[i])
		}
	})
}

// fewRows take as long as one: the time goes into reading keys and values.
const fewRows = 16

// unitWork are the multiplications that take as long as what comes with each unit, however small.
const unitWork = 1 << 15

// mostRows is more than attentionBlock ever gives, with tiles of up to 16 rows.
const mostRows = 128

// attentionBlock is the number of rows to take at a time when the source has n.
func attentionBlock[T Float](n int) int {
	const scores = 1 << 15
	height, _ := tileShape[T]()
	return roundUp(min(mostRows-16, max(height, scores/max(1, n))), height)
}

// sees is how many of the source's rows some of the given rows see.
func sees(rows []queryRow) int {
	n := 0
	for _, r := range rows {
		n = max(n, r.visible)
	}
	return n
}

// keys and values as operands. As B, a product with the transpose has the source's rows for lanes, a product with the matrix itself its columns.
func (u *attentionUnit[T]) operand(x []T, ld int, side bool) operand[T] {
	return operand[T]{x[u.source.Start*ld+u.head*u.HeadDim:], ld, side}
}

// collected is operand with the source's first n rows brought together in memory if they are scattered.
func (u *attentionUnit[T]) collected(memory, x []T, ld int, side bool, n int) operand[T] {
	if u.SourceRows == nil {
		return u.operand(x, ld, side)
	}
	d := u.HeadDim
	for i, row := range u.SourceRows[u.source.Start:][:n] {
		copy(memory[i*d:(i+1)*d], x[row*ld+u.head*d:])
	}
	return operand[T]{memory, d, side}
}

// fetch brings what the unit will read of x, keys or values, into the cache: in a step of decoding they were last read a whole step before.
func (u *attentionUnit[T]) fetch(x []T, ld int) {
	s := vectorised[T]()
	n := sees(u.rows)
	if s == nil || n == 0 {
		return
	}
	if u.SourceRows == nil {
		s.fetch(single(u.operand(x, ld, false).x), ld, n, u.lines())
		return
	}
	for _, row := range u.SourceRows[u.source.Start:][:n] {
		s.fetch(single(x[row*ld+u.head*u.HeadDim:]), ld, 1, u.lines())
	}
}

// lines is how many lines of the cache the head's part of a row takes.
func (u *attentionUnit[T]) lines() int { return divide(4*u.HeadDim, 64) }

// fetchRows fetches the unit's rows of x.
func (u *attentionUnit[T]) fetchRows(x []T, ld int) {
	if s := vectorised[T](); s != nil {
		for _, r := range u.rows {
			s.fetch(single(x[r.row*ld+u.head*u.HeadDim:]), ld, 1, u.lines())
		}
	}
}

// mostFetched is how many rows of queries, keys and values stay in the second-level cache with those that are in use.
const mostFetched = 256

// scattered is the length of collected's memory for n rows.
func (u *attentionUnit[T]) scattered(n int) int {
	if u.SourceRows == nil {
		return 0
	}
	return n * u.HeadDim
}

// blocks calls f for each block of rows.
func (u *attentionUnit[T]) blocks(n int, f func(rows []queryRow)) {
	size := attentionBlock[T](n)
	for lo := 0; lo < len(u.rows); lo += size {
		f(u.rows[lo:min(lo+size, len(u.rows))])
	}
}

// gather sets dst, [len(rows), HeadDim], to alpha times the head's part of some rows of x.
func (u *attentionUnit[T]) gather(alpha T, dst, x []T, ld int, rows []queryRow) {
	d := u.HeadDim
	for i, r := range rows {
		scale(alpha, dst[i*d:(i+1)*d], x[r.row*ld+u.head*d:][:d])
	}
}

// packAll packs n lanes of k steps.
func packAll[T Float](dst []T, o operand[T], width, n, k int) {
	o.pack(dst, width, span{0, n}, 0, k, span{0, k})
}

// carve cuts a scratch slice into parts.
func carve[T Float](x []T, sizes ...int) [][]T {
	parts := make([][]T, len(sizes))
	for i, n := range sizes {
		parts[i], x = x[:n:n], x[n:]
	}
	return parts
}

func total(sizes ...int) int {
	n := 0
	for _, s := range sizes {
		n += s
	}
	return n
}

// scores sets s, of row stride ld, to the scaled products of some rows of q with the keys.
func (u *attentionUnit[T]) scores(s []T, ld int, q []T, ldq int, rows []queryRow, keys, gathered []T) {
	d := u.HeadDim
	u.gather(T(u.Scale), gathered, q, ldq, rows)
	multiplyPanels(len(rows), sees(rows), d, operand[T]{gathered, d, false}, keys, d, s, ld, false)
}

func (u *attentionUnit[T]) forward(out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	if u.tiled() {
		u.forwardTiled(out, ldo, q, ldq, k, ldk, v, ldv, lse)
		return
	}
	u.forwardPlain(out, ldo, q, ldq, k, ldk, v, ldv, lse)
}

// forwardPlain is forward in the elements' own arithmetic.
func (u *attentionUnit[T]) forwardPlain(out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	height, width := tileShape[T]()
	d, n := u.HeadDim, sees(u.rows)
	block := attentionBlock[T](n)
	apart := RowStride(n)
	sizes := []int{roundUp(n, width) * d, roundUp(d, width) * n, block * apart, block * d, u.scattered(n)}
	direct := len(u.rows) <= height && d%width == 0 // not worth packing the values
	if u.keys != nil {
		sizes[0] = 0
	}
	if direct {
		sizes[1] = 0
	}
	parts := carve(u.borrow(total(sizes...)), sizes...)
	keys, values, scores, gathered, collected := parts[0], parts[1], parts[2], parts[3], parts[4]
	var columns operand[T] // the values
	if n > 0 {
		if u.next != nil && u.keys == nil && (direct || n <= mostFetched) {
			u.next.fetchRows(q, ldq)
			u.next.fetch(k, ldk)
			u.next.fetch(v, ldv)
		}
		if u.keys != nil {
			keys = u.keys
		} else {
			packAll(keys, u.collected(collected, k, ldk, false, n), width, n, d)
		}
		if columns = u.collected(collected, v, ldv, true, n); !direct {
			packAll(values, columns, width, d, n)
		}
	}
	steps := n
	var sums [mostRows]float64
	u.blocks(n, func(rows []queryRow) {
		m, n := len(rows), sees(rows)
		u.scores(scores, apart, q, ldq, rows, keys, gathered)
		u.softmax(scores, apart, n, rows, sums[:], lse, expSum)
		of := operand[T]{scores, apart, false}
		if direct {
			multiplyPanel(m, d, n, of, columns, gathered, d)
		} else {
			multiplyPanels(m, d, n, of, values, steps, gathered, d, false)
		}
		u.scatter(out, ldo, gathered, rows, sums[:])
	})
}

// forwardPacked is forward for float32 with packed keys and values.
func (u *attentionUnit[T]) forwardPacked(out []T, ldo int, q []T, ldq int, p attentionPanel) {
	d, n := u.HeadDim, sees(u.rows)
	block := attentionBlock[T](n)
	sizes := []int{block * n, block * d}
	parts := carve(any(u.borrow(total(sizes...))).([]float32), sizes...)
	scores, gathered := parts[0], parts[1]
	var sums [mostRows]float64
	u.blocks(n, func(rows []queryRow) {
		m := len(rows)
		if n > 0 {
			u.gather(T(u.Scale), any(gathered).([]T), q, ldq, rows)
			p.keys.multiplyAll(m, gathered, d, scores, n)
			u.softmax(any(scores).([]T), n, n, rows, sums[:], nil, expSum)
			p.values.multiplyAll(m, scores, n, gathered, d)
		}
		u.scatter(out, ldo, any(gathered).([]T), rows, sums[:])
	})
}

// softmax turns n scores a row into exponentials, in sums their sum, from which dropout takes some.
func (u *attentionUnit[T]) softmax(scores []T, ld, n int, rows []queryRow, sums []float64, lse []T, exponentials func(dst, x []T, shift T) float64) {
	for i, r := range rows {
		row := scores[i*ld:][:n]
		top := maximum(row[:r.visible])
		sums[i] = exponentials(row, row[:r.visible], top)
		clear(row[r.visible:])
		if lse != nil {
			lse[r.row*u.Heads+u.head] = T(float64(top) + math.Log(sums[i]))
		}
		if u.DropoutP > 0 {
			drop(row[:r.visible], newMask(u.DropoutP, u.Seed, u.head, r.row))
		}
	}
}

// scatter divides rows of x [len(rows), HeadDim] by their sums and puts them into out.
func (u *attentionUnit[T]) scatter(out []T, ldo int, x []T, rows []queryRow, sums []float64) {
	d := u.HeadDim
	for i, r := range rows {
		row := out[r.row*ldo+u.head*d:][:d]
		if r.visible == 0 {
			clear(row)
		} else {
			scale(T(1/sums[i]), row, x[i*d:(i+1)*d])
		}
	}
}

// tiledRows are taken at a time by forwardTiled.
const tiledRows = 256

// forwardTiled is forward with products in bfloat16, and exponentials to match unless there is to be a backward pass.
func (u *attentionUnit[T]) forwardTiled(out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	d, n := u.HeadDim, sees(u.rows)
	sizes := []int{tiledRows * n, tiledRows * d}
	parts := carve(u.borrow(total(sizes...)), sizes...)
	scores, gathered := parts[0], parts[1]
	keys, values, multiply := u.operand(k, ldk, false), u.operand(v, ldv, true), GemmIn[T](true)
	exponentials := coarseExpSum[T]
	if lse != nil {
		exponentials = expSum
	}
	var sums [tiledRows]float64
	for lo := 0; lo < len(u.rows); lo += tiledRows {
		rows := u.rows[lo:min(lo+tiledRows, len(u.rows))]
		m, n := len(rows), sees(rows)
		u.gather(T(u.Scale), gathered, q, ldq, rows)
		multiply(false, true, m, n, d, gathered, d, keys.x, ldk, scores, n, false, nil)
		u.softmax(scores, n, n, rows, sums[:], lse, exponentials)
		multiply(false, false, m, d, n, scores, n, values.x, ldv, gathered, d, false, nil)
		u.scatter(out, ldo, gathered, rows, sums[:])
	}
}

// tiled reports whether products are to be in bfloat16, and there are tiles for them.
func (u *attentionUnit[T]) tiled() bool {
	s := vectorised[T]()
	return u.BFloat16 && s != nil && s.tiles != nil && u.SourceRows == nil && sees(u.rows) > 0
}

func (u *attentionUnit[T]) backward(dq []T, lddq int, dk []T, lddk int, dv []T, lddv int, dout []T, lddo int, out []T, ldo int, q []T, ldq int, k []T, ldk int, v []T, ldv int, lse []T) {
	_, width := tileShape[T]()
	d, n := u.HeadDim, sees(u.rows)
	if n == 0 {
		return
	}
	block := attentionBlock[T](n)
	wide, apart := roundUp(d, width), RowStride(n)
	sizes := []int{roundUp(n, width) * d, roundUp(n, width) * d, wide * n, // keys, values, and keys the other way round
		block * apart, block * apart, block * d, block * d, wide * block}
	parts := carve(u.borrow(total(sizes...)), sizes...)
	keys, values, keyColumns := parts[0], parts[1], parts[2]
	p, dp, queries, douts, columns := parts[3], parts[4], parts[5], parts[6], parts[7]
	if u.next != nil && n <= mostFetched {
		u.next.fetchRows(q, ldq)
		u.next.fetch(k, ldk)
		u.next.fetch(v, ldv)
		u.next.fetchRows(dout, lddo)
		u.next.fetchRows(out, ldo)
	}
	packAll(keys, u.operand(k, ldk, false), width, n, d)
	packAll(values, u.operand(v, ldv, false), width, n, d)
	packAll(keyColumns, u.operand(k, ldk, true), width, d, n)
	steps := n

	// transposed adds to rows of dst the product xᵀ·y, x [m, n] and y [m, d].
	transposed := func(dst []T, ld int, x, y []T, m, n int) {
		packAll(columns, operand[T]{y, d, true}, width, d, m)
		multiplyPanels(n, d, m, operand[T]{x, apart, true}, columns, m, dst[u.source.Start*ld+u.head*d:], ld, true)
	}
	u.blocks(n, func(rows []queryRow) {
		m, n := len(rows), sees(rows)
		if n == 0 {
			return
		}
		u.scores(p, apart, q, ldq, rows, keys, queries)
		u.gather(1, douts, dout, lddo, rows)
		multiplyPanels(m, n, d, operand[T]{douts, d, false}, values, d, dp, apart, false)
		for i, r := range rows {
			row := p[i*apart:][:n]
			expSum(row, row[:r.visible], lse[r.row*u.Heads+u.head])
			clear(row[r.visible:])
			delta := T(dot(douts[i*d:(i+1)*d], out[r.row*ldo+u.head*d:]))
			slope := dp[i*apart:][:n]
			if u.DropoutP == 0 {
				scaledDifference(slope, row, slope, delta)
			} else {
				mask := newMask(u.DropoutP, u.Seed, u.head, r.row)
				drop(slope, mask)
				scaledDifference(slope, row, slope, delta)
				drop(row, mask)
			}
			clear(slope[r.visible:])
		}
		if dv != nil {
			transposed(dv, lddv, p, douts, m, n)
		}
		if dk != nil {
			transposed(dk, lddk, dp, queries, m, n)
		}
		if dq != nil {
			multiplyPanels(m, d, n, operand[T]{dp, apart, false}, keyColumns, steps, queries, d, false)
			for i, r := range rows {
				axpy(T(u.Scale), queries[i*d:(i+1)*d], dq[r.row*lddq+u.head*d:])
			}
		}
	})
}

// weights sets w [rows, source rows] to the probabilities.
func (u *attentionUnit[T]) weights(w []T, q []T, ldq int, k []T, ldk int) {
	_, width := tileShape[T]()
	d, n, lk := u.HeadDim, sees(u.rows), u.source.Len()
	block := attentionBlock[T](n)
	sizes := []int{roundUp(n, width) * d, block * d, u.scattered(n)}
	memory := borrow[T](total(sizes...))
	defer memory.giveBack()
	parts := carve(memory.x, sizes...)
	keys, gathered := parts[0], parts[1]
	if n > 0 {
		packAll(keys, u.collected(parts[2], k, ldk, false, n), width, n, d)
	}
	done := 0
	u.blocks(n, func(rows []queryRow) {
		scores := w[done*lk:]
		u.scores(scores, lk, q, ldq, rows, keys, gathered)
		for i, r := range rows {
			row := scores[i*lk : (i+1)*lk]
			sum := expSum(row, row[:r.visible], maximum(row[:r.visible]))
			clear(row[r.visible:])
			scale(T(1/sum), row, row[:r.visible])
		}
		done += len(rows)
	})
}
