package layers

import (
	"fmt"

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

// KeyValues is the key/value cache of one attention layer: a growing buffer
// in which each sequence has a slot. Forgetting and reordering sequences
// moves slot numbers, not keys and values; only a fork copies a slot.
type KeyValues struct {
	dim      int
	capacity int        // rows of a slot
	slots    []int      // slot of each sequence
	lengths  []int      // rows used, of each sequence
	keys     mat.Tensor // [slots·capacity, dim]
	values   mat.Tensor
}

// NewKeyValues returns an empty cache for sequences of dim-wide keys and values.
func NewKeyValues(sequences, dim int) *KeyValues {
	c := &KeyValues{dim: dim, slots: make([]int, sequences), lengths: make([]int, sequences)}
	for i := range c.slots {
		c.slots[i] = i
	}
	return c
}

// Length is the number of rows that a sequence has.
func (c *KeyValues) Length(sequence int) int { return c.lengths[sequence] }

// Append adds the rows of each sequence, given by offsets, to its slot.
func (c *KeyValues) Append(k, v Columns, offsets Offsets) {
	if offsets.Len() != len(c.slots) {
		panic(fmt.Sprintf("layers: %d sequences for a cache of %d", offsets.Len(), len(c.slots)))
	}
	if isFloat64(k.X) {
		appendRows[float64](c, k, v, offsets)
	} else {
		appendRows[float32](c, k, v, offsets)
	}
}

// All returns the keys and values and the rows of each sequence in them, for
// [AttentionOptions.Source].
func (c *KeyValues) All() (k, v Columns, source []Span) {
	source = make([]Span, len(c.slots))
	for i, slot := range c.slots {
		start := slot * c.capacity
		source[i] = Span{Start: start, End: start + c.lengths[i]}
	}
	return Columns{X: c.keys}, Columns{X: c.values}, source
}

// Keep selects sequences as [Cache] says.
func (c *KeyValues) Keep(keep []int) {
	used := map[int]bool{}
	for _, i := range keep {
		used[c.slots[i]] = true
	}
	var free []int
	for _, s := range c.slots {
		if !used[s] {
			free = append(free, s)
		}
	}
	next := len(c.slots)
	if c.keys != nil {
		next = c.keys.Shape()[0] / max(c.capacity, 1)
	}
	slots, lengths := make([]int, len(keep)), make([]int, len(keep))
	taken := map[int]bool{}
	for n, i := range keep {
		slot := c.slots[i]
		lengths[n] = c.lengths[i]
		if taken[slot] {
			to := next
			if len(free) > 0 {
				to, free = free[0], free[1:]
			} else {
				next++
			}
			c.fork(slot, to, lengths[n])
			slot = to
		}
		taken[slot], slots[n] = true, slot
	}
	c.slots, c.lengths = slots, lengths
}

func (c *KeyValues) fork(from, to, rows int) {
	if c.keys == nil || rows == 0 {
		return
	}
	if isFloat64(c.keys) {
		forkRows[float64](c, from, to, rows)
	} else {
		forkRows[float32](c, from, to, rows)
	}
}

func forkRows[T kernel.Float](c *KeyValues, from, to, rows int) {
	if (to+1)*c.capacity > c.keys.Shape()[0] {
		resize[T](c, to+1, c.capacity)
	}
	for _, m := range []mat.Tensor{c.keys, c.values} {
		x := values[T](m)
		copy(x[to*c.capacity*c.dim:], x[from*c.capacity*c.dim:][:rows*c.dim])
	}
}

func appendRows[T kernel.Float](c *KeyValues, k, v Columns, offsets Offsets) {
	slots, longest := 0, 0
	for i, s := range c.slots {
		slots = max(slots, s+1)
		longest = max(longest, c.lengths[i]+offsets[i+1]-offsets[i])
	}
	if c.keys == nil || longest > c.capacity {
		resize[T](c, slots, max(longest, 2*c.capacity, 16))
	} else if slots*c.capacity > c.keys.Shape()[0] {
		resize[T](c, slots, c.capacity)
	}
	for _, m := range []struct {
		from Columns
		to   mat.Tensor
	}{{k, c.keys}, {v, c.values}} {
		_, ld := dims(m.from.X)
		from, to := values[T](m.from.X), values[T](m.to)
		for i, s := range c.slots {
			for r := offsets[i]; r < offsets[i+1]; r++ {
				row := s*c.capacity + c.lengths[i] + r - offsets[i]
				copy(to[row*c.dim:(row+1)*c.dim], from[r*ld+m.from.From:])
			}
		}
	}
	for i := range c.slots {
		c.lengths[i] += offsets[i+1] - offsets[i]
	}
}

// resize gives the buffers room for slots of the given capacity.
func resize[T kernel.Float](c *KeyValues, slots, capacity int) {
	grow := func(old mat.Tensor) mat.Tensor {
		x := make([]T, slots*capacity*c.dim)
		if old != nil {
			from := values[T](old)
			for s := range min(slots, old.Shape()[0]/c.capacity) {
				copy(x[s*capacity*c.dim:(s+1)*capacity*c.dim], from[s*c.capacity*c.dim:(s+1)*c.capacity*c.dim])
			}
		}
		return matrix(x, slots*capacity, c.dim)
	}
	c.keys, c.values = grow(c.keys), grow(c.values)
	c.capacity = capacity
}
