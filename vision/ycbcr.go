package vision

import "image"

// fromYCbCr converts a JPEG's planes as libjpeg-turbo does: chroma of half the
// resolution is interpolated with a triangle filter ("fancy upsampling"), chroma of a quarter is repeated,
// and colours are computed in 16-bit fixed point.
func fromYCbCr(out Image, img *image.YCbCr) {
	u := newUpsampler(img)
	for y := range out.Height {
		luma := img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		cb, cr := u.row(y)
		yccToRGB(out.row(y), luma, cb, cr)
	}
}

// yccToRGB converts a row of full-range YCbCr (JFIF).
func yccToRGB(dst, luma, cb, cr []uint8) {
	n := len(dst) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x := range n {
		y, b, r := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
		p := dst[3*x : 3*x+3]
		p[0] = clip8(y + (91881*r+1<<15)>>16)
		p[1] = clip8(y + (-22554*b-46802*r+1<<15)>>16)
		p[2] = clip8(y + (116130*b+1<<15)>>16)
	}
}

func clip8(v int32) uint8 { return uint8(max(0, min(255, v))) }

// upsampler brings the chroma rows of a picture to full resolution.
type upsampler struct {
	img           *image.YCbCr
	h, v          int // luma pixels for each chroma sample
	width, height int // of the chroma planes
	sums          []int32
	cb, cr        []uint8 // a full row
}

func newUpsampler(img *image.YCbCr) *upsampler {
	h, v := subsampling(img.SubsampleRatio)
	b := img.Rect
	u := &upsampler{img: img, h: h, v: v}
	u.width = (b.Max.X+h-1)/h - b.Min.X/h
	u.height = (b.Max.Y+v-1)/v - b.Min.Y/v
	u.sums = make([]int32, u.width)
	u.cb, u.cr = make([]uint8, h*u.width), make([]uint8, h*u.width)
	return u
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

// row returns the chroma of row y, which may be overwritten by the next call.
func (u *upsampler) row(y int) (cb, cr []uint8) {
	skip := u.img.Rect.Min.X % u.h
	y += u.img.Rect.Min.Y % u.v
	return u.plane(u.cb, u.img.Cb, y)[skip:], u.plane(u.cr, u.img.Cr, y)[skip:]
}

// plane upsamples the row of a chroma plane that covers luma row y.
func (u *upsampler) plane(dst, plane []uint8, y int) []uint8 {
	start := u.img.COffset(u.img.Rect.Min.X, u.img.Rect.Min.Y)
	sample := func(cy int) []uint8 {
		cy = max(0, min(u.height-1, cy))
		return plane[start+cy*u.img.CStride:][:u.width]
	}
	near := sample(y / u.v)
	// far is the next nearest row: above for the first luma row of a chroma row, below for the second.
	far := sample(y/u.v - 1 + y%u.v*2)
	switch {
	case u.h == 1 && u.v == 1:
		return near
	case u.h == 1 && u.v == 2:
		for x := range near {
			dst[x] = uint8((3*int32(near[x]) + int32(far[x]) + 1 + int32(y%2)) >> 2)
		}
	case u.h == 2 && u.v == 1 && u.width > 2:
		for x := range near {
			u.sums[x] = int32(near[x])
		}
		triangle(dst, u.sums, 1, 2, 2)
		dst[0], dst[len(dst)-1] = near[0], near[u.width-1]
	case u.h == 2 && u.v == 2 && u.width > 2:
		for x := range near {
			u.sums[x] = 3*int32(near[x]) + int32(far[x])
		}
		triangle(dst, u.sums, 8, 7, 4)
	default:
		for x, c := range near {
			for i := range u.h {
				dst[u.h*x+i] = c
			}
		}
	}
	return dst
}

// triangle writes two outputs for each input: three parts of it and one of its left or right
// neighbour, an input at the end being its own neighbour. The two roundings alternate so
// that their errors cancel.
func triangle(dst []uint8, in []int32, roundLeft, roundRight int32, shift uint) {
	last := len(in) - 1
	left := in[0]
	for x, c := range in {
		right := in[min(x+1, last)]
		dst[2*x] = uint8((3*c + left + roundLeft) >> shift)
		dst[2*x+1] = uint8((3*c + right + roundRight) >> shift)
		left = c
	}
}
