package statestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"runtime/debug"

	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
)

// A file is a header and records; each of these begins at a multiple of 64 bytes, and all numbers are little-endian.
//
//	file header    "EKSTATES", encoder [32], dim uint32, bytes of a number uint32, zeros [12], checksum of these 60 bytes
//	record header  "EKREC\x00\x00\x01", key [32], rows uint32, checksum of the data, zeros [12], checksum of these 60 bytes
//	record data    rows × dim numbers, zeros up to a multiple of 64 bytes
//
// Checksums are CRC-32C.
const block = 64

var (
	fileMagic   = []byte("EKSTATES")
	recordMagic = []byte("EKREC\x00\x00\x01")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// record is what a record's header says.
type record struct {
	key  Key
	rows int
	sum  uint32 // of the data
}

func (f Format) numberSize() int64 {
	if f.BFloat16 {
		return 2
	}
	return 4
}

// dataSize is the size of a record's data without the zeros at its end.
func (f Format) dataSize(rows int) int64 { return int64(rows) * int64(f.Dim) * f.numberSize() }

// header is the first block of a file.
func (f Format) header() []byte {
	b := append(append(make([]byte, 0, block), fileMagic...), f.Encoder[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.Dim))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.numberSize()))
	return seal(b)
}

// seal fills a header with zeros and ends it with its checksum.
func seal(b []byte) []byte {
	b = append(b, make([]byte, block-4-len(b))...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// appendRecord appends a whole record to dst.
func appendRecord(dst []byte, k Key, states []float32, f Format) ([]byte, record) {
	start := len(dst)
	dst = append(dst, make([]byte, block)...)
	for _, x := range states {
		if f.BFloat16 {
			dst = binary.LittleEndian.AppendUint16(dst, ToBFloat16(x))
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
		}
	}
	r := record{key: k, rows: len(states) / f.Dim, sum: crc32.Checksum(dst[start+block:], castagnoli)}
	h := append(append(dst[:start:start+block], recordMagic...), k[:]...)
	h = binary.LittleEndian.AppendUint32(h, uint32(r.rows))
	seal(binary.LittleEndian.AppendUint32(h, r.sum))
	return append(dst, make([]byte, padding(int64(len(dst)-start)))...), r
}

func padding(size int64) int64 { return -size & (block - 1) }

// parse reads a record's header.
func parse(b []byte) (record, bool) {
	if !bytes.HasPrefix(b, recordMagic) || crc32.Checksum(b[:block-4], castagnoli) != binary.LittleEndian.Uint32(b[block-4:]) {
		return record{}, false
	}
	return record{
		key:  Key(b[8:40]),
		rows: int(binary.LittleEndian.Uint32(b[40:])),
		sum:  binary.LittleEndian.Uint32(b[44:]),
	}, true
}

// file is a file of records that is read from, as memory where the system can, or that is also written to.
type file struct {
	f     *os.File
	size  int64
	data  []byte // nil: read from f
	unmap func() error
	told  bool // that something is damaged
}

func createFile(path string, format Format) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(format.header()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f: f, size: block}, nil
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	x := &file{f: f, size: info.Size()}
	if data, unmap, err := mmap.Shared(f, x.size); err == nil {
		x.data, x.unmap = data, unmap
	}
	return x, nil
}

func (x *file) close() error {
	err := x.f.Close()
	if x.unmap != nil {
		err = errors.Join(err, x.unmap())
	}
	x.data = nil
	return err
}

// scan visits the records that are there as a whole, by their headers. A record whose data is cut off is what a process
// was writing when it was killed, or is about to have written.
func (x *file) scan(format Format, visit func(off int64, r record), warn func(string)) error {
	if x.size < block {
		return nil // just created, or killed at that moment
	}
	header := make([]byte, block)
	if _, err := x.f.ReadAt(header, 0); err != nil {
		return err
	}
	if !bytes.Equal(header, format.header()) {
		return errors.New("its header is damaged, or that of other states")
	}
	for off := int64(block); off+block <= x.size; {
		if _, err := x.f.ReadAt(header, off); err != nil {
			return err
		}
		r, ok := parse(header)
		if !ok {
			x.damaged(off, errors.New("no record begins here"), warn)
			next, err := x.find(off + block)
			if err != nil {
				return err
			}
			off = next
			continue
		}
		size := format.dataSize(r.rows)
		end := off + block + size + padding(size)
		if off+block+size > x.size {
			// Cut off: the last one, unless its header lies about its length.
			return nil
		}
		visit(off, r)
		off = end
	}
	return nil
}

// find returns where the next block that is a record's header begins, from off on, or the end of the file.
func (x *file) find(off int64) (int64, error) {
	chunk := make([]byte, 1<<20)
	for off+block <= x.size {
		n, err := x.f.ReadAt(chunk, off)
		if err != nil && err != io.EOF {
			return off, err
		}
		n -= n % block
		for i := 0; i < n; i += block {
			if _, ok := parse(chunk[i:n]); ok {
				return off + int64(i), nil
			}
		}
		if n == 0 {
			break
		}
		off += int64(n)
	}
	return x.size, nil
}

// damaged tells once for each file that something in it is.
func (x *file) damaged(off int64, err error, warn func(string)) {
	if !x.told {
		warn(fmt.Sprintf("%s is damaged at byte %d (%v); such encoder states are passed over and made again", x.f.Name(), off, err))
	}
	x.told = true
}

// states reads a record's data and checks it.
func (x *file) states(off int64, r record, format Format) (out []float32, err error) {
	size := format.dataSize(r.rows)
	if x.data == nil {
		b := make([]byte, size)
		if _, err := x.f.ReadAt(b, off+block); err != nil {
			return nil, err
		}
		return decode(b, r, format)
	}
	// A file that was cut short meanwhile, or a disk that fails, shows as a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			address, ok := fault.(interface {
				error
				Addr() uintptr
			})
			if !ok {
				panic(fault)
			}
			out, err = nil, fmt.Errorf("reading it failed: %w", address)
		}
	}()
	return decode(x.data[off+block:off+block+size], r, format)
}

var errChecksum = errors.New("the checksum is wrong")

func decode(b []byte, r record, format Format) ([]float32, error) {
	out := make([]float32, r.rows*format.Dim)
	if format.BFloat16 {
		for i := range out {
			out[i] = FromBFloat16(binary.LittleEndian.Uint16(b[2*i:]))
		}
	} else {
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	if crc32.Checksum(b, castagnoli) != r.sum {
		return nil, errChecksum
	}
	return out, nil
}
