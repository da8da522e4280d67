package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/webp"
)

func webpSize(data []byte) (width, height int, err error) {
	a, err := parseWebP(data)
	if err != nil {
		return 0, 0, err
	}
	if a.animated {
		return a.width, a.height, nil
	}
	config, err := webp.DecodeConfig(bytes.NewReader(data))
	return config.Width, config.Height, err
}

// decodeWebP decodes a still picture, or the first frame of an animation.
func decodeWebP(d Decoder, data []byte) (Image, error) {
	a, err := parseWebP(data)
	if err != nil {
		return Image{}, err
	}
	img, err := webp.Decode(bytes.NewReader(a.still))
	if err != nil {
		return Image{}, err
	}
	if !a.animated {
		return d.fromWebP(img), nil
	}
	frame := d.fromWebP(img)
	out := NewImage(a.width, a.height)
	pen := newAlpha(d, out)
	for y := range out.Height {
		for x := range out.Width {
			pen.set(x, y, transparent)
		}
	}
	for y := range frame.Height {
		copy(out.row(a.top + y)[3*a.left:], frame.row(y))
	}
	return out, nil
}

// webpFile is a still picture, or what matters of an animation.
type webpFile struct {
	still         []byte // a WebP file of the first frame
	animated      bool
	width, height int // of the canvas
	left, top     int // of the first frame
}

var (
	errWebPNoFrame = errors.New("no frame")
	errWebPFrame   = errors.New("the first frame has not the size that it says, or exceeds the canvas")
)

func parseWebP(data []byte) (webpFile, error) {
	if uint64(binary.LittleEndian.Uint32(data[4:]))+8 > uint64(len(data)) {
		return webpFile{}, io.ErrUnexpectedEOF
	}
	kind, canvas, chunks := webpChunk(data[12:])
	if kind != "VP8X" || len(canvas) < 10 || canvas[0]&2 == 0 {
		return webpFile{still: data}, nil
	}
	a := webpFile{animated: true, width: 1 + uint24(canvas[4:]), height: 1 + uint24(canvas[7:])}
	for len(chunks) > 0 {
		var frame []byte
		kind, frame, chunks = webpChunk(chunks)
		if kind != "ANMF" || len(frame) < 16 {
			continue
		}
		a.left, a.top = 2*uint24(frame), 2*uint24(frame[3:])
		width, height := 1+uint24(frame[6:]), 1+uint24(frame[9:])
		if a.left+width > a.width || a.top+height > a.height {
			return a, errWebPFrame
		}
		a.still = stillWebP(frame)
		config, err := webp.DecodeConfig(bytes.NewReader(a.still))
		if err == nil && (config.Width != width || config.Height != height) {
			err = errWebPFrame
		}
		return a, err
	}
	return a, errWebPNoFrame
}

// stillWebP makes a file of a frame: its header's width and height, and its chunks.
func stillWebP(frame []byte) []byte {
	size, chunks := frame[6:12], frame[16:]
	out := []byte("RIFF....WEBP")
	if kind, _, _ := webpChunk(chunks); kind == "ALPH" {
		const hasAlpha = 1 << 4
		out = append(out, "VP8X\x0a\x00\x00\x00"...)
		out = append(out, hasAlpha, 0, 0, 0)
		out = append(out, size...)
	}
	out = append(out, chunks...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

// webpChunk splits off the first chunk, which ends with the data if that is short.
func webpChunk(data []byte) (kind string, chunk, rest []byte) {
	if len(data) < 8 {
		return "", nil, nil
	}
	n := int(binary.LittleEndian.Uint32(data[4:]))
	kind, data = string(data[:4]), data[8:]
	end := min(n, len(data))
	return kind, data[:end], data[min(end+n%2, len(data)):]
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// fromWebP converts what the webp package returns. Its YCbCr has a narrower range than a JPEG's.
func (d Decoder) fromWebP(img image.Image) Image {
	switch img := img.(type) {
	case *image.YCbCr:
		return fromVP8(img)
	case *image.NYCbCrA:
		out := fromVP8(&img.YCbCr)
		pen := newAlpha(d, out)
		for y := range out.Height {
			for x := range out.Width {
				c := pen.get(x, y)
				c.A = img.A[y*img.AStride+x]
				pen.set(x, y, c)
			}
		}
		return out
	}
	return d.FromImage(img)
}

// fromVP8 converts 4:2:0 planes as libwebp does, with its interpolation of the chroma.
func fromVP8(img *image.YCbCr) Image {
	out := NewImage(img.Rect.Dx(), img.Rect.Dy())
	cw, ch := (out.Width+1)/2, (out.Height+1)/2
	cb, cr := make([]uint8, out.Width), make([]uint8, out.Width)
	for y := range out.Height {
		near := y / 2
		far := max(0, min(ch-1, near-1+y%2*2))
		for _, c := range []struct{ dst, plane []uint8 }{{cb, img.Cb}, {cr, img.Cr}} {
			vp8Chroma(c.dst, c.plane[near*img.CStride:][:cw], c.plane[far*img.CStride:][:cw])
		}
		vp8ToRGB(out.row(y), img.Y[y*img.YStride:], cb, cr)
	}
	return out
}

// vp8Chroma upsamples a row: 9 parts of the nearest sample, 3 of the neighbours beside and
// above or below, 1 of the diagonal one.
func vp8Chroma(dst, near, far []uint8) {
	last := len(near) - 1
	for x := range dst {
		n := x / 2
		side := max(0, min(last, n-1+x%2*2))
		a, b, c, d := int32(near[n]), int32(near[side]), int32(far[n]), int32(far[side])
		dst[x] = uint8((9*a + 3*b + 3*c + d + 8) >> 4)
	}
}

// vp8ToRGB converts a row in libwebp's fixed point.
func vp8ToRGB(dst, luma, cb, cr []uint8) {
	clip := func(v int32) uint8 { return uint8(max(0, min(255, v>>6))) }
	for x := range len(dst) / 3 {
		y, u, v := int32(luma[x])*19077>>8, int32(cb[x]), int32(cr[x])
		p := dst[3*x : 3*x+3]
		p[0] = clip(y + v*26149>>8 - 14234)
		p[1] = clip(y - u*6419>>8 - v*13320>>8 + 8708)
		p[2] = clip(y + u*33050>>8 - 17685)
	}
}
