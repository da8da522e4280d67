package vision

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxScans bounds the time that a small file can cost.
const maxScans = 500

// jpegScan is a pass over some of the components and coefficients.
type jpegScan struct {
	*jpegPicture
	components []*jpegComponent
	bits       bitReader
	start, end int  // the range of coefficients
	high, low  uint // successive approximation: the bit position of the scan before, and of this one
	skip       int  // blocks that have no more coefficients in this scan (EOBRUN)
	block      [64]int16
}

// scan decodes the scan with the given header, whose data rest begins with, and returns
// what follows it.
func (p *jpegPicture) scan(header, rest []byte) ([]byte, error) {
	if p.components == nil {
		return nil, errors.New("a scan before the frame header")
	}
	if p.scans++; p.scans > maxScans {
		return nil, fmt.Errorf("more than %d scans", maxScans)
	}
	s := &jpegScan{jpegPicture: p, bits: bitReader{data: rest}}
	if err := s.parse(header); err != nil {
		return nil, fmt.Errorf("scan %d: %w", p.scans, err)
	}
	if len(s.components) == 1 {
		s.single(s.components[0])
	} else {
		s.interleaved()
	}
	if s.bits.truncated() {
		return nil, io.ErrUnexpectedEOF
	}
	return rest[s.bits.pos:], nil
}

func (s *jpegScan) parse(header []byte) error {
	if len(header) < 1 || len(header) != 4+2*int(header[0]) || header[0] < 1 || header[0] > 4 {
		return errSegmentLength
	}
	n := int(header[0])
	tail := header[1+2*n:]
	s.start, s.end, s.high, s.low = int(tail[0]), int(tail[1]), uint(tail[2]>>4), uint(tail[2]&15)
	if !s.progressive {
		s.start, s.end, s.high, s.low = 0, 63, 0, 0
	}
	if s.start > s.end || s.end > 63 || s.progressive && s.start == 0 && s.end > 0 || s.start > 0 && n > 1 || s.low > 13 {
		return fmt.Errorf("coefficients %d to %d, bits %d and %d, of %d components", s.start, s.end, s.high, s.low, n)
	}
	blocks := 0
	for i := range n {
		c := s.component(header[1+2*i])
		if c == nil {
			return fmt.Errorf("no component %d", header[1+2*i])
		}
		dc, ac := header[2+2*i]>>4, header[2+2*i]&15
		if dc > 3 || ac > 3 {
			return fmt.Errorf("found Huffman tables %d and %d", dc, ac)
		}
		c.dc, c.ac = &s.dc[dc], &s.ac[ac]
		if s.start == 0 && s.high == 0 && !c.dc.defined || s.end > 0 && !c.ac.defined {
			return errors.New("a Huffman table is not defined")
		}
		if c.quant == nil {
			if c.quant = s.quant[c.table]; c.quant == nil {
				return errors.New("a quantisation table is not defined")
			}
		}
		s.components = append(s.components, c)
		blocks += c.h * c.v
	}
	if n > 1 && blocks > 10 {
		return fmt.Errorf("expected at most 10 blocks in a unit, found %d", blocks)
	}
	return nil
}

// component returns the component called id that is not in the scan yet, or nil.
func (s *jpegScan) component(id byte) *jpegComponent {
	for i := range s.jpegPicture.components {
		c := &s.jpegPicture.components[i]
		if c.id != id {
			continue
		}
		for _, have := range s.components {
			if have == c {
				return nil
			}
		}
		return c
	}
	return nil
}

// single decodes one component, block after block, without the padding to whole units.
func (s *jpegScan) single(c *jpegComponent) {
	across, down := ceilDiv(c.width, 8), ceilDiv(c.height, 8)
	for unit := range across * down {
		if !s.begin(unit) {
			return
		}
		if s.bits.short() {
			continue
		}
		s.decode(c, unit%across, unit/across)
	}
}

// interleaved decodes units of h by v blocks of each component.
func (s *jpegScan) interleaved() {
	across, down := ceilDiv(s.width, 8*s.maxH), ceilDiv(s.height, 8*s.maxV)
	for unit := range across * down {
		if !s.begin(unit) {
			return
		}
		if s.bits.short() {
			continue
		}
		x, y := unit%across, unit/across
		for _, c := range s.components {
			for i := range c.h * c.v {
				s.decode(c, x*c.h+i%c.h, y*c.v+i/c.h)
			}
		}
	}
}

// begin passes over a restart marker where one is due before a unit. It reports false when no more data
// can come.
func (s *jpegScan) begin(unit int) bool {
	if unit > 0 && (s.restart == 0 || unit%s.restart != 0) {
		return s.restart > 0 || !s.bits.short()
	}
	if unit > 0 {
		if s.bits.truncated() {
			return false
		}
		s.bits.toRestart()
	}
	for _, c := range s.components {
		c.last = 0
	}
	s.skip = 0
	return true
}

// decode reads the block at x, y.
func (s *jpegScan) decode(c *jpegComponent, x, y int) {
	if !s.progressive {
		s.block = [64]int16{}
		s.sequential(c, &s.block)
		idct(c.plane[64*c.across*y+8*x:], 8*c.across, &s.block, c.quant)
		return
	}
	block := (*[64]int16)(c.coefficients[64*(y*c.across+x):])
	switch {
	case s.start == 0 && s.high == 0:
		block[0] = int16(s.nextDC(c) << s.low)
	case s.start == 0:
		s.bits.fill()
		block[0] |= int16(s.bits.take(1) << s.low)
	case s.high == 0:
		s.first(c, block)
	default:
		s.refine(c, block)
	}
}

// nextDC reads the difference from the block before (F.2.2.1).
func (s *jpegScan) nextDC(c *jpegComponent) int32 {
	s.bits.fill()
	if n := s.bits.symbol(c.dc) & 15; n > 0 {
		c.last += s.bits.signed(uint(n))
	}
	return c.last
}

// sequential reads all 64 coefficients (F.2.2.2).
func (s *jpegScan) sequential(c *jpegComponent, block *[64]int16) {
	block[0] = int16(s.nextDC(c))
	for k := 1; k < 64; k++ {
		s.bits.fill()
		symbol := s.bits.symbol(c.ac)
		run, size := int(symbol>>4), uint(symbol&15)
		switch {
		case size > 0:
			k += run
			block[zigzag[k]] = int16(s.bits.signed(size))
		case run == 15:
			k += 15
		default:
			return
		}
	}
}

// first reads a range of AC coefficients for the first time (G.1.2.2).
func (s *jpegScan) first(c *jpegComponent, block *[64]int16) {
	if s.skip > 0 {
		s.skip--
		return
	}
	for k := s.start; k <= s.end; k++ {
		s.bits.fill()
		symbol := s.bits.symbol(c.ac)
		run, size := uint(symbol>>4), uint(symbol&15)
		switch {
		case size > 0:
			k += int(run)
			block[zigzag[k]] = int16(s.bits.signed(size) << s.low)
		case run == 15:
			k += 15
		default:
			s.skip = 1<<run - 1 + int(s.bits.take(run))
			return
		}
	}
}

// refine adds a bit to the AC coefficients that are not zero, and brings in new ones (G.1.2.3).
func (s *jpegScan) refine(c *jpegComponent, block *[64]int16) {
	k := s.start
	if s.skip > 0 {
		s.skip--
		s.correct(block, k, 64)
		return
	}
	for ; k <= s.end; k++ {
		s.bits.fill()
		symbol := s.bits.symbol(c.ac)
		run, size := uint(symbol>>4), uint(symbol&15)
		var fresh int16
		if size > 0 {
			fresh = -1 << s.low
			if s.bits.take(1) == 1 {
				fresh = 1 << s.low
			}
		} else if run < 15 {
			s.skip = 1<<run - 1 + int(s.bits.take(run))
			s.correct(block, k, 64)
			return
		}
		k = s.correct(block, k, int(run))
		if size > 0 {
			block[zigzag[k]] = fresh
		}
	}
}

// correct goes from k over the given number of zeros to the next one, or past the end, and reads
// a bit for every coefficient on the way that is not zero. It returns where it stops.
func (s *jpegScan) correct(block *[64]int16, k, zeros int) int {
	for ; k <= s.end; k++ {
		v := &block[zigzag[k]]
		if *v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		s.bits.fill()
		if bit := int16(1) << s.low; s.bits.take(1) == 1 && *v&bit == 0 {
			if *v < 0 {
				bit = -bit
			}
			*v += bit
		}
	}
	return k
}

// huffman is a code table.
type huffman struct {
	defined bool
	quick   [1 << quickBits]uint16 // by the next bits: length<<8 | symbol, 0 for a longer code
	limit   [18]int32              // the last code of each length, or -1
	offset  [17]int32              // index of a symbol less its code, for each length
	symbols [256]uint8
}

const quickBits = 9

// build makes the table from the number of codes of each length 1 to 16 and the symbols in the order of their codes (C.2).
func (h *huffman) build(counts, symbols []byte) error {
	*h = huffman{defined: true}
	copy(h.symbols[:], symbols)
	code, index := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		n := int32(counts[length-1])
		h.offset[length] = index - code
		for range n {
			if length <= quickBits && code < 1<<length {
				spare := quickBits - length
				for i := range 1 << spare {
					h.quick[int(code)<<spare+i] = uint16(length)<<8 | uint16(h.symbols[index])
				}
			}
			code++
			index++
		}
		if code > 1<<length {
			return errors.New("more Huffman codes than fit")
		}
		h.limit[length] = -1
		if n > 0 {
			h.limit[length] = code - 1
		}
		code <<= 1
	}
	h.limit[17] = 1<<31 - 1
	return nil
}

// bitReader reads the bits of entropy-coded data up to a marker or the end of data, and zeros from there.
type bitReader struct {
	data   []byte
	pos    int    // of the next byte
	acc    uint64 // the next bits, from the top
	n      int    // how many
	zeros  int    // how many of them are made up
	marker bool   // pos is at a marker
}

// padding is the number of bits that are made up at once, more than a unit can use.
const padding = 1 << 20

// fill makes sure that there are bits for a symbol and what belongs to it.
func (b *bitReader) fill() {
	if b.n > 32 {
		return
	}
	if b.pos+4 <= len(b.data) {
		word := binary.BigEndian.Uint32(b.data[b.pos:])
		if hasFF := word & (^word - 0x01010101) & 0x80808080; hasFF == 0 {
			b.acc |= uint64(word) << (32 - b.n)
			b.n += 32
			b.pos += 4
			return
		}
	}
	b.fillSlow()
}

func (b *bitReader) fillSlow() {
	for b.n <= 56 {
		if b.pos >= len(b.data) {
			b.pad()
			return
		}
		v := b.data[b.pos]
		if v == 0xff {
			next := b.pos + 1
			for next < len(b.data) && b.data[next] == 0xff {
				next++
			}
			if next >= len(b.data) {
				b.pos = len(b.data)
				b.pad()
				return
			}
			if b.data[next] != 0 {
				b.marker = true
				b.pad()
				return
			}
			b.pos = next
		}
		b.pos++
		b.acc |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

func (b *bitReader) pad() {
	b.n += padding
	b.zeros += padding
}

// short reports whether made-up bits have been read.
func (b *bitReader) short() bool { return b.n < b.zeros }

// truncated reports whether made-up bits have been read because the file ends.
func (b *bitReader) truncated() bool { return b.short() && !b.marker }

// toRestart passes over the next restart marker. If another marker comes first, that is
// where the data ends.
func (b *bitReader) toRestart() {
	short := b.short()
	marker, rest := nextMarker(b.data[b.pos:])
	*b = bitReader{data: b.data, pos: len(b.data) - len(rest)}
	if marker >= markerRST0 && marker <= markerRST7 || marker == 0 {
		return
	}
	b.pos -= 2
	if short {
		b.zeros, b.marker = padding, true
	}
}

// take returns the next n bits; fill has been called before.
func (b *bitReader) take(n uint) int32 {
	v := int32(b.acc >> (64 - n))
	b.acc <<= n
	b.n -= int(n)
	return v
}

// signed returns a number of n bits, 1 to 16, whose first bit is 0 if it is negative (F.1.2.1).
func (b *bitReader) signed(n uint) int32 {
	v := b.take(n)
	if v < 1<<(n-1) {
		v += -1<<n + 1
	}
	return v
}

// symbol decodes the next Huffman code; an invalid one counts as 0, as in libjpeg.
func (b *bitReader) symbol(h *huffman) uint8 {
	if q := h.quick[b.acc>>(64-quickBits)]; q != 0 {
		b.acc <<= q >> 8
		b.n -= int(q >> 8)
		return uint8(q)
	}
	for length := uint(1); length <= 17; length++ {
		code := int32(b.acc >> (64 - length))
		if code > h.limit[length] {
			continue
		}
		b.take(length)
		if length == 17 {
			return 0
		}
		return h.symbols[(code+h.offset[length])&255]
	}
	panic("unreachable: the limit of length 17 is above all codes")
}
