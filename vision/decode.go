package vision

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/bmp"
)

// DefaultMaxPixels is the number of pixels above which a picture is refused, the same
// as Pillow's limit for decompression bombs.
const DefaultMaxPixels = 178_956_970

// Decoder reads pictures. The zero value drops alpha and refuses pictures
// of more than DefaultMaxPixels.
type Decoder struct {
	// Background is laid under transparent pixels. When nil, alpha is dropped and the colour
	// that the file holds for a transparent pixel is kept, as Pillow's convert("RGB") does.
	// Its own alpha is ignored.
	Background color.Color
	// MaxPixels is the largest width*height that is decoded; 0 means DefaultMaxPixels.
	MaxPixels int
}

// Open reads a picture with the zero [Decoder]. The error names the file.
func Open(path string) (Image, error) { return Decoder{}.Open(path) }

// Decode reads a picture with the zero [Decoder].
func Decode(r io.Reader) (Image, error) { return Decoder{}.Decode(r) }

// FromImage converts a picture with the zero [Decoder].
func FromImage(img image.Image) Image { return Decoder{}.FromImage(img) }

// Open reads a PNG, JPEG, GIF, WebP or BMP file. The error names the file.
func (d Decoder) Open(path string) (Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Image{}, err
	}
	img, err := d.decode(data)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// Decode reads a PNG, JPEG, GIF (the first frame), WebP or BMP picture. It reads r to its end.
func (d Decoder) Decode(r io.Reader) (Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Image{}, fmt.Errorf("read image: %w", err)
	}
	return d.decode(data)
}

// format is a file format: how it begins (a ? is any byte) and how it is read.
type format struct {
	name, magic string
	size        func(data []byte) (width, height int, err error)
	decode      func(d Decoder, data []byte) (Image, error)
}

var formats = []format{
	{"PNG", "\x89PNG\r\n\x1a\n", sizeWith(png.DecodeConfig), decodePNG},
	{"JPEG", "\xff\xd8", jpegSize, decodeJPEG},
	{"GIF", "GIF8?a", gifSize, decodeGIF},
	{"WebP", "RIFF????WEBP", webpSize, decodeWebP},
	{"BMP", "BM", sizeWith(bmp.DecodeConfig), decodeWith(bmp.Decode)},
}

// sizeWith makes a format's size from the DecodeConfig of an image package.
func sizeWith(config func(io.Reader) (image.Config, error)) func([]byte) (int, int, error) {
	return func(data []byte) (int, int, error) {
		c, err := config(bytes.NewReader(data))
		return c.Width, c.Height, err
	}
}

// decodeWith makes a format's decode from the Decode of an image package.
func decodeWith(decode func(io.Reader) (image.Image, error)) func(Decoder, []byte) (Image, error) {
	return func(d Decoder, data []byte) (Image, error) {
		img, err := decode(bytes.NewReader(data))
		if err != nil {
			return Image{}, err
		}
		return d.FromImage(img), nil
	}
}

// decodePNG takes a 16-bit grey with a transparent value, which the png package returns in colour,
// for the opaque grey that Pillow makes of it.
func decodePNG(d Decoder, data []byte) (Image, error) {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	const depth, colorType = 24, 25 // where IHDR, the first chunk, has them
	if c, ok := img.(*image.NRGBA64); ok && data[depth] == 16 && data[colorType] == 0 {
		gray := image.NewGray16(c.Rect)
		for y := range c.Rect.Dy() {
			for x := range c.Rect.Dx() {
				gray.SetGray16(x, y, color.Gray16{Y: c.NRGBA64At(x, y).R})
			}
		}
		img = gray
	}
	return d.FromImage(img), nil
}

func (d Decoder) decode(data []byte) (Image, error) {
	if len(data) == 0 {
		return Image{}, errors.New("not an image: no data")
	}
	for _, f := range formats {
		if !hasMagic(data, f.magic) {
			continue
		}
		width, height, err := f.size(data)
		if err != nil {
			return Image{}, f.error(err)
		}
		if err := d.checkSize(width, height); err != nil {
			return Image{}, f.error(err)
		}
		img, err := f.decode(d, data)
		if err != nil {
			return Image{}, f.error(err)
		}
		return img, nil
	}
	return Image{}, fmt.Errorf("not an image: expected PNG, JPEG, GIF, WebP or BMP, found data that begins with %q",
		data[:min(len(data), 12)])
}

// error says of what format a broken picture is, and calls data that ends early truncated.
func (f format) error(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s image is truncated: %w", f.name, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s image: %w", f.name, err)
}

func hasMagic(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i, c := range []byte(magic) {
		if c != '?' && c != data[i] {
			return false
		}
	}
	return true
}

func (d Decoder) checkSize(width, height int) error {
	limit := d.MaxPixels
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if width <= 0 || height <= 0 {
		return fmt.Errorf("no pixels: width %d, height %d", width, height)
	}
	if width > limit/height {
		return fmt.Errorf("too large: %dx%d is more than the limit of %d pixels", width, height, limit)
	}
	return nil
}
