package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
)

func TestLinesFitTheirWidthAndKeepTheWords(t *testing.T) {
	f, err := face(goregular.TTF, textSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "man", "couple with heart: man, man, medium-light skin tone, medium-dark skin tone", strings.Repeat("a ", 200)} {
		var kept []string
		for _, line := range wrap(f, words(text, ink), textWidth) {
			var parts []string
			for _, w := range line {
				parts = append(parts, w.text)
			}
			if width := font.MeasureString(f, strings.Join(parts, " ")); width.Ceil() > textWidth {
				t.Errorf("%q is %d pixels wide, more than %d", parts, width.Ceil(), textWidth)
			}
			kept = append(kept, parts...)
		}
		if want := strings.Fields(text); !slices.Equal(kept, want) {
			t.Errorf("words %q, want %q", kept, want)
		}
	}
	if lines := wrap(f, words(strings.Repeat("m", 200)+" a", ink), textWidth); len(lines) != 2 {
		t.Errorf("a word that is too long: %d lines, want 2", len(lines))
	}
}

func TestWrongWordsAreRed(t *testing.T) {
	for _, c := range []struct {
		actual, generated string
		want              []color.Color
	}{
		{"Woman singer: dark skin tone", "woman singer: dark skin tone", []color.Color{right, right, right, right, right}},
		{"woman singer: dark skin tone", "man singer: medium-dark skin tone", []color.Color{wrong, right, wrong, right, right}},
		{"kiss: light skin tone, dark skin tone", "kiss: dark skin tone, light skin tone", []color.Color{right, wrong, right, right, wrong, right, right}},
		{"woman and man", "man", []color.Color{right}},
		{"singer", "", []color.Color{wrong}},
	} {
		var got []color.Color
		for _, w := range compare(captioned{actual: c.actual, generated: c.generated}) {
			got = append(got, w.colour)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q for %q: colours %v, want %v", c.generated, c.actual, got, c.want)
		}
	}
}

func TestASheetHoldsEveryPicture(t *testing.T) {
	blue := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		blue.SetRGBA(i%64, i/64, color.RGBA{0, 0, 255, 255})
	}
	for _, n := range []int{0, 1, 3, 4, 12} {
		items := slices.Repeat([]captioned{{picture: blue, actual: "a blue square", generated: "a red square"}}, n)
		sheet, err := drawSheet(items, "all wrong")
		if err != nil {
			t.Fatal(err)
		}
		pixels := 0
		for y := range sheet.Bounds().Dy() {
			for x := range sheet.Bounds().Dx() {
				if sheet.At(x, y) == (color.RGBA{0, 0, 255, 255}) {
					pixels++
				}
			}
		}
		if want := n * pictureSize * pictureSize; pixels != want {
			t.Errorf("%d pictures: %d blue pixels, want %d", n, pixels, want)
		}
	}
}

func TestPicturesAreEvenlySpaced(t *testing.T) {
	all := make([]captioned, 271)
	for i := range all {
		all[i].actual = strings.Repeat("x", i)
	}
	var got []int
	for _, c := range evenly(all, 12) {
		got = append(got, len(c.actual))
	}
	if want := []int{0, 22, 45, 67, 90, 112, 135, 158, 180, 203, 225, 248}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	if n := len(evenly(all[:5], 12)); n != 5 {
		t.Errorf("took %d of 5", n)
	}
}

func TestTheSummaryCountsNamesAndTones(t *testing.T) {
	got := summary([]captioned{
		{actual: "singer: dark skin tone", generated: "singer: dark skin tone"},
		{actual: "singer: dark skin tone", generated: "singer: light skin tone"},
		{actual: "singer: dark skin tone", generated: "cook: dark skin tone"},
		{actual: "singer: dark skin tone", generated: "cook"},
	})
	if want := "Of 4 held-out pictures: right name 50%, right skin tone 50%, both 25%."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Another processor rounds otherwise, and where two words are equally probable
// the other one may win; so a few pixels may differ.
func TestTheCommittedSheetIsThatOfTheEmbeddedModel(t *testing.T) {
	m, err := sample.Captioner()
	if err != nil {
		t.Fatal(err)
	}
	got, err := drawModel(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("../../images/captions.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if got.Bounds() != want.Bounds() {
		t.Fatalf("the sheet is %v now, %v in docs/images: go run ./docs/figures/captions", got.Bounds(), want.Bounds())
	}
	differ, area := 0, got.Bounds().Dx()*got.Bounds().Dy()
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			if color.RGBAModel.Convert(got.At(x, y)) != color.RGBAModel.Convert(want.At(x, y)) {
				differ++
			}
		}
	}
	if differ > area/200 {
		t.Errorf("%d of %d pixels differ from docs/images: go run ./docs/figures/captions", differ, area)
	}
}
