package train

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/internal/statestore"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// EncoderCache says where and how what a frozen encoder says of its inputs is
// kept.
type EncoderCache[In any] struct {
	// Bytes of memory for states that no folder keeps.
	Bytes int64
	// Precision of the numbers that are kept: Float32, or BFloat16 in half
	// the room.
	Precision layers.Precision
	// Dir is a folder that keeps states for later runs: "" for none. It is
	// safe to kill a run at any moment, and to run several on one folder.
	// States of another encoder, or another version of this program, are not
	// found, nor are those of an input that has changed.
	Dir string
	// Digest tells inputs apart; it is not needed without Dir. For pictures,
	// [PixelsDigest].
	Digest func(In) [32]byte
	// Warn is told of damage to the folder, and when nothing more can be
	// written to it. Nil: nobody is.
	Warn func(string)
}

// PixelsDigest is a digest of a picture as it was prepared for the encoder,
// so what the processor did is part of it.
func PixelsDigest(p vision.Pixels) (sum [32]byte) {
	h := sha256.New()
	b := binary.LittleEndian.AppendUint64(nil, uint64(p.Height))
	h.Write(binary.LittleEndian.AppendUint64(b, uint64(p.Width)))
	writeFloats(h, p.Data)
	h.Sum(sum[:0])
	return sum
}

// states keeps the output of a frozen encoder for each input: in a folder if
// there is one, else, or where that cannot be written, in memory up to a
// number of bytes. Its methods may be called concurrently.
type states[In any] struct {
	bfloat16 bool
	digest   func(In) [32]byte
	store    *statestore.Store // nil: no folder

	mu      sync.Mutex
	room    int64
	items   map[Key][]float32 // [rows, dim]
	halves  map[Key][]uint16  // the same as bfloat16
	digests map[Key][32]byte  // of the inputs that the folder has
}

func newStates[In any](c EncoderCache[In], store *statestore.Store) *states[In] {
	return &states[In]{
		bfloat16: c.Precision == layers.BFloat16, digest: c.Digest, store: store,
		room: c.Bytes, items: map[Key][]float32{}, halves: map[Key][]uint16{}, digests: map[Key][32]byte{},
	}
}

// has tells whether the states of an input are known to be there.
func (s *states[In]) has(k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, stored := s.digests[k]
	return stored || s.items[k] != nil || s.halves[k] != nil
}

// get returns the states of an input, or nil if they are not there. The input
// itself is only looked at if [states.has] does not know of it. An error says
// that it did, so that the input may never have been read, but that the folder
// has been damaged since.
func (s *states[In]) get(k Key, input In) ([]float32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if item := s.items[k]; item != nil {
		return item, nil
	}
	if item := s.halves[k]; item != nil {
		return widen(item), nil
	}
	if s.store == nil {
		return nil, nil
	}
	digest, known := s.digests[k]
	if !known {
		digest = s.digest(input)
	}
	item := s.store.Get(digest)
	switch {
	case item != nil:
		s.digests[k] = digest
	case known:
		delete(s.digests, k)
		if s.digest(input) != digest {
			return nil, fmt.Errorf("the encoder cache was damaged while in use: the states of input %d are gone; start again, or go on from the last saved state, and they are made anew", k.Index)
		}
	}
	return item, nil
}

// put keeps a copy of an input's states while there is room, and returns them
// as get will.
func (s *states[In]) put(k Key, input In, item []float32) []float32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var half []uint16
	if s.bfloat16 {
		half = narrow(item)
		item = widen(half)
	}
	if s.store != nil {
		if digest := s.digest(input); s.store.Put(digest, item) {
			s.digests[k] = digest
			return item
		}
	}
	switch size := int64(len(item)); {
	case s.bfloat16 && 2*size <= s.room:
		s.halves[k] = half
		s.room -= 2 * size
	case !s.bfloat16 && 4*size <= s.room:
		s.items[k] = append([]float32(nil), item...)
		s.room -= 4 * size
	}
	return item
}

func narrow(x []float32) []uint16 {
	out := make([]uint16, len(x))
	for i, v := range x {
		out[i] = statestore.ToBFloat16(v)
	}
	return out
}

func widen(x []uint16) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = statestore.FromBFloat16(v)
	}
	return out
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
