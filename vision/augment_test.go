package vision

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// gradient is a picture whose pixels tell their column and row.
func gradient(width, height int) Image {
	m := NewImage(width, height)
	for y := range height {
		for x := range width {
			copy(m.row(y)[3*x:], []uint8{uint8(x), uint8(y), 7})
		}
	}
	return m
}

func TestTheZeroAugmentationChangesNothing(t *testing.T) {
	m := gradient(5, 4)
	if got := (Augmentation{}).Apply(m, rand.New(rand.NewPCG(1, 2)), false); !slices.Equal(got.Pix, m.Pix) {
		t.Error("a picture is changed")
	}
}

func TestCropsAreWithinTheirRangesAndReachAllOfThePicture(t *testing.T) {
	c := RandomResizedCrop{Scale: [2]float64{0.25, 1}, Ratio: [2]float64{3. / 4, 4. / 3}}
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{60, 40}, {40, 60}, {200, 10}, {10, 200}, {1, 1}, {1, 9}} {
		m := gradient(size[0], size[1])
		seen := map[[2]int]bool{}
		for range 400 {
			x, y, w, h := c.draw(m.Width, m.Height, random)
			part := m.Crop(x, y, w, h)
			if int(part.Pix[0]) != x || int(part.Pix[1]) != y || part.Width != w || part.Height != h {
				t.Fatalf("%v: the crop at %d, %d is not the picture's", size, x, y)
			}
			seen[[2]int{x, y}] = true
			area, ratio := float64(w*h)/float64(m.Width*m.Height), float64(w)/float64(h)
			if min(m.Width, m.Height) == 40 && (area < 0.22 || ratio < 0.72 || ratio > 1.38) {
				t.Errorf("%v: part of %dx%d", size, w, h)
			}
		}
		if min(m.Width, m.Height) == 40 && len(seen) < 100 {
			t.Errorf("%v: only %d places", size, len(seen))
		}
	}
	if x, y, w, h := c.draw(200, 10, random); w != 13 || h != 10 || x != 93 || y != 0 { // none of the ten fits
		t.Errorf("of a wide picture %dx%d at (%d, %d), want the middle", w, h, x, y)
	}
}

func TestAFlipMirrorsUnlessSidesAreToBeKept(t *testing.T) {
	m := gradient(5, 3)
	flip := Augmentation{RandomHorizontalFlip: 1}
	random := rand.New(rand.NewPCG(1, 2))
	got := flip.Apply(m, random, false)
	for y := range 3 {
		for x := range 5 {
			if p := got.row(y)[3*x:]; int(p[0]) != 4-x || int(p[1]) != y {
				t.Errorf("at (%d, %d) there is (%d, %d)", x, y, p[0], p[1])
			}
		}
	}
	if got := flip.Apply(m, random, true); !slices.Equal(got.Pix, m.Pix) {
		t.Error("sides are not kept")
	}
	half, flipped := Augmentation{RandomHorizontalFlip: 0.5}, 0
	for range 1000 {
		if got := half.Apply(m, random, false); got.Pix[0] == 4 {
			flipped++
		}
	}
	if flipped < 420 || flipped > 580 {
		t.Errorf("%d of 1000 are mirrored", flipped)
	}
}

func TestColoursAreChangedAsPillowDoes(t *testing.T) {
	of := func(r, g, b uint8, change func(Image)) [3]uint8 {
		m := Image{1, 1, []uint8{r, g, b}}
		change(m)
		return [3]uint8(m.Pix)
	}
	brighter := func(m Image) { m.blend(1.5, func(int) float64 { return 0 }) }
	paler := func(m Image) { m.blend(0.5, func(i int) float64 { return float64(grey(m.Pix[i:])) }) }
	for _, c := range []struct{ got, want [3]uint8 }{
		{of(100, 201, 3, brighter), [3]uint8{150, 255, 4}},
		{of(255, 0, 0, paler), [3]uint8{165, 38, 38}}, // grey is 76
		{of(255, 0, 0, func(m Image) { m.turnHue(1. / 3) }), [3]uint8{0, 255, 0}},
		{of(255, 0, 0, func(m Image) { m.turnHue(-1. / 3) }), [3]uint8{0, 0, 255}},
		{of(200, 100, 50, func(m Image) { m.turnHue(0.5) }), [3]uint8{50, 150, 200}},
		{of(90, 90, 90, func(m Image) { m.turnHue(0.4) }), [3]uint8{90, 90, 90}},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}

func TestJitterStaysWithinItsStrengthAndLeavesItsInput(t *testing.T) {
	m := Image{1, 1, []uint8{120, 120, 120}} // grey: contrast, saturation and hue leave it
	a := Augmentation{ColorJitter: ColorJitter{0.25, 0.25, 0.25, 0.1}}
	random, low, high := rand.New(rand.NewPCG(1, 2)), 255, 0
	for range 500 {
		got := int(a.Apply(m, random, false).Pix[0])
		low, high = min(low, got), max(high, got)
	}
	if low < 89 || low > 95 || high > 150 || high < 145 || m.Pix[0] != 120 {
		t.Errorf("brightness from %d to %d, the input is %v", low, high, m.Pix)
	}
}

func TestTheSameStreamMakesTheSamePicture(t *testing.T) {
	a, err := ParseAugmentation("random_resized_crop, random_horizontal_flip,color_jitter=0.4")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Augmentation{RandomResizedCrop{[2]float64{0.5, 1}, [2]float64{0.75, 4. / 3}}, 0.5, ColorJitter{0.4, 0.4, 0.4, 0.1}}); a != want || a.Check() != nil {
		t.Errorf("%+v, want %+v (%v)", a, want, a.Check())
	}
	m := gradient(30, 20)
	one, same, other := a.Apply(m, rand.New(rand.NewPCG(1, 2)), false), a.Apply(m, rand.New(rand.NewPCG(1, 2)), false), a.Apply(m, rand.New(rand.NewPCG(1, 3)), false)
	if !slices.Equal(one.Pix, same.Pix) || slices.Equal(one.Pix, other.Pix) {
		t.Error("a picture depends on more, or less, than the stream")
	}
}

func TestAugmentationsThatMakeNoSenseAreRefused(t *testing.T) {
	for list, want := range map[string]string{
		"crop": `"crop"`, "random_horizontal_flip=2": "random_horizontal_flip=2", "color_jitter=x": "color_jitter=x", "color_jitter=NaN": "NaN", "color_jitter,": `""`,
	} {
		if _, err := ParseAugmentation(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", list, err)
		}
	}
	good := [2]float64{1, 1}
	for _, a := range []Augmentation{
		{RandomResizedCrop: RandomResizedCrop{Scale: [2]float64{0.5, 2}, Ratio: good}},
		{RandomResizedCrop: RandomResizedCrop{Scale: good}},
		{RandomHorizontalFlip: math.NaN()},
		{ColorJitter: ColorJitter{Contrast: -1}},
		{ColorJitter: ColorJitter{Hue: 0.6}},
	} {
		if a.Check() == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}
