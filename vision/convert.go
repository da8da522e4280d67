package vision

import (
	"image"
	"image/color"
)

// FromImage converts img to RGB as Pillow's convert("RGB") converts its counterpart, or
// lays it on the background. Kinds that Pillow reduces: 16-bit colours keep their
// high byte, and 16-bit greys above 255 become 255 (Pillow clips and does not scale them).
// A YCbCr picture is taken for a JPEG's.
func (d Decoder) FromImage(img image.Image) Image {
	b := img.Bounds()
	out := NewImage(b.Dx(), b.Dy())
	alpha := newAlpha(d, out)
	switch img := img.(type) {
	case *image.YCbCr:
		fromYCbCr(out, img)
	case *image.CMYK:
		fromCMYK(out, img)
	case *image.Gray:
		for y := range out.Height {
			src, dst := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):], out.row(y)
			for x := range out.Width {
				setGray(dst[3*x:], src[x])
			}
		}
	case *image.Gray16:
		for y := range out.Height {
			src, dst := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):], out.row(y)
			for x := range out.Width {
				v := src[2*x+1]
				if src[2*x] > 0 {
					v = 255
				}
				setGray(dst[3*x:], v)
			}
		}
	case *image.Paletted:
		var colors [256]color.NRGBA
		for i, c := range img.Palette[:min(256, len(img.Palette))] {
			colors[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		for y := range out.Height {
			src := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range out.Width {
				alpha.set(x, y, colors[src[x]])
			}
		}
	case *image.NRGBA:
		for y := range out.Height {
			src := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range out.Width {
				p := src[4*x:]
				alpha.set(x, y, color.NRGBA{p[0], p[1], p[2], p[3]})
			}
		}
	case *image.NRGBA64:
		for y := range out.Height {
			src := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range out.Width {
				p := src[8*x:]
				alpha.set(x, y, color.NRGBA{p[0], p[2], p[4], p[6]})
			}
		}
	default:
		for y := range out.Height {
			for x := range out.Width {
				alpha.set(x, y, color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA))
			}
		}
	}
	return out
}

// alpha puts colours with alpha into a picture.
type alpha struct {
	out        Image
	background *color.NRGBA // nil: drop alpha
}

func newAlpha(d Decoder, out Image) alpha {
	if d.Background == nil {
		return alpha{out: out}
	}
	c := color.NRGBAModel.Convert(d.Background).(color.NRGBA)
	return alpha{out, &c}
}

func (a alpha) set(x, y int, c color.NRGBA) {
	if a.background != nil {
		c.R = blend(c.R, a.background.R, c.A)
		c.G = blend(c.G, a.background.G, c.A)
		c.B = blend(c.B, a.background.B, c.A)
	}
	p := a.out.row(y)[3*x : 3*x+3]
	p[0], p[1], p[2] = c.R, c.G, c.B
}

// blend lays c with the given alpha over an opaque background, as Pillow's alpha_composite
// does in fixed point.
func blend(c, background, alpha uint8) uint8 {
	a := uint32(alpha)
	v := (uint32(c)*a + uint32(background)*(255-a)) << 7
	v += 0x80 << 7
	return uint8(((v >> 8) + v) >> 8 >> 7)
}

func setGray(p []uint8, v uint8) { p[0], p[1], p[2] = v, v, v }

// fromCMYK takes out the complement of the ink, as Pillow does.
func fromCMYK(out Image, img *image.CMYK) {
	for y := range out.Height {
		src, dst := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):], out.row(y)
		for x := range out.Width {
			p := src[4*x : 4*x+4]
			white := 255 - p[3]
			for c := range 3 {
				dst[3*x+c] = uint8(max(0, int(white)-int(mulDiv255(p[c], white))))
			}
		}
	}
}

// mulDiv255 is a*b/255 rounded.
func mulDiv255(a, b uint8) uint8 {
	t := uint32(a)*uint32(b) + 128
	return uint8((t>>8 + t) >> 8)
}
