package vision

import (
	"fmt"
	"math"
)

// Filter is a resampling filter, numbered as Pillow does and as the field
// "resample" of preprocessor_config.json expects.
type Filter int

// The filters of Pillow. All but Nearest are widened when a picture is made
// smaller (antialiasing).
const (
	Nearest  Filter = 0
	Lanczos  Filter = 1
	Bilinear Filter = 2
	Bicubic  Filter = 3
	Box      Filter = 4
	Hamming  Filter = 5
	MKS2013  Filter = 6 // Magic Kernel Sharp, since Pillow 13
	MKS2021  Filter = 7
)

var filterNames = [...]string{"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "mks2013", "mks2021"}

func (f Filter) valid() bool { return f >= 0 && int(f) < len(filterNames) }

// String returns the filter's name in lower case.
func (f Filter) String() string {
	if !f.valid() {
		return fmt.Sprintf("Filter(%d)", int(f))
	}
	return filterNames[f]
}

// kernel returns the filter's weight as a function of the distance, and the distance
// beyond which it is zero.
func (f Filter) kernel() (weight func(float64) float64, support float64) {
	switch f {
	case Lanczos:
		return lanczosWeight, 3
	case Bilinear:
		return bilinearWeight, 1
	case Bicubic:
		return bicubicWeight, 2
	case Box:
		return boxWeight, 0.5
	case Hamming:
		return hammingWeight, 1
	case MKS2013:
		return mks2013Weight, 2.5
	case MKS2021:
		return mks2021Weight, 4.5
	}
	panic("vision: no kernel for " + f.String())
}

func boxWeight(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func bilinearWeight(x float64) float64 {
	return max(0, 1-math.Abs(x))
}

func hammingWeight(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x == 0:
		return 1
	case x >= 1:
		return 0
	}
	x *= math.Pi
	return math.Sin(x) / x * (0.54 + float64(0.46*math.Cos(x)))
}

// bicubicWeight is Keys' cubic convolution with a = -0.5.
func bicubicWeight(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*x*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

func lanczosWeight(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// mks2013Weight and mks2021Weight are John Costella's Magic Kernel Sharp with one and with two
// sharpening steps (johncostella.com/magic).
func mks2013Weight(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 0.5:
		return 17.0/16 - float64(1.75*x*x)
	case x < 1.5:
		return (1 - x) * (1.75 - x)
	case x < 2.5:
		return -0.125 * (x - 2.5) * (x - 2.5)
	}
	return 0
}

func mks2021Weight(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 0.5:
		return 577.0/576 - float64(239.0/144*x*x)
	case x < 1.5:
		return (float64(140*x*x) - float64(379*x) + 239) / 144
	case x < 2.5:
		return -(float64(24*x*x) - float64(113*x) + 130) / 144
	case x < 3.5:
		return (float64(4*x*x) - float64(27*x) + 45) / 144
	case x < 4.5:
		return -(2*x - 9) * (2*x - 9) / 1152
	}
	return 0
}

// weightBits is the number of fractional bits of a weight: 8 bits are left to the pixel and 2
// to the weights whose sum of absolute values exceeds 1.
const weightBits = 32 - 8 - 2

// tapsAtOnce is the number of taps that the loop over a row unrolls.
const tapsAtOnce = 4

// taps says which inputs make each output along one axis: output i is the sum of
// weights[i*size+j] * input[first[i]+j] over j < count[i], with weights in units of
// 2^-weightBits. The weights that follow up to size, a multiple of tapsAtOnce, are 0.
type taps struct {
	size         int
	first, count []int
	weights      []int32
}

// newTaps computes the taps from in inputs to out outputs. The conversions
// to float64 keep the compiler from fusing a product with a sum, which would round differently
// on some machines.
func newTaps(f Filter, in, out int) taps {
	weight, support := f.kernel()
	scale := float64(in) / float64(out)
	stretch := max(1, scale)
	support = float64(support * stretch)
	most := 2*int(math.Ceil(support)) + 1
	t := taps{size: tapsAtOnce * ((most + tapsAtOnce - 1) / tapsAtOnce), first: make([]int, out), count: make([]int, out)}
	t.weights = make([]int32, out*t.size)
	exact := make([]float64, most)
	for i := range out {
		center := float64((float64(i) + 0.5) * scale)
		first := max(0, int(center-support+0.5))
		count := min(in, int(center+support+0.5)) - first
		sum := 0.0
		for j := range count {
			exact[j] = weight(float64((float64(first+j) - center + 0.5) * (1 / stretch)))
			sum += exact[j]
		}
		row := t.weights[i*t.size:]
		for j := range count {
			w := exact[j]
			if sum != 0 {
				w /= sum
			}
			row[j] = int32(math.Round(w * (1 << weightBits)))
		}
		t.first[i], t.count[i] = first, count
	}
	return t
}

// Resize returns the picture scaled to width by height pixels, as Pillow's
// Image.resize does it: along rows and along columns, in fixed point, rounded to 8 bits in between. It
// panics if the size is not positive, the picture is empty, or f is not one of the filters.
func (m Image) Resize(width, height int, f Filter) Image {
	if err := m.check(); err != nil {
		panic(err.Error())
	}
	if width <= 0 || height <= 0 {
		panic(fmt.Sprintf("vision: resize from %dx%d to %dx%d", m.Width, m.Height, width, height))
	}
	if !f.valid() {
		panic("vision: resize with unknown filter " + f.String())
	}
	if width == m.Width && height == m.Height {
		return Image{width, height, append([]uint8(nil), m.Pix...)}
	}
	if f == Nearest {
		return m.nearest(width, height)
	}
	// Pillow 13 begins with the columns when they lose more than twice as many pixels as the
	// rows. (Older releases never do; the intermediate rounding makes a level's difference.)
	if height < m.Height && m.Height-height > 2*(m.Width-width) {
		return m.resizeColumns(height, f).resizeRows(width, f)
	}
	return m.resizeRows(width, f).resizeColumns(height, f)
}

// nearest takes for each output the input pixel under its centre.
func (m Image) nearest(width, height int) Image {
	out := NewImage(width, height)
	xs, ys := nearestIndex(m.Width, width), nearestIndex(m.Height, height)
	for y, sy := range ys {
		dst, src := out.row(y), m.row(sy)
		for x, sx := range xs {
			copy(dst[3*x:3*x+3], src[3*sx:3*sx+3])
		}
	}
	return out
}

// nearestIndex adds up the step as Pillow does, rounding errors included.
func nearestIndex(in, out int) []int {
	index := make([]int, out)
	step := float64(in) / float64(out)
	pos := step * 0.5
	for i := range index {
		index[i] = min(int(pos), in-1)
		pos += step
	}
	return index
}

// resizeRows scales each row to width pixels.
func (m Image) resizeRows(width int, f Filter) Image {
	if width == m.Width {
		return m
	}
	t := newTaps(f, m.Width, width)
	out := NewImage(width, m.Height)
	src := make([]uint8, 3*(m.Width+tapsAtOnce)) // a row, and room for taps of weight 0
	for y := range m.Height {
		copy(src, m.row(y))
		dst := out.row(y)
		for x, first := range t.first {
			in, weights := src[3*first:], t.weights[x*t.size:]
			r, g, b := int32(half), int32(half), int32(half)
			for j := 0; j < t.count[x]; j += tapsAtOnce {
				p, w := (*[3 * tapsAtOnce]uint8)(in[3*j:]), (*[tapsAtOnce]int32)(weights[j:])
				r += w[0]*int32(p[0]) + w[1]*int32(p[3]) + w[2]*int32(p[6]) + w[3]*int32(p[9])
				g += w[0]*int32(p[1]) + w[1]*int32(p[4]) + w[2]*int32(p[7]) + w[3]*int32(p[10])
				b += w[0]*int32(p[2]) + w[1]*int32(p[5]) + w[2]*int32(p[8]) + w[3]*int32(p[11])
			}
			p := dst[3*x : 3*x+3]
			p[0], p[1], p[2] = clip(r), clip(g), clip(b)
		}
	}
	return out
}

// resizeColumns scales each column to height pixels.
func (m Image) resizeColumns(height int, f Filter) Image {
	if height == m.Height {
		return m
	}
	t := newTaps(f, m.Height, height)
	out := NewImage(m.Width, height)
	sums := make([]int32, 3*m.Width)
	for y, first := range t.first {
		for i := range sums {
			sums[i] = half
		}
		for j, w := range t.weights[y*t.size:][:t.count[y]] {
			for i, v := range m.row(first + j)[:len(sums)] {
				sums[i] += w * int32(v)
			}
		}
		dst := out.row(y)[:len(sums)]
		for i, s := range sums {
			dst[i] = clip(s)
		}
	}
	return out
}

const half = 1 << (weightBits - 1)

// clip rounds a sum of weighted values to 0..255.
func clip(sum int32) uint8 {
	return uint8(max(0, min(255, sum>>weightBits)))
}
