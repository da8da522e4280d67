package vision

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"image/color"
	"io"
)

// gifFrame is the first frame of a GIF file. (The standard library forgets the
// colour of transparent pixels and the size of the screen.)
type gifFrame struct {
	width, height            int // of the screen, made larger if the frame sticks out
	left, top, right, bottom int // of the frame
	palette                  []uint8
	transparent              int // index, or -1
	interlaced               bool
	codeBits                 int
	blocks                   []byte // the compressed indices, in blocks
}

var errGIFNoFrame = errors.New("no frame")

func parseGIF(data []byte) (gifFrame, error) {
	r := gifReader{data: data}
	f := gifFrame{transparent: -1}
	head := r.next(13)
	if r.short {
		return f, io.ErrUnexpectedEOF
	}
	f.width = int(binary.LittleEndian.Uint16(head[6:]))
	f.height = int(binary.LittleEndian.Uint16(head[8:]))
	f.palette = r.palette(head[10])
	for !r.short {
		switch r.byte() {
		case '!':
			f.extension(&r)
		case ',':
			return f, f.descriptor(&r)
		case ';':
			return f, errGIFNoFrame
		}
	}
	return f, io.ErrUnexpectedEOF
}

// extension passes over an extension, from which it takes the transparent index.
func (f *gifFrame) extension(r *gifReader) {
	const graphicControl = 0xf9
	if r.byte() == graphicControl && len(r.data) > 4 && r.data[0] >= 4 && r.data[1]&1 != 0 {
		f.transparent = int(r.data[4])
	}
	for n := r.byte(); n > 0; n = r.byte() {
		r.next(int(n))
	}
}

// descriptor reads where the frame is and what is before its data.
func (f *gifFrame) descriptor(r *gifReader) error {
	d := r.next(9)
	if r.short {
		return io.ErrUnexpectedEOF
	}
	f.left, f.top = int(binary.LittleEndian.Uint16(d)), int(binary.LittleEndian.Uint16(d[2:]))
	f.right = f.left + int(binary.LittleEndian.Uint16(d[4:]))
	f.bottom = f.top + int(binary.LittleEndian.Uint16(d[6:]))
	f.width, f.height = max(f.width, f.right), max(f.height, f.bottom)
	f.interlaced = d[8]&0x40 != 0
	if local := r.palette(d[8]); local != nil {
		f.palette = local
	}
	f.codeBits = int(r.byte())
	f.blocks = r.data
	if r.short {
		return io.ErrUnexpectedEOF
	}
	if f.codeBits < 2 || f.codeBits > 8 {
		return fmt.Errorf("expected codes of 2 to 8 bits, found %d", f.codeBits)
	}
	return nil
}

// gifReader takes bytes from data; short is set when it asks for more than there is.
type gifReader struct {
	data  []byte
	short bool
}

func (r *gifReader) next(n int) []byte {
	if n > len(r.data) {
		r.short, n = true, len(r.data)
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *gifReader) byte() byte {
	if b := r.next(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// palette reads the colour table that flags announces, or returns nil.
func (r *gifReader) palette(flags byte) []uint8 {
	if flags&0x80 == 0 {
		return nil
	}
	return r.next(3 << (flags&7 + 1))
}

func gifSize(data []byte) (width, height int, err error) {
	f, err := parseGIF(data)
	return f.width, f.height, err
}

// decodeGIF draws the first frame. Around it is the transparent index, or index 0.
func decodeGIF(d Decoder, data []byte) (Image, error) {
	f, err := parseGIF(data)
	if err != nil {
		return Image{}, err
	}
	width, height := f.right-f.left, f.bottom-f.top
	indices := make([]byte, width*height)
	r := lzw.NewReader(&gifBlocks{rest: f.blocks}, lzw.LSB, f.codeBits)
	defer r.Close()
	if _, err := io.ReadFull(r, indices); err != nil {
		return Image{}, err
	}

	out := NewImage(f.width, f.height)
	pen := newAlpha(d, out)
	colors := f.colors()
	ground := colors[max(0, f.transparent)]
	for y := range f.height {
		for x := range f.width {
			pen.set(x, y, ground)
		}
	}
	for i, y := range f.rows(height) {
		for x := range width {
			pen.set(f.left+x, f.top+y, colors[indices[i*width+x]])
		}
	}
	return out, nil
}

// colors returns the frame's palette, grey where the file has none, black where it ends.
func (f gifFrame) colors() [256]color.NRGBA {
	var colors [256]color.NRGBA
	for i := range colors {
		switch {
		case f.palette == nil:
			colors[i] = color.NRGBA{uint8(i), uint8(i), uint8(i), 255}
		case 3*i < len(f.palette):
			colors[i] = color.NRGBA{f.palette[3*i], f.palette[3*i+1], f.palette[3*i+2], 255}
		default:
			colors[i].A = 255
		}
	}
	if f.transparent >= 0 {
		colors[f.transparent].A = 0
	}
	return colors
}

// rows returns the rows of the frame in the order in which the file has them.
func (f gifFrame) rows(height int) []int {
	passes := [][2]int{{0, 1}}
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	rows := make([]int, 0, height)
	for _, pass := range passes {
		for y := pass[0]; y < height; y += pass[1] {
			rows = append(rows, y)
		}
	}
	return rows
}

// gifBlocks reads through blocks that each begin with their length, to the one of length 0.
type gifBlocks struct {
	block bytes.Reader
	rest  []byte
}

// Read makes gifBlocks an io.Reader, which lzw.NewReader asks for; it then calls ReadByte.
func (b *gifBlocks) Read(p []byte) (int, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	return b.block.Read(p)
}

func (b *gifBlocks) ReadByte() (byte, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	return b.block.ReadByte()
}

func (b *gifBlocks) fill() error {
	if b.block.Len() > 0 {
		return nil
	}
	if len(b.rest) == 0 || len(b.rest) <= int(b.rest[0]) {
		return io.ErrUnexpectedEOF
	}
	n := int(b.rest[0])
	if n == 0 {
		return io.EOF
	}
	b.block.Reset(b.rest[1 : 1+n])
	b.rest = b.rest[1+n:]
	return nil
}
