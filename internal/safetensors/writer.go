package safetensors

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
)

// Tensor is a tensor to be written: Data [product of Shape], stored as DType, which is F32, F16 or BF16.
type Tensor struct {
	Info
	Data []float32
}

// WriteFile replaces the file at path, as a whole or not at all: see atomicfile.
func WriteFile(path string, tensors []Tensor, metadata map[string]string) error {
	return atomicfile.Write(path, func(w io.Writer) error { return Write(w, tensors, metadata) })
}

// Write writes a file to w. Tensors are ordered by decreasing element size and then by name, as Hugging Face's library
// does, so equal tensors give equal files. Hugging Face expects the metadata {"format": "pt"}.
//
// It is an error if a finite value is too large for F16; other values are rounded to the nearest, ties to even. It
// panics if a name occurs twice or is "__metadata__", if the type cannot be written, or if the data do not fit the
// shape.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.DType, b.DType), cmp.Compare(a.Name, b.Name))
	})
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return err
		}
	}
	header, err := header(tensors, metadata)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(w, pieceSize)
	if _, err := buf.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.write(buf); err != nil {
			return err
		}
	}
	return buf.Flush()
}

func (t Tensor) check() error {
	if t.DType != F32 && t.DType != F16 && t.DType != BF16 {
		panic(fmt.Sprintf("safetensors: tensor %q: cannot write %q, expected F32, F16 or BF16", t.Name, t.DType))
	}
	if t.Elements() != len(t.Data) {
		panic(fmt.Sprintf("safetensors: tensor %q: shape %v, %d values", t.Name, t.Shape, len(t.Data)))
	}
	if t.DType != F16 {
		return nil
	}
	for i, v := range t.Data {
		if math.Abs(float64(v)) >= 65520 && !math.IsInf(float64(v), 0) {
			return fmt.Errorf("write tensor %q: element %d is %g, too large for F16", t.Name, i, v)
		}
	}
	return nil
}

// header returns the length and the JSON, padded so that the data start at a multiple of 8. It is built by hand where
// the order counts, which a map would lose.
func header(sorted []Tensor, metadata map[string]string) ([]byte, error) {
	h := append(make([]byte, 8), '{')
	member := func(key string, value any) error {
		if len(h) > 9 {
			h = append(h, ',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		h = append(append(append(h, k...), ':'), v...)
		return nil
	}
	if len(metadata) > 0 {
		if err := member("__metadata__", metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{"__metadata__": true}
	offset := int64(0)
	for _, t := range sorted {
		if seen[t.Name] {
			panic(fmt.Sprintf("safetensors: the name %q is taken", t.Name))
		}
		seen[t.Name] = true
		end := offset + int64(len(t.Data))*int64(t.DType.Size())
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		err := member(t.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{offset, end}})
		if err != nil {
			return nil, err
		}
		offset = end
	}
	h = append(h, '}')
	for len(h)%8 != 0 {
		h = append(h, ' ')
	}
	if len(h)-8 > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes, the format allows %d", len(h)-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(h, uint64(len(h)-8))
	return h, nil
}

// write encodes the data through the buffer's free space, so nothing is allocated; and where they lie in a mapped file,
// it does not leave them in memory, or a model that is saved would be there as a whole.
func (t Tensor) write(buf *bufio.Writer) error {
	defer mmap.Release(t.Data)
	size := t.DType.Size()
	for data := t.Data; len(data) > 0; {
		if buf.Available() < size {
			if err := buf.Flush(); err != nil {
				return err
			}
		}
		n := min(len(data), buf.Available()/size)
		piece := buf.AvailableBuffer()[:n*size]
		Encode(piece, t.DType, data[:n])
		if _, err := buf.Write(piece); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
