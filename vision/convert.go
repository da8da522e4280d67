package vision

import (
	"image"
	"image/color"
)

// FromImage converts img to RGB as Pillow's convert("RGB") converts its counterpart, or
// lays it on the background. Of kinds with 16 bits, colours keep their
// high byte, and greys above 255 become 255 (Pillow clips and does not scale them).
// A YCbCr picture is taken for a JPEG's.
func (d Decoder) FromImage(img image.Image) Image {
	b := img.Bounds()
	out := NewImage(b.Dx(), b.Dy())
	switch img := img.(type) {
	case *image.YCbCr:
		fromYCbCr(out, img)
		return out
	case *image.CMYK:
		for y := range out.Height {
			cmykToRGB(out.row(y), img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):])
		}
		return out
	}
	pen := newAlpha(d, out)
	at := colorsOf(img)
	for y := range out.Height {
		for x := range out.Width {
			pen.set(x, y, at(b.Min.X+x, b.Min.Y+y))
		}
	}
	return out
}

// colorsOf returns a function for the colour at x, y.
func colorsOf(img image.Image) func(x, y int) color.NRGBA {
	switch img := img.(type) {
	case *image.NRGBA:
		return img.NRGBAAt
	case *image.Gray:
		return func(x, y int) color.NRGBA { return gray(img.GrayAt(x, y).Y) }
	case *image.Gray16:
		return func(x, y int) color.NRGBA { return gray(uint8(min(255, img.Gray16At(x, y).Y))) }
	case *image.NRGBA64:
		return func(x, y int) color.NRGBA {
			c := img.NRGBA64At(x, y)
			return color.NRGBA{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8), uint8(c.A >> 8)}
		}
	case *image.RGBA:
		return func(x, y int) color.NRGBA {
			c := img.RGBAAt(x, y)
			if c.A == 255 {
				return color.NRGBA(c)
			}
			return color.NRGBAModel.Convert(c).(color.NRGBA)
		}
	case *image.Paletted:
		var colors [256]color.NRGBA
		for i, c := range img.Palette[:min(256, len(img.Palette))] {
			colors[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		return func(x, y int) color.NRGBA { return colors[img.ColorIndexAt(x, y)] }
	}
	return func(x, y int) color.NRGBA { return color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA) }
}

func gray(v uint8) color.NRGBA { return color.NRGBA{v, v, v, 255} }

var transparent color.NRGBA

// alpha is a picture into which colours with alpha are put.
type alpha struct {
	out        Image
	blend      bool
	background color.NRGBA // if blend
}

func newAlpha(d Decoder, out Image) alpha {
	a := alpha{out: out}
	if d.Background != nil {
		a.blend = true
		a.background = color.NRGBAModel.Convert(d.Background).(color.NRGBA)
	}
	return a
}

func (a alpha) set(x, y int, c color.NRGBA) {
	if a.blend {
		c.R = blend(c.R, a.background.R, c.A)
		c.G = blend(c.G, a.background.G, c.A)
		c.B = blend(c.B, a.background.B, c.A)
	}
	i := 3 * (y*a.out.Width + x)
	p := a.out.Pix[i : i+3]
	p[0], p[1], p[2] = c.R, c.G, c.B
}

func (a alpha) get(x, y int) color.NRGBA {
	p := a.out.Pix[3*(y*a.out.Width+x):]
	return color.NRGBA{p[0], p[1], p[2], 255}
}

// blend lays c with the given alpha over an opaque background, in the fixed point of Pillow's
// alpha_composite.
func blend(c, background, alpha uint8) uint8 {
	a := uint32(alpha)
	v := (uint32(c)*a+uint32(background)*(255-a))<<7 + 0x80<<7
	return uint8((v>>8 + v) >> 8 >> 7)
}

// fromYCbCr converts the planes that the image/jpeg package decodes.
func fromYCbCr(out Image, img *image.YCbCr) {
	h, v := subsampling(img.SubsampleRatio)
	b := img.Rect
	left, top := b.Min.X%h, b.Min.Y%v
	width, height := ceilDiv(b.Max.X, h)-b.Min.X/h, ceilDiv(b.Max.Y, v)-b.Min.Y/v
	start := img.COffset(b.Min.X, b.Min.Y)
	cb := newPlane(img.Cb[start:], img.CStride, width, height, h, v)
	cr := newPlane(img.Cr[start:], img.CStride, width, height, h, v)
	for y := range out.Height {
		luma := img.Y[img.YOffset(b.Min.X, b.Min.Y+y):]
		yccToRGB(out.row(y), luma, cb.row(y + top)[left:], cr.row(y + top)[left:])
	}
}

func subsampling(r image.YCbCrSubsampleRatio) (h, v int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// cmykToRGB converts a row of four inks, 255 being full ink, as Pillow does.
func cmykToRGB(dst, src []uint8) {
	for x := range len(dst) / 3 {
		white := 255 - src[4*x+3]
		for c := range 3 {
			dst[3*x+c] = white - mulDiv255(src[4*x+c], white)
		}
	}
}

// mulDiv255 is a*b/255, rounded.
func mulDiv255(a, b uint8) uint8 {
	t := uint32(a)*uint32(b) + 128
	return uint8((t>>8 + t) >> 8)
}
