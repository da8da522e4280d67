package layers

import (
	"fmt"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// Cache is what a decoder remembers of the tokens it has seen, so that the
// next call computes the new ones only. It is an argument and a result of
// decoding, never a model's state.
type Cache interface {
	// Sequences is the number of sequences it holds.
	Sequences() int
	// Keep selects sequences: sequence i becomes what sequence keep[i] was.
	// One left out is forgotten, one named twice is forked.
	Keep(keep []int)
}

// TruncatableCache is a cache that can forget the newest tokens, as guesses
// that turn out to be wrong.
type TruncatableCache interface {
	Cache
	// Truncate keeps the first lengths[i] tokens of each sequence i.
	Truncate(lengths []int)
}

// ReleasableCache is a cache whose memory can be used for others once it is not
// needed any more.
type ReleasableCache interface {
	Cache
	// Release gives the memory back: nothing may be done with the cache afterwards.
	Release()
}

// KeyValues is the key/value cache of a decoder: a growing matrix for each
// attention layer, with a row for each token, and for each sequence the
// numbers of its rows, which are the same in all layers. Forgetting,
// reordering and forking sequences moves row numbers and no keys or values:
// forks share the rows of their past, and add rows of their own.
type KeyValues struct {
	dim       int
	layers    []LayerKeyValues
	sequences [][]int // rows of each sequence, in order
	capacity  int     // rows that there is room for
	fresh     int     // rows from this one on have never been used
	free      []int   // rows before that one, used but by no sequence any more: the last is taken first

	// What the attention of the present step reads and writes.
	newest []int  // row for each new token
	source []Span // of each sequence: in rows or, if that is nil, in the matrices
	rows   []int
}

// LayerKeyValues is what one layer has in a cache.
type LayerKeyValues struct {
	cache *KeyValues
	rows  mat.Tensor // [capacity, 2·dim]: the keys and, beside them, the values
}

// NewKeyValues returns an empty cache for sequences of dim-wide keys and
// values in a number of layers.
func NewKeyValues(layers, sequences, dim int) *KeyValues {
	c := &KeyValues{dim: dim, layers: make([]LayerKeyValues, layers), sequences: make([][]int, sequences)}
	for i := range c.layers {
		c.layers[i].cache = c
	}
	return c
}

// Sequences is the number of sequences.
func (c *KeyValues) Sequences() int { return len(c.sequences) }

// Length is the number of tokens that a sequence has.
func (c *KeyValues) Length(sequence int) int { return len(c.sequences[sequence]) }

// Layer is one of the layers.
func (c *KeyValues) Layer(i int) *LayerKeyValues { return &c.layers[i] }

// Keep selects sequences as [Cache] says.
func (c *KeyValues) Keep(keep []int) {
	kept, taken := make([][]int, len(keep)), make([]bool, len(c.sequences))
	for n, i := range keep {
		kept[n] = c.sequences[i]
		if taken[i] {
			kept[n] = slices.Clone(kept[n]) // numbers only; what follows goes into rows of its own
		}
		taken[i] = true
	}
	c.sequences = kept
}

// Truncate forgets all but the first so many tokens of each sequence.
func (c *KeyValues) Truncate(lengths []int) {
	if len(lengths) != len(c.sequences) {
		panic(fmt.Sprintf("layers: lengths of %d sequences for a cache of %d", len(lengths), len(c.sequences)))
	}
	used := 0
	for i, n := range lengths {
		c.sequences[i] = c.sequences[i][:n]
		for _, row := range c.sequences[i] {
			used = max(used, row+1)
		}
	}
	// What follows takes the rows at the end again, so that it stays in a run.
	c.fresh = used
	c.free = slices.DeleteFunc(c.free, func(row int) bool { return row >= used })
}

// Release gives the memory back, as [ReleasableCache] says.
func (c *KeyValues) Release() {
	for i := range c.layers {
		drop(c.layers[i].rows)
	}
	*c = KeyValues{}
}

// Extend makes room for the next tokens of each sequence, given by offsets.
// Each layer then needs a call of [LayerKeyValues.Append].
func (c *KeyValues) Extend(offsets Offsets) {
	if offsets.Len() != len(c.sequences) {
		panic(fmt.Sprintf("layers: %d sequences for a cache of %d", offsets.Len(), len(c.sequences)))
	}
	if n := offsets.Rows(); n > c.capacity-c.fresh+len(c.free) {
		c.reclaim(n)
	}
	c.newest = c.newest[:0]
	for i := range c.sequences {
		for range offsets[i+1] - offsets[i] {
			row := c.take()
			c.sequences[i], c.newest = append(c.sequences[i], row), append(c.newest, row)
		}
	}
	c.look()
}

// take gives a row that no sequence has.
func (c *KeyValues) take() int {
	if n := len(c.free); n > 0 {
		row := c.free[n-1]
		c.free = c.free[:n-1]
		return row
	}
	c.fresh++
	return c.fresh - 1
}

// reclaim finds the rows that no sequence has any more, and makes room for
// more rows unless half of them are free and n are, and for some tokens of each
// sequence: so it is seldom needed.
func (c *KeyValues) reclaim(n int) {
	used := make([]bool, c.fresh)
	for _, rows := range c.sequences {
		for _, row := range rows {
			used[row] = true
		}
	}
	c.free = c.free[:0]
	for row := c.fresh - 1; row >= 0; row-- {
		if !used[row] {
			c.free = append(c.free, row)
		}
	}
	live := c.fresh - len(c.free)
	c.capacity = max(c.capacity, 2*live, live+n, 16*len(c.sequences))
}

// look finds the rows of each sequence. Where they are one after the other in
// all sequences, attention needs no list of them.
func (c *KeyValues) look() {
	c.source, c.rows = c.source[:0], c.rows[:0]
	runs := true
	for _, rows := range c.sequences {
		start := len(c.rows)
		c.rows = append(c.rows, rows...)
		c.source = append(c.source, Span{Start: start, End: len(c.rows)})
		for i, row := range rows {
			runs = runs && row == rows[0]+i
		}
	}
	if !runs {
		return
	}
	for i, rows := range c.sequences {
		c.source[i] = Span{}
		if n := len(rows); n > 0 {
			c.source[i] = Span{Start: rows[0], End: rows[0] + n}
		}
	}
	c.rows = c.rows[:0]
}

// Append adds the keys and values of the newest tokens, which stand side by
// side in kv [tokens, ≥2·dim].
func (l *LayerKeyValues) Append(kv Columns) {
	if rows, cols := dims(kv.X); rows != len(l.cache.newest) || kv.From+2*l.cache.dim > cols {
		panic(fmt.Sprintf("layers: columns from %d of a matrix %v for the keys and values of %d tokens, %d wide each", kv.From, kv.X.Shape(), len(l.cache.newest), l.cache.dim))
	}
	if isFloat64(kv.X) {
		appendRows[float64](l, kv)
	} else {
		appendRows[float32](l, kv)
	}
}

func appendRows[T kernel.Float](l *LayerKeyValues, kv Columns) {
	width := 2 * l.cache.dim
	if l.rows == nil || l.rows.Shape()[0] < l.cache.capacity {
		grown := buffer[T](l.cache.capacity * width)
		if l.rows != nil {
			copy(grown, values[T](l.rows))
			Drop(kv.X, l.rows)
		}
		l.rows = matrix(grown, l.cache.capacity, width)
	}
	from, to := values[T](kv.X), values[T](l.rows)
	_, ld := dims(kv.X)
	for i, row := range l.cache.newest {
		copy(to[row*width:(row+1)*width], from[i*ld+kv.From:])
	}
}

// All returns the keys and values of all sequences, and the
// [AttentionOptions.Source] and [AttentionOptions.SourceRows] that say which
// are whose. They are valid until the next Extend or Keep.
func (l *LayerKeyValues) All() (k, v Columns, source []Span, rows []int) {
	if rows = l.cache.rows; len(rows) == 0 {
		rows = nil
	}
	return Columns{X: l.rows}, Columns{X: l.rows, From: l.cache.dim}, l.cache.source, rows
}
