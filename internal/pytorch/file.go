// Package pytorch reads the weights in files that torch.save wrote: pytorch_model.bin, *.pt, *.pth.
//
// Both formats are read: the zip archive of PyTorch 1.6 and later, and the stream of pickles before it. Such a file is a
// Python program that builds objects. Here it can build tensors, and dictionaries, lists and tuples of them; anything
// else it names is refused, and no code is run. Sizes in the file are believed only as far as its bytes reach.
//
// Start with New. It reads the description of the tensors; their data are read when asked for, converted to float32.
package pytorch

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// File is an opened file. Its methods may be called by several goroutines at once if the reader allows it, as
// *os.File does.
type File struct {
	name    string
	names   []string
	tensors map[string]*tensor
	blocks  map[string]block // by the storage's key
}

// block is where a storage's bytes are.
type block struct {
	io.ReaderAt           // nil if deflated
	deflated    *zip.File // nil if not
}

// New reads the description of the tensors in a file of the given size in bytes. The name is used in errors only. The
// reader must stay open as long as the File is used.
//
// The file holds a dictionary from names to tensors, or one with such a dictionary as its "state_dict". Values that are
// no tensors are passed over. It is an error if the file is truncated or damaged, names anything but tensors and
// dictionaries, or comes from a big-endian machine.
func New(name string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, tensors: map[string]*tensor{}, blocks: map[string]block{}}
	var root any
	var magic [4]byte
	_, err := io.ReadFull(io.NewSectionReader(r, 0, size), magic[:])
	switch {
	case err != nil:
		err = fmt.Errorf("no PyTorch file: %d bytes", size)
	case string(magic[:]) == "PK\x03\x04":
		root, err = f.openZip(r, size)
	default:
		root, err = f.openLegacy(r, size)
	}
	if err == nil {
		err = f.collect(root)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// openZip reads an archive: NAME/data.pkl, NAME/data/KEY for each storage, and NAME/byteorder.
func (f *File) openZip(r io.ReaderAt, size int64) (root any, err error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	entries := map[string]*zip.File{}
	top := ""
	for _, e := range archive.File {
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("the archive has two entries %q", e.Name)
		}
		entries[e.Name] = e
		if dir, base, _ := strings.Cut(e.Name, "/"); base == "data.pkl" {
			if top != "" {
				return nil, fmt.Errorf("the archive has both %s/data.pkl and %s/data.pkl", top, dir)
			}
			top = dir
		}
	}
	if top == "" {
		return nil, errors.New("no PyTorch file: a zip archive without data.pkl")
	}
	if e := entries[top+"/byteorder"]; e != nil {
		order, err := readEntry(e, 16)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("byte order %q, expected little", order)
		}
	}

	pickle, err := entries[top+"/data.pkl"].Open()
	if err != nil {
		return nil, err
	}
	defer pickle.Close()
	b := &builder{storages: map[string]*storage{}}
	if root, err = newUnpickler(io.LimitReader(pickle, maxPickle), b).load(); err != nil {
		return nil, err
	}
	for key, s := range b.storages {
		e := entries[top+"/data/"+key]
		if e == nil {
			return nil, fmt.Errorf("storage %q is not in the archive", key)
		}
		if e.UncompressedSize64 < uint64(s.size) {
			return nil, fmt.Errorf("storage %q has %d bytes, expected %d", key, e.UncompressedSize64, s.size)
		}
		if f.blocks[key], err = openEntry(r, size, e); err != nil {
			return nil, fmt.Errorf("storage %q: %w", key, err)
		}
	}
	return root, nil
}

func readEntry(e *zip.File, limit int64) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// openEntry lets a stored entry be read in place. Its CRC is not checked: PyTorch can be told to leave it out.
func openEntry(r io.ReaderAt, size int64, e *zip.File) (block, error) {
	if e.Method != zip.Store {
		return block{deflated: e}, nil
	}
	offset, err := e.DataOffset()
	if err != nil {
		return block{}, err
	}
	if e.CompressedSize64 != e.UncompressedSize64 || e.UncompressedSize64 > uint64(size) || offset < 0 || offset > size-int64(e.UncompressedSize64) {
		return block{}, io.ErrUnexpectedEOF
	}
	return block{ReaderAt: io.NewSectionReader(r, offset, int64(e.UncompressedSize64))}, nil
}

// legacyMagic is the number that legacy files start with.
var legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

// openLegacy reads five pickles (magic number, version, the machine, the object, the storages' keys) and then each
// storage: its number of elements as an int64, and its bytes.
func (f *File) openLegacy(r io.ReaderAt, size int64) (root any, err error) {
	b := &builder{legacy: true, storages: map[string]*storage{}}
	u := newUnpickler(io.NewSectionReader(r, 0, size), b)
	magic, err := u.load()
	if n, ok := magic.(*big.Int); err != nil || !ok || n.Cmp(legacyMagic) != 0 {
		return nil, errors.New("no PyTorch file: neither a zip archive nor PyTorch's magic number")
	}
	version, err := u.load()
	if err != nil {
		return nil, err
	}
	if version, _ := version.(int64); version != 1001 {
		return nil, fmt.Errorf("version %d of the format, expected 1001", version)
	}
	machine, err := u.load()
	if err != nil {
		return nil, err
	}
	if d, ok := machine.(*dict); !ok || d.get("little_endian") != true {
		return nil, errors.New("written on a big-endian machine, expected little-endian")
	}
	if root, err = u.load(); err != nil {
		return nil, err
	}
	keys, err := u.load()
	if err != nil {
		return nil, err
	}
	l, ok := keys.(*list)
	if !ok {
		return nil, fmt.Errorf("storages' keys are %T, expected a list", keys)
	}
	offset := u.offset
	for _, item := range l.items {
		key, _ := item.(string)
		s := b.storages[key]
		if s == nil {
			return nil, fmt.Errorf("storage %q belongs to no tensor", key)
		}
		var elements [8]byte
		if _, err := io.ReadFull(io.NewSectionReader(r, offset, 8), elements[:]); err != nil {
			return nil, fmt.Errorf("storage %q: %w", key, noEOF(err))
		}
		if n := binary.LittleEndian.Uint64(elements[:]); n != uint64(s.size/s.dtype.size) {
			return nil, fmt.Errorf("storage %q has %d elements, expected %d", key, n, s.size/s.dtype.size)
		}
		if offset += 8; s.size > size-offset {
			return nil, fmt.Errorf("storage %q: %w", key, io.ErrUnexpectedEOF)
		}
		f.blocks[key] = block{ReaderAt: io.NewSectionReader(r, offset, s.size)}
		offset += s.size
	}
	for key := range b.storages {
		if _, ok := f.blocks[key]; !ok {
			return nil, fmt.Errorf("storage %q is not in the file", key)
		}
	}
	return root, nil
}

// collect lists the tensors of a dictionary, or of its "state_dict".
func (f *File) collect(root any) error {
	d, ok := root.(*dict)
	if !ok {
		return fmt.Errorf("holds %T, expected a dictionary of tensors", root)
	}
	if inner, ok := d.get("state_dict").(*dict); ok {
		d = inner
	}
	for _, p := range d.pairs {
		name, ok := p.key.(string)
		if !ok {
			continue
		}
		_, again := f.tensors[name]
		if t, ok := p.value.(*tensor); ok {
			f.tensors[name] = t
			if !again {
				f.names = append(f.names, name)
			}
		}
	}
	if len(f.names) == 0 {
		return errors.New("no tensors in the dictionary")
	}
	return nil
}

// Names returns the tensors' names in the order of the file.
func (f *File) Names() []string { return append([]string(nil), f.names...) }

// Info describes a tensor, and reports whether the file has it. The type of complex128 tensors is "C128".
func (f *File) Info(name string) (safetensors.Info, bool) {
	t, ok := f.tensors[name]
	if !ok {
		return safetensors.Info{}, false
	}
	return safetensors.Info{Name: name, DType: t.dtype.DType, Shape: append([]int{}, t.shape...)}, true
}

// Read reads a tensor of a float type into dst, in row-major order. A tensor that is a view with gaps, a transposed one
// say, needs as much memory again as it spans in the file. It is an error if the file has no such tensor, if its type is
// no float, or if dst has not exactly its elements.
func (f *File) Read(name string, dst []float32) error {
	t, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", f.name, name)
	}
	if !t.dtype.Floats() {
		return fmt.Errorf("%s: tensor %q is %s, expected F32, F16, BF16 or F64", f.name, name, t.dtype.DType)
	}
	info, _ := f.Info(name)
	if len(dst) != info.Elements() {
		return fmt.Errorf("%s: tensor %q has %d elements %v, expected %d", f.name, name, info.Elements(), t.shape, len(dst))
	}
	if err := f.read(t, dst); err != nil {
		return fmt.Errorf("%s: tensor %q: %w", f.name, name, err)
	}
	return nil
}

func (f *File) read(t *tensor, dst []float32) error {
	if len(dst) == 0 {
		return nil
	}
	from := t.storage.start + t.offset*t.dtype.size
	r, err := f.blocks[t.storage.key].open(from, t.span*t.dtype.size)
	if err != nil {
		return err
	}
	defer r.Close()
	if t.contiguous() {
		return safetensors.DecodeFrom(r, t.dtype.DType, dst)
	}
	src := make([]float32, t.span)
	if err := safetensors.DecodeFrom(r, t.dtype.DType, src); err != nil {
		return err
	}
	gather(dst, src, t.shape, t.strides)
	return nil
}

// open reads n bytes of a block.
func (b block) open(from, n int64) (io.ReadCloser, error) {
	if b.deflated == nil {
		return io.NopCloser(io.NewSectionReader(b.ReaderAt, from, n)), nil
	}
	r, err := b.deflated.Open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, from); err != nil {
		r.Close()
		return nil, noEOF(err)
	}
	return r, nil
}
