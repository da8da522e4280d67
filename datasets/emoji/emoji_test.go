package emoji

import (
	"bytes"
	"crypto/sha256"
	"image/color"
	"image/png"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
)

func examples(t *testing.T, d datasets.Dataset) []datasets.Example {
	t.Helper()
	list := make([]datasets.Example, d.Len())
	for i := range list {
		e, err := d.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = e
	}
	return list
}

func find(t *testing.T, id string) datasets.Example {
	t.Helper()
	for _, e := range examples(t, All()) {
		if e.ID == id {
			return e
		}
	}
	t.Fatalf("no picture %q", id)
	return datasets.Example{}
}

// onlyVariants are the names that only variants have: CLDR calls the plain
// emoji, and those of one tone, just "kiss" and "couple with heart".
var onlyVariants = map[string]bool{"kiss: person, person": true, "couple with heart: person, person": true}

func TestTheSampleHasTheSizesThatItsDocumentationTells(t *testing.T) {
	variants := 0
	for _, e := range examples(t, All()) {
		if _, tone := ParseName(e.Captions[0]); tone != "" {
			variants++
		}
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"all", All().Len(), 3629},
		{"train", Train().Len(), 3358},
		{"validation", Validation().Len(), 271},
		{"skin-tone variants", variants, 1775},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d pictures, want %d", c.what, c.got, c.want)
		}
	}
}

func TestEveryPictureIsThereOnceAndHasDistinctCaptions(t *testing.T) {
	ids := map[string]bool{}
	for _, part := range []datasets.Dataset{Train(), Validation()} {
		for _, e := range examples(t, part) {
			if ids[e.ID] {
				t.Errorf("%s appears twice", e.ID)
			}
			ids[e.ID] = true
			sorted := slices.Sorted(slices.Values(e.Captions))
			if len(sorted) == 0 || len(slices.Compact(sorted)) != len(e.Captions) || sorted[0] == "" {
				t.Errorf("%s has captions %q", e.ID, e.Captions)
			}
		}
	}
	if len(ids) != All().Len() {
		t.Errorf("the parts hold %d pictures, the whole %d", len(ids), All().Len())
	}
}

func TestNoCaptionOfOnePictureIsTheNameOfAnother(t *testing.T) {
	owner := map[string]string{}
	all := examples(t, All())
	for _, e := range all {
		if other, ok := owner[e.Captions[0]]; ok {
			t.Errorf("%s and %s are both named %q", other, e.ID, e.Captions[0])
		}
		owner[e.Captions[0]] = e.ID
	}
	for _, e := range all {
		for _, c := range e.Captions[1:] {
			if other, ok := owner[c]; ok {
				t.Errorf("%q describes %s and %s", c, other, e.ID)
			}
			owner[c] = e.ID
		}
	}
}

func TestEveryPictureDecodesToSixtyFourPixels(t *testing.T) {
	for _, e := range examples(t, All()) {
		img, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		if img.Width != 64 || img.Height != 64 || len(img.Pix) != 64*64*3 {
			t.Errorf("%s is %d by %d, %d values", e.ID, img.Width, img.Height, len(img.Pix))
		}
	}
}

func TestAPictureIsItsPNGOnWhite(t *testing.T) {
	const id = "2b1b" // black large square: transparent margin around black
	e := find(t, id)
	img, err := e.Image()
	if err != nil {
		t.Fatal(err)
	}
	data, err := PNG(id)
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 64 {
		for x := range 64 {
			c := color.NRGBAModel.Convert(want.At(x, y)).(color.NRGBA)
			for k, v := range []uint8{c.R, c.G, c.B} {
				blended := (float64(v)*float64(c.A) + 255*float64(255-c.A)) / 255
				if got := float64(img.Pix[(y*64+x)*3+k]); got < blended-1 || got > blended+1 {
					t.Fatalf("pixel %d,%d channel %d is %v, want %.1f", x, y, k, got, blended)
				}
			}
		}
	}
	if corner, centre := img.Pix[0], img.Pix[(32*64+32)*3]; corner != 255 || centre > 100 {
		t.Errorf("corner is %d, want white; centre is %d, want dark", corner, centre)
	}
}

func TestAnUnknownPictureIsAnError(t *testing.T) {
	if _, err := PNG("nothing"); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("error is %v, want one that names the picture", err)
	}
}

func TestHeldOutVariantsAreComposedOfWhatTrainingShows(t *testing.T) {
	names, tones := map[string]int{}, map[string]int{} // in training
	plain, drawings := maps.Clone(onlyVariants), map[[32]byte]bool{}
	sum := func(id string) [32]byte {
		data, err := PNG(id)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(data)
	}
	for _, e := range examples(t, Train()) {
		name, tone := ParseName(e.Captions[0])
		drawings[sum(e.ID)] = true
		if tone == "" {
			plain[name] = true
			continue
		}
		names[name]++
		for part := range strings.SplitSeq(tone, ", ") {
			tones[part]++
		}
	}
	for _, e := range examples(t, Validation()) {
		name, tone := ParseName(e.Captions[0])
		if !plain[name] || names[name] < 3 {
			t.Errorf("%q: training has the plain emoji: %t, and %d variants of it, want 3 or more", e.Captions[0], plain[name], names[name])
		}
		for part := range strings.SplitSeq(tone, ", ") {
			if tones[part] < 250 {
				t.Errorf("%q: training has %d pictures of the tone", e.Captions[0], tones[part])
			}
		}
		if drawings[sum(e.ID)] {
			t.Errorf("%q: training has the same drawing", e.Captions[0])
		}
	}
}

func TestTheNameOfAVariantIsTheCaptionOfThePlainEmoji(t *testing.T) {
	plain := maps.Clone(onlyVariants)
	for _, e := range examples(t, All()) {
		if name, tone := ParseName(e.Captions[0]); tone == "" {
			if name != e.Captions[0] {
				t.Errorf("%q is parsed to %q", e.Captions[0], name)
			}
			plain[name] = true
		}
	}
	for _, e := range examples(t, All()) {
		if name, _ := ParseName(e.Captions[0]); !plain[name] {
			t.Errorf("%q is parsed to %q, which is no emoji's name", e.Captions[0], name)
		}
	}
}

func TestParseName(t *testing.T) {
	for _, c := range []struct{ caption, name, tone string }{
		{"woman firefighter: medium-dark skin tone", "woman firefighter", "medium-dark skin tone"},
		{"man: light skin tone, red hair", "man: red hair", "light skin tone"},
		{"kiss: man, man, medium skin tone, light skin tone", "kiss: man, man", "medium skin tone, light skin tone"},
		{"kiss: woman, man", "kiss: woman, man", ""},
		{"medium skin tone", "medium skin tone", ""},
		{"flag: Egypt", "flag: Egypt", ""},
		{"keycap: #", "keycap: #", ""},
		{" axe ", "axe", ""},
		{"axe:", "axe:", ""},
		{"", "", ""},
	} {
		if name, tone := ParseName(c.caption); name != c.name || tone != c.tone {
			t.Errorf("%q is %q, %q; want %q, %q", c.caption, name, tone, c.name, c.tone)
		}
	}
}

func TestScore(t *testing.T) {
	const actual = "woman firefighter: dark skin tone"
	for _, c := range []struct {
		generated, actual string
		name, tone        bool
	}{
		{actual, actual, true, true},
		{"Woman firefighter: dark skin tone ", actual, true, true},
		{"woman firefighter: medium-dark skin tone", actual, true, false},
		{"man firefighter: dark skin tone", actual, false, true},
		{"woman firefighter", actual, true, false},
		{"", actual, false, false},
		{"axe", "axe", true, true},
		{"axe: dark skin tone", "axe", true, false},
		{"people holding hands: dark skin tone, light skin tone", "people holding hands: light skin tone, dark skin tone", true, false},
	} {
		if name, tone := Score(c.generated, c.actual); name != c.name || tone != c.tone {
			t.Errorf("%q for %q: name %t, tone %t; want %t, %t", c.generated, c.actual, name, tone, c.name, c.tone)
		}
	}
}

func TestTheSampleIsOpenedByItsName(t *testing.T) {
	for split, want := range map[string]int{"": 3629, "train": 3358, "validation": 271} {
		d, err := datasets.Open("emoji", datasets.Options{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		if d.Len() != want {
			t.Errorf("split %q holds %d pictures, want %d", split, d.Len(), want)
		}
	}
	for want, o := range map[string]datasets.Options{
		`no split "test"`:      {Split: "test"},
		`Images = "elsewhere"`: {Images: "elsewhere"},
	} {
		if _, err := datasets.Open("emoji", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}
