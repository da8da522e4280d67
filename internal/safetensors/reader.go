// Package safetensors reads and writes the format of the same name: a JSON header that lists tensors, and their bytes,
// little endian, one after the other (https://github.com/huggingface/safetensors).
//
// Start with New, which takes an io.ReaderAt and so serves files, embedded files and memory alike. It checks the whole
// header, so a File that was opened describes exactly the bytes that are there. Tensors are read one by one, in
// pieces, into the caller's float32 slice: F32, F16, BF16 and F64 are converted on the way, and no second copy of a
// large tensor is made. Of a file in memory, F32 tensors can be had in place. WriteFile writes F32, F16 or BF16. The
// conversions of half floats are exported for others.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
)

// maxHeader is the format's own limit for the header, in bytes.
const maxHeader = 100_000_000

// File is an opened file. Its methods may be called by several goroutines at once if the reader allows it, as
// *os.File does.
type File struct {
	name     string
	r        io.ReaderAt
	memory   []byte  // the whole file, if it is in memory
	tensors  []entry // in the order of their data
	index    map[string]int
	metadata map[string]string
}

type entry struct {
	Info
	start, end int64 // from the start of the file
}

// New reads and checks the header of a file of the given size in bytes. The name is used in errors only. The reader
// must stay open as long as the File is used.
//
// It is an error if the file is shorter or longer than its header says, if the header is larger than 100 MB or no
// JSON, if a name occurs twice, a type is unknown, a shape does not fit its bytes, or if tensors overlap or leave
// holes.
func New(name string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, r: r, index: map[string]int{}}
	header, err := readHeader(r, size)
	if err == nil {
		err = f.parse(header)
	}
	if err == nil {
		err = f.layOut(8+int64(len(header)), size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// NewMapped is New for a file that is in memory, such as mmap.Private gives: its tensors can be had InPlace.
func NewMapped(name string, memory []byte) (*File, error) {
	f, err := New(name, bytes.NewReader(memory), int64(len(memory)))
	if err == nil {
		f.memory = memory
	}
	return f, err
}

func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 8 {
		return nil, fmt.Errorf("no safetensors file: %d bytes, expected at least 8", size)
	}
	var length [8]byte
	if err := readFull(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("no safetensors file: a header of %d bytes, expected at most %d", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, fmt.Errorf("truncated: a header of %d bytes in a file of %d", n, size)
	}
	header := make([]byte, n)
	if err := readFull(r, header, 8); err != nil {
		return nil, err
	}
	if n == 0 || header[0] != '{' {
		return nil, errors.New("no safetensors file: the header does not start with '{'")
	}
	if !utf8.Valid(header) {
		return nil, errors.New("header is not UTF-8")
	}
	return header, nil
}

// parse fills tensors and metadata. Offsets are still relative to the data.
func (f *File) parse(header []byte) error {
	dec := json.NewDecoder(bytes.NewReader(header))
	err := eachMember(dec, func(name string) error {
		if name == "__metadata__" {
			f.metadata = map[string]string{}
			return eachMember(dec, func(key string) error {
				var value *string
				if err := dec.Decode(&value); err != nil || value == nil {
					return fmt.Errorf("metadata %q is not a string", key)
				}
				f.metadata[key] = *value
				return nil
			})
		}
		e, err := parseEntry(dec)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		e.Name = name
		f.tensors = append(f.tensors, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("header: text after the JSON object")
	}
	return nil
}

func parseEntry(dec *json.Decoder) (entry, error) {
	var e entry
	var offsets []int
	err := eachMember(dec, func(key string) error {
		var err error
		switch key {
		case "dtype":
			err = dec.Decode(&e.DType)
		case "shape":
			e.Shape, err = decodeInts(dec)
		case "data_offsets":
			offsets, err = decodeInts(dec)
		default:
			var skipped json.RawMessage
			err = dec.Decode(&skipped)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, err
	case e.DType.bits() == 0:
		return e, fmt.Errorf("unknown dtype %q", e.DType)
	case e.Shape == nil:
		return e, errors.New("no shape")
	case len(offsets) != 2:
		return e, fmt.Errorf("data_offsets %v, expected start and end", offsets)
	}
	e.start, e.end = int64(offsets[0]), int64(offsets[1])
	size, ok := sizeOf(e.DType, e.Shape)
	if !ok || e.start < 0 || e.start > e.end || e.end-e.start != size {
		return e, fmt.Errorf("data_offsets %v do not fit %s %v", offsets, e.DType, e.Shape)
	}
	return e, nil
}

// decodeInts reads an array of integers; null, for the array or in it, is an error.
func decodeInts(dec *json.Decoder) ([]int, error) {
	var list []*int
	if err := dec.Decode(&list); err != nil {
		return nil, err
	}
	if list == nil {
		return nil, errors.New("null, expected a list of integers")
	}
	ints := make([]int, len(list))
	for i, p := range list {
		if p == nil {
			return nil, errors.New("null in a list of integers")
		}
		ints[i] = *p
	}
	return ints, nil
}

// layOut sorts the tensors by place, makes their offsets absolute, and checks that they fill the file.
func (f *File) layOut(dataStart, size int64) error {
	slices.SortStableFunc(f.tensors, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	end := int64(0)
	for i := range f.tensors {
		t := &f.tensors[i]
		if t.start != end {
			return fmt.Errorf("tensor %q starts at byte %d of the data, expected %d: tensors overlap or leave a hole",
				t.Name, t.start, end)
		}
		end = t.end
		if end > size-dataStart {
			return fmt.Errorf("truncated: tensor %q ends at byte %d of the data, the file has %d",
				t.Name, end, size-dataStart)
		}
		t.start += dataStart
		t.end += dataStart
		f.index[t.Name] = i
	}
	if end != size-dataStart {
		return fmt.Errorf("%d bytes after the last tensor", size-dataStart-end)
	}
	return nil
}

// eachMember reads a JSON object from dec, calling value for each key to read its value. A key that occurs twice is an
// error, which encoding/json would let pass.
func eachMember(dec *json.Decoder, value func(key string) error) error {
	if t, err := dec.Token(); err != nil {
		return noEOF(err)
	} else if t != json.Delim('{') {
		return fmt.Errorf("found %v, expected an object", t)
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return noEOF(err)
		}
		key := t.(string) // the decoder lets only strings pass here
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return noEOF(err)
		}
	}
	_, err := dec.Token()
	return noEOF(err)
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Names returns the tensors' names in the order of their data.
func (f *File) Names() []string {
	names := make([]string, len(f.tensors))
	for i, t := range f.tensors {
		names[i] = t.Name
	}
	return names
}

// Info describes a tensor, and reports whether the file has it.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i].Info, true
}

// Metadata returns the header's free-form text, nil if there is none.
func (f *File) Metadata() map[string]string { return f.metadata }

// pieceSize is how many bytes are read at a time: small enough for the second-level cache.
const pieceSize = 256 << 10

// Read reads a tensor of a float type into dst, in row-major order. It is an error if the file has no such tensor, if
// its type is no float, or if dst has not exactly its elements.
func (f *File) Read(name string, dst []float32) error {
	i, ok := f.index[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", f.name, name)
	}
	t := f.tensors[i]
	if !t.DType.Floats() {
		return fmt.Errorf("%s: tensor %q is %s, expected F32, F16, BF16 or F64", f.name, name, t.DType)
	}
	if len(dst) != t.Elements() {
		return fmt.Errorf("%s: tensor %q has %d elements %v, expected %d", f.name, name, t.Elements(), t.Shape, len(dst))
	}
	if err := DecodeFrom(io.NewSectionReader(f.r, t.start, t.end-t.start), t.DType, dst); err != nil {
		return fmt.Errorf("%s: tensor %q: %w", f.name, name, err)
	}
	return nil
}

// InPlace returns the elements of an F32 tensor, row-major, as they lie in memory. It reports false if the file is not in
// memory, has no such tensor, or if these elements have to be converted or copied: see Read.
func (f *File) InPlace(name string) ([]float32, bool) {
	i, ok := f.index[name]
	if !ok || f.memory == nil || f.tensors[i].DType != F32 {
		return nil, false
	}
	return mmap.Floats(f.memory[f.tensors[i].start:f.tensors[i].end])
}

// DecodeFrom fills dst with elements of a float type read from r, a piece at a time. It panics if d.Floats() is false.
func DecodeFrom(r io.Reader, d DType, dst []float32) error {
	buf := make([]byte, min(pieceSize, len(dst)*d.Size()))
	for len(dst) > 0 {
		n := min(len(dst), len(buf)/d.Size())
		piece := buf[:n*d.Size()]
		if _, err := io.ReadFull(r, piece); err != nil {
			return noEOF(err)
		}
		Decode(dst[:n], d, piece)
		dst = dst[n:]
	}
	return nil
}

func readFull(r io.ReaderAt, p []byte, offset int64) error {
	_, err := io.ReadFull(io.NewSectionReader(r, offset, math.MaxInt64-offset), p)
	return noEOF(err)
}
