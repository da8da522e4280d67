package vision

// plane is a colour plane with one sample for h by v pixels, which row brings to full
// resolution as libjpeg-turbo does: a half is interpolated with a triangle filter ("fancy
// upsampling"), any other fraction is repeated.
type plane struct {
	pix           []uint8
	stride        int
	width, height int // in samples
	h, v          int
	sums          []int32
	full          []uint8 // a row at full resolution
}

func newPlane(pix []uint8, stride, width, height, h, v int) plane {
	p := plane{pix: pix, stride: stride, width: width, height: height, h: h, v: v}
	if h > 1 || v > 1 {
		p.sums, p.full = make([]int32, width), make([]uint8, h*width)
	}
	return p
}

// samples returns a row of samples, the first or last one beyond the edges.
func (p *plane) samples(y int) []uint8 {
	y = max(0, min(p.height-1, y))
	return p.pix[y*p.stride:][:p.width]
}

// row returns the row of pixels y, at least as many as the picture is wide. It may be overwritten by the next call.
func (p *plane) row(y int) []uint8 {
	near := p.samples(y / p.v)
	// Of two rows that a sample covers, the first leans on the sample above, the second on that below.
	far := func() []uint8 { return p.samples(y/2 - 1 + y%2*2) }
	switch {
	case p.h == 1 && p.v == 1:
		return near
	case p.h == 1 && p.v == 2:
		for x, f := range far() {
			p.full[x] = uint8((3*int32(near[x]) + int32(f) + 1 + int32(y%2)) >> 2)
		}
	case p.h == 2 && p.v == 1 && p.width > 2:
		for x, c := range near {
			p.sums[x] = int32(c)
		}
		triangle(p.full, p.sums, 1, 2, 2)
		// The samples at the ends count whole, without rounding up.
		p.full[0], p.full[len(p.full)-1] = near[0], near[p.width-1]
	case p.h == 2 && p.v == 2 && p.width > 2:
		for x, f := range far() {
			p.sums[x] = 3*int32(near[x]) + int32(f)
		}
		triangle(p.full, p.sums, 8, 7, 4)
	default:
		for x, c := range near {
			for i := range p.h {
				p.full[p.h*x+i] = c
			}
		}
	}
	return p.full
}

// triangle writes two outputs for each input: three parts of it and one of its left or right
// neighbour, an input at the end being its own neighbour. The two roundings differ so that their
// errors cancel.
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

// yccToRGB converts a row of full-range YCbCr (JFIF) in libjpeg's 16-bit fixed point.
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
