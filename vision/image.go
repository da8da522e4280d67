package vision

import (
	"fmt"
	"image"
	"image/color"
)

// Image is an 8-bit RGB picture in row-major order. It is an [image.Image] too,
// so that image/png and others can write it.
type Image struct {
	Width, Height int
	Pix           []uint8 // red, green, blue of each pixel: [Height, Width, 3]
}

// NewImage returns a black picture. It panics if a side is negative.
func NewImage(width, height int) Image {
	if width < 0 || height < 0 {
		panic(fmt.Sprintf("vision: NewImage(%d, %d): negative size", width, height))
	}
	return Image{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
}

// ColorModel is that of opaque colours.
func (m Image) ColorModel() color.Model { return color.RGBAModel }

// Bounds begin at 0, 0.
func (m Image) Bounds() image.Rectangle { return image.Rect(0, 0, m.Width, m.Height) }

// At is the colour in column x of row y, transparent outside the picture.
func (m Image) At(x, y int) color.Color {
	if !(image.Point{X: x, Y: y}).In(m.Bounds()) {
		return color.RGBA{}
	}
	p := m.row(y)[3*x:]
	return color.RGBA{p[0], p[1], p[2], 255}
}

// row returns the 3*Width values of row y.
func (m Image) row(y int) []uint8 {
	return m.Pix[3*m.Width*y : 3*m.Width*(y+1)]
}

// check reports whether the picture has pixels and as many as its size says.
func (m Image) check() error {
	if m.Width <= 0 || m.Height <= 0 {
		return fmt.Errorf("vision: the image has no pixels: width %d, height %d", m.Width, m.Height)
	}
	if len(m.Pix) != 3*m.Width*m.Height {
		return fmt.Errorf("vision: an image of width %d, height %d needs %d values, found %d",
			m.Width, m.Height, 3*m.Width*m.Height, len(m.Pix))
	}
	return nil
}

// CenterCrop returns the middle width by height pixels. A picture smaller than
// that is surrounded with black. An odd pixel too many is cut at the right and
// bottom; an odd pixel missing is added at the left and top, as transformers'
// center_crop does.
func (m Image) CenterCrop(width, height int) Image {
	out := NewImage(width, height)
	left, top := floorHalf(m.Width-width), floorHalf(m.Height-height)
	x0, x1 := max(0, -left), min(width, m.Width-left)
	for y := max(0, -top); y < min(height, m.Height-top); y++ {
		copy(out.row(y)[3*x0:3*x1], m.row(y + top)[3*(x0+left):])
	}
	return out
}

// floorHalf is n/2 rounded down, for negative n too.
func floorHalf(n int) int { return n >> 1 }
