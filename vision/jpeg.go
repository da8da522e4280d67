package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// This JPEG decoder exists because the standard library's gives other values than Pillow's
// libjpeg-turbo (its inverse cosine transform rounds otherwise), upsamples no chroma, and
// refuses some files that Pillow reads. It is after the JPEG standard, ITU-T T.81, with
// libjpeg's arithmetic and its way with damaged data: what is missing before a marker is zero.

// jpegPicture is a picture being decoded.
type jpegPicture struct {
	width, height int
	progressive   bool
	components    []jpegComponent
	maxH, maxV    int
	restart       int            // units between restart markers, or 0
	quant         [4]*[64]uint16 // in natural order
	dc, ac        [4]huffman
	jfif          bool
	adobe         int // the transform that an Adobe marker names, or -1
	scans         int
}

// jpegComponent is one of the planes.
type jpegComponent struct {
	id            byte
	h, v          int // sampling factors
	table         byte
	quant         *[64]uint16 // as it was when the component's first scan began, or nil before
	width, height int         // in samples
	across, down  int         // in blocks, padded to whole units
	coefficients  []int16     // of a progressive picture, 64 a block, in natural order
	plane         []uint8     // [8*down, 8*across]
	last          int32       // DC of the block before
	dc, ac        *huffman    // of the current scan
}

func jpegSize(data []byte) (width, height int, err error) {
	p, _, err := parseJPEG(data)
	return p.width, p.height, err
}

func decodeJPEG(_ Decoder, data []byte) (Image, error) {
	p, rest, err := parseJPEG(data)
	if err != nil {
		return Image{}, err
	}
	if err := p.allocate(8 * len(rest)); err != nil {
		return Image{}, err
	}
	if _, err := p.segments(rest, false); err != nil {
		return Image{}, err
	}
	if p.progressive {
		p.transform()
	}
	return p.toRGB(), nil
}

// parseJPEG reads up to and including the frame header, and returns what follows it.
func parseJPEG(data []byte) (*jpegPicture, []byte, error) {
	p := &jpegPicture{adobe: -1}
	rest, err := p.segments(data[2:], true)
	return p, rest, err
}

// Markers of T.81, table B.1.
const (
	markerSOF0  = 0xc0 // baseline
	markerSOF1  = 0xc1 // extended sequential
	markerSOF2  = 0xc2 // progressive
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP14 = 0xee
	markerTEM   = 0x01
)

var errJPEGNoScan = errors.New("no image data")

// segments reads segment after segment to the end of the picture, or to the frame header.
func (p *jpegPicture) segments(data []byte, toFrame bool) (rest []byte, err error) {
	for {
		var marker byte
		if marker, data = nextMarker(data); marker == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if marker == markerEOI {
			if p.scans == 0 {
				return nil, errJPEGNoScan
			}
			return nil, nil
		}
		if marker >= markerRST0 && marker <= markerSOI || marker == markerTEM {
			continue
		}
		if len(data) < 2 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint16(data))
		if n < 2 {
			return nil, fmt.Errorf("segment %#x: expected a length of at least 2, found %d", marker, n)
		}
		if n > len(data) {
			return nil, io.ErrUnexpectedEOF
		}
		segment := data[2:n]
		data = data[n:]
		if marker == markerSOS {
			if data, err = p.scan(segment, data); err != nil {
				return nil, err
			}
			continue
		}
		isFrame, err := p.segment(marker, segment)
		if err != nil {
			return nil, fmt.Errorf("segment %#x: %w", marker, err)
		}
		if isFrame && toFrame {
			return data, nil
		}
	}
}

// nextMarker skips to the byte after the next marker; the marker is 0 if there is none.
func nextMarker(data []byte) (byte, []byte) {
	for i := 1; i < len(data); i++ {
		if m := data[i]; data[i-1] == 0xff && m != 0 && m != 0xff {
			return m, data[i+1:]
		}
	}
	return 0, nil
}

// segment reads a segment other than a scan, and reports whether it was the frame header.
func (p *jpegPicture) segment(marker byte, data []byte) (isFrame bool, err error) {
	switch {
	case marker == markerSOF0 || marker == markerSOF1 || marker == markerSOF2:
		p.progressive = marker == markerSOF2
		return true, p.frame(data)
	case marker == markerDHT:
		return false, p.huffmanTables(data)
	case marker == markerDQT:
		return false, p.quantTables(data)
	case marker == markerDRI:
		if len(data) != 2 {
			return false, errSegmentLength
		}
		p.restart = int(binary.BigEndian.Uint16(data))
	case marker == markerAPP0:
		p.jfif = p.jfif || len(data) >= 5 && string(data[:5]) == "JFIF\x00"
	case marker == markerAPP14:
		if len(data) >= 12 && string(data[:5]) == "Adobe" {
			p.adobe = int(data[11])
		}
	case marker > markerSOF2 && marker < markerRST0 && marker != markerJPG && marker != markerDAC:
		return false, errors.New("lossless, hierarchical and arithmetic coding are not supported")
	}
	return false, nil
}

var errSegmentLength = errors.New("wrong length")

func (p *jpegPicture) frame(data []byte) error {
	if p.components != nil {
		return errors.New("a second frame")
	}
	if len(data) < 6 || len(data) != 6+3*int(data[5]) {
		return errSegmentLength
	}
	if data[0] != 8 {
		return fmt.Errorf("expected 8 bits a sample, found %d", data[0])
	}
	p.height, p.width = int(binary.BigEndian.Uint16(data[1:])), int(binary.BigEndian.Uint16(data[3:]))
	if n := data[5]; n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("expected 1, 3 or 4 components, found %d", n)
	}
	for c := data[6:]; len(c) > 0; c = c[3:] {
		h, v := int(c[1]>>4), int(c[1]&15)
		if h < 1 || h > 4 || v < 1 || v > 4 || c[2] > 3 {
			return fmt.Errorf("component %d has sampling factors %d and %d and quantisation table %d", c[0], h, v, c[2])
		}
		p.components = append(p.components, jpegComponent{id: c[0], h: h, v: v, table: c[2]})
		p.maxH, p.maxV = max(p.maxH, h), max(p.maxV, v)
	}
	for _, c := range p.components {
		if p.maxH%c.h != 0 || p.maxV%c.v != 0 {
			return fmt.Errorf("component %d has sampling factors %d and %d, which do not divide %d and %d", c.id, c.h, c.v, p.maxH, p.maxV)
		}
	}
	return nil
}

// allocate makes the planes, grey as blocks without data are. It refuses a size that the
// number of bits that follow cannot fill, a block taking at least one.
func (p *jpegPicture) allocate(bits int) error {
	across, down := ceilDiv(p.width, 8*p.maxH), ceilDiv(p.height, 8*p.maxV)
	if across*down > bits {
		return io.ErrUnexpectedEOF
	}
	for i := range p.components {
		c := &p.components[i]
		c.width, c.height = ceilDiv(p.width*c.h, p.maxH), ceilDiv(p.height*c.v, p.maxV)
		c.across, c.down = across*c.h, down*c.v
		c.plane = bytes.Repeat([]uint8{128}, 64*c.across*c.down)
		if p.progressive {
			c.coefficients = make([]int16, 64*c.across*c.down)
		}
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// zigzag gives the natural position, row by row, of the k-th coefficient in a file. Positions
// past the 64th, which only damaged data has, are the last.
var zigzag = [64 + 16]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
}

func (p *jpegPicture) quantTables(data []byte) error {
	for len(data) > 0 {
		wide, table := int(data[0]>>4), data[0]&15
		if wide > 1 || table > 3 {
			return fmt.Errorf("found quantisation table %d of precision %d", table, wide)
		}
		data = data[1:]
		if len(data) < 64*(1+wide) {
			return errSegmentLength
		}
		quant := new([64]uint16)
		for _, at := range zigzag[:64] {
			v := uint16(data[0])
			if wide == 1 {
				v = binary.BigEndian.Uint16(data)
			}
			quant[at] = v
			data = data[1+wide:]
		}
		p.quant[table] = quant
	}
	return nil
}

func (p *jpegPicture) huffmanTables(data []byte) error {
	for len(data) > 0 {
		if len(data) < 17 {
			return errSegmentLength
		}
		class, table := data[0]>>4, data[0]&15
		if class > 1 || table > 3 {
			return fmt.Errorf("found Huffman table %d of class %d", table, class)
		}
		n := 0
		for _, c := range data[1:17] {
			n += int(c)
		}
		if n > 256 || len(data) < 17+n {
			return errSegmentLength
		}
		to := &p.dc[table]
		if class == 1 {
			to = &p.ac[table]
		}
		if err := to.build(data[1:17], data[17:17+n]); err != nil {
			return err
		}
		data = data[17+n:]
	}
	return nil
}

// toRGB upsamples the planes and converts them.
func (p *jpegPicture) toRGB() Image {
	out := NewImage(p.width, p.height)
	rows := make([][]uint8, len(p.components))
	planes := make([]plane, len(p.components))
	for i, c := range p.components {
		planes[i] = newPlane(c.plane, 8*c.across, c.width, c.height, p.maxH/c.h, p.maxV/c.v)
	}
	convert := p.conversion()
	for y := range p.height {
		for i := range planes {
			rows[i] = planes[i].row(y)
		}
		convert(out.row(y), rows)
	}
	return out
}

// conversion returns how a row of samples becomes RGB, after libjpeg's guess of the colour
// space. Pillow takes all inks for inverted, as Adobe writes them.
func (p *jpegPicture) conversion() func(dst []uint8, rows [][]uint8) {
	switch {
	case len(p.components) == 1:
		return func(dst []uint8, rows [][]uint8) { interleave(dst, rows[0], rows[0], rows[0]) }
	case len(p.components) == 4:
		inks := make([]uint8, 4*p.width)
		ycc := p.adobe > 0
		return func(dst []uint8, rows [][]uint8) {
			if ycc {
				yccToRGB(dst, rows[0], rows[1], rows[2])
			} else {
				interleave(dst, rows[0], rows[1], rows[2])
			}
			for x := range p.width {
				for c, v := range dst[3*x : 3*x+3] {
					if !ycc {
						v = 255 - v
					}
					inks[4*x+c] = v
				}
				inks[4*x+3] = 255 - rows[3][x]
			}
			cmykToRGB(dst, inks)
		}
	case p.isRGB():
		return func(dst []uint8, rows [][]uint8) { interleave(dst, rows[0], rows[1], rows[2]) }
	}
	return func(dst []uint8, rows [][]uint8) { yccToRGB(dst, rows[0], rows[1], rows[2]) }
}

func (p *jpegPicture) isRGB() bool {
	c := p.components
	switch {
	case p.jfif:
		return false
	case p.adobe >= 0:
		return p.adobe == 0
	}
	return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
}

func interleave(dst, r, g, b []uint8) {
	for x := range len(dst) / 3 {
		dst[3*x], dst[3*x+1], dst[3*x+2] = r[x], g[x], b[x]
	}
}
