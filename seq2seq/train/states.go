package train

import (
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// states keeps the output of a frozen encoder for each input, up to a number
// of bytes. Its methods may be called concurrently.
type states struct {
	mu    sync.Mutex
	room  int64
	items map[Key][]float32 // [rows, dim]
}

func newStates(bytes int64) *states {
	return &states{room: bytes, items: map[Key][]float32{}}
}

func (s *states) get(k Key) []float32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[k]
}

// put keeps a copy of an input's states while there is room.
func (s *states) put(k Key, item []float32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size := int64(4 * len(item)); size <= s.room {
		s.items[k] = append([]float32(nil), item...)
		s.room -= size
	}
}

// split lists the states of each input, and pack puts them together.
func split(p layers.Packed) [][]float32 {
	data, dim := mat.Data[float32](p.States.Value()), p.States.Shape()[1]
	items := make([][]float32, p.Offsets.Len())
	for i := range items {
		items[i] = data[p.Offsets[i]*dim : p.Offsets[i+1]*dim]
	}
	return items
}

func pack(items [][]float32, dim int) layers.Packed {
	lengths, total := make([]int, len(items)), 0
	for i, item := range items {
		lengths[i] = len(item) / dim
		total += len(item)
	}
	data := make([]float32, 0, total)
	for _, item := range items {
		data = append(data, item...)
	}
	return layers.Packed{
		States:  mat.NewDense[float32](mat.WithShape(total/dim, dim), mat.WithBacking(data)),
		Offsets: layers.OffsetsOf(lengths...),
	}
}
