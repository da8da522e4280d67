package vision

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Augmentation changes pictures at random, so that a model that is trained for many epochs sees none twice. The names and
// the ranges are those of torchvision.transforms; they are applied in the order of the fields. The zero value changes nothing.
type Augmentation struct {
	// RandomResizedCrop takes a part of the picture, which the [Processor] then resizes.
	RandomResizedCrop RandomResizedCrop
	// RandomHorizontalFlip is the probability of mirroring the picture.
	RandomHorizontalFlip float64
	ColorJitter          ColorJitter
}

// RandomResizedCrop is a part of a picture: so much of its area, as wide for its height. Zero scales turn it off.
type RandomResizedCrop struct {
	Scale [2]float64 // least and largest share of the area; torchvision's default is 0.08 to 1
	Ratio [2]float64 // least and largest ratio of width to height; torchvision's default is 3/4 to 4/3
}

// ColorJitter changes brightness, contrast and saturation by factors drawn from 1-x to 1+x, and turns the hue by up to
// Hue, of a whole turn, in a random order.
type ColorJitter struct{ Brightness, Contrast, Saturation, Hue float64 }

// ParseAugmentation reads a list such as "random_resized_crop,random_horizontal_flip=0.3,color_jitter". A value is, in this
// order, the least share of the area (0.5 if it is not given), the probability (0.5), and the strength of brightness, contrast
// and saturation (0.2; the hue's is a quarter of it).
func ParseAugmentation(list string) (a Augmentation, err error) {
	if list == "" {
		return a, nil
	}
	for item := range strings.SplitSeq(list, ",") {
		name, text, given := strings.Cut(strings.TrimSpace(item), "=")
		value := map[string]float64{"random_resized_crop": 0.5, "random_horizontal_flip": 0.5, "color_jitter": 0.2}[name]
		if value == 0 {
			return a, fmt.Errorf("augmentation %q: want random_resized_crop, random_horizontal_flip or color_jitter", name)
		}
		if given {
			if value, err = strconv.ParseFloat(text, 64); err != nil || !(value > 0 && value <= 1) {
				return a, fmt.Errorf("augmentation %s=%s: want a number above 0 and up to 1", name, text)
			}
		}
		switch name {
		case "random_resized_crop":
			a.RandomResizedCrop = RandomResizedCrop{Scale: [2]float64{value, 1}, Ratio: [2]float64{3. / 4, 4. / 3}}
		case "random_horizontal_flip":
			a.RandomHorizontalFlip = value
		case "color_jitter":
			a.ColorJitter = ColorJitter{value, value, value, value / 4}
		}
	}
	return a, nil
}

// Check returns an error if a range makes no sense.
func (a Augmentation) Check() error {
	c, j := a.RandomResizedCrop, a.ColorJitter
	switch {
	case c != (RandomResizedCrop{}) && !(c.Scale[0] > 0 && c.Scale[0] <= c.Scale[1] && c.Scale[1] <= 1):
		return fmt.Errorf("vision: random_resized_crop has scale %v, want a range within (0, 1]", c.Scale)
	case c != (RandomResizedCrop{}) && !(c.Ratio[0] > 0 && c.Ratio[0] <= c.Ratio[1] && !math.IsInf(c.Ratio[1], 0)):
		return fmt.Errorf("vision: random_resized_crop has ratio %v, want a range of positive numbers", c.Ratio)
	case !(a.RandomHorizontalFlip >= 0 && a.RandomHorizontalFlip <= 1):
		return fmt.Errorf("vision: random_horizontal_flip is %v, want a probability", a.RandomHorizontalFlip)
	case !(min(j.Brightness, j.Contrast, j.Saturation) >= 0 && max(j.Brightness, j.Contrast, j.Saturation) <= 1):
		return fmt.Errorf("vision: color_jitter is %+v, want numbers from 0 to 1", j)
	case !(j.Hue >= 0 && j.Hue <= 0.5):
		return fmt.Errorf("vision: color_jitter has hue %v, want a number from 0 to 0.5", j.Hue)
	}
	return nil
}

// Apply returns a changed copy of m, or m itself. What is drawn depends on random and the size of m alone. With keepSides the
// picture is not mirrored: its left stays left.
func (a Augmentation) Apply(m Image, random *rand.Rand, keepSides bool) Image {
	if a.RandomResizedCrop != (RandomResizedCrop{}) {
		m = m.Crop(a.RandomResizedCrop.draw(m.Width, m.Height, random))
	}
	if random.Float64() < a.RandomHorizontalFlip && !keepSides {
		m = m.FlipHorizontal()
	}
	return a.ColorJitter.apply(m, random)
}

// draw chooses the part as torchvision does: at random, or after ten parts that do not fit the one in the middle.
func (c RandomResizedCrop) draw(width, height int, random *rand.Rand) (x, y, w, h int) {
	between := func(low, high float64) float64 { return low + (high-low)*random.Float64() }
	for range 10 {
		area := float64(width) * float64(height) * between(c.Scale[0], c.Scale[1])
		ratio := math.Exp(between(math.Log(c.Ratio[0]), math.Log(c.Ratio[1])))
		w, h := int(math.RoundToEven(math.Sqrt(area*ratio))), int(math.RoundToEven(math.Sqrt(area/ratio)))
		if w > 0 && w <= width && h > 0 && h <= height {
			return random.IntN(width - w + 1), random.IntN(height - h + 1), w, h
		}
	}
	w, h = width, height
	switch ratio := float64(width) / float64(height); {
	case ratio < c.Ratio[0]:
		h = min(max(int(math.RoundToEven(float64(w)/c.Ratio[0])), 1), height)
	case ratio > c.Ratio[1]:
		w = min(max(int(math.RoundToEven(float64(h)*c.Ratio[1])), 1), width)
	}
	return (width - w) / 2, (height - h) / 2, w, h
}

// Crop returns the w by h pixels from column x and row y on. It panics if they are not all in the picture.
func (m Image) Crop(x, y, w, h int) Image {
	if x < 0 || y < 0 || w < 0 || h < 0 || x+w > m.Width || y+h > m.Height {
		panic(fmt.Sprintf("vision: crop of %dx%d at (%d, %d) from an image of %dx%d", w, h, x, y, m.Width, m.Height))
	}
	out := NewImage(w, h)
	for row := range h {
		copy(out.row(row), m.row(y + row)[3*x:])
	}
	return out
}

// FlipHorizontal returns the picture mirrored: its left becomes its right.
func (m Image) FlipHorizontal() Image {
	out := NewImage(m.Width, m.Height)
	for y := range m.Height {
		from, to := m.row(y), out.row(y)
		for x := range m.Width {
			copy(to[3*x:3*x+3], from[3*(m.Width-1-x):])
		}
	}
	return out
}

// apply draws the order and the factors, all of them always.
func (j ColorJitter) apply(m Image, random *rand.Rand) Image {
	order := random.Perm(4)
	factor := func(strength float64) float64 { return 1 + strength*(2*random.Float64()-1) }
	brightness, contrast, saturation, hue := factor(j.Brightness), factor(j.Contrast), factor(j.Saturation), j.Hue*(2*random.Float64()-1)
	if j == (ColorJitter{}) {
		return m
	}
	out := Image{m.Width, m.Height, append([]uint8(nil), m.Pix...)}
	for _, step := range order {
		switch step {
		case 0:
			out.blend(brightness, func(int) float64 { return 0 })
		case 1:
			mean := math.Floor(out.meanGrey() + 0.5)
			out.blend(contrast, func(int) float64 { return mean })
		case 2:
			out.blend(saturation, func(i int) float64 { return float64(grey(out.Pix[i:])) })
		case 3:
			out.turnHue(hue)
		}
	}
	return out
}

// blend moves each pixel away from another, or towards it with a factor below 1, as Pillow's Image.blend does.
func (m Image) blend(factor float64, other func(i int) float64) {
	if factor == 1 {
		return
	}
	for i := 0; i < len(m.Pix); i += 3 {
		o := other(i)
		for c := i; c < i+3; c++ {
			m.Pix[c] = uint8(min(max(o+factor*(float64(m.Pix[c])-o), 0), 255))
		}
	}
}

// grey is Pillow's luma of a pixel (ITU-R 601-2).
func grey(p []uint8) uint8 {
	return uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 0x8000) >> 16)
}

func (m Image) meanGrey() float64 {
	sum := 0
	for i := 0; i < len(m.Pix); i += 3 {
		sum += int(grey(m.Pix[i:]))
	}
	return float64(sum) / float64(m.Width*m.Height)
}

// turnHue turns the hue of each pixel by a share of a whole turn; value and saturation stay.
func (m Image) turnHue(turn float64) {
	if turn == 0 {
		return
	}
	for i := 0; i < len(m.Pix); i += 3 {
		p := m.Pix[i : i+3]
		r, g, b := float64(p[0]), float64(p[1]), float64(p[2])
		high, low := max(r, g, b), min(r, g, b)
		d := high - low
		if d == 0 {
			continue
		}
		var h float64 // in sixths of a turn
		switch high {
		case r:
			h = (g - b) / d
		case g:
			h = 2 + (b-r)/d
		default:
			h = 4 + (r-g)/d
		}
		for c, offset := range [3]float64{5, 3, 1} {
			k := math.Mod(h+6*turn+offset+12, 6)
			p[c] = uint8(math.Round(high - d*min(max(min(k, 4-k), 0), 1)))
		}
	}
}
