// Package lines makes lines of text as pictures, in several fonts and with
// noise: data from which a model learns to read. Its words are invented, so
// that they can be read, but not guessed.
package lines

import (
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"math/rand/v2"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Size of the pictures in pixels.
const Height, Width = 24, 112

// Alphabet has all characters of the lines, which have at most MaxLength of them.
const (
	Alphabet  = letters + digits + " -"
	MaxLength = 10
	letters   = "abcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
)

// Dataset is a number of lines. It implements [datasets.Dataset].
type Dataset struct {
	N       int
	Seed    uint64
	HeldOut bool // lines that no Dataset with HeldOut false has
}

// Len is the number of lines.
func (d Dataset) Len() int { return d.N }

// Example draws line i.
func (d Dataset) Example(i int) (datasets.Example, error) {
	random := rand.New(rand.NewPCG(d.Seed, uint64(i)))
	text := line(random)
	for heldOut(text) != d.HeldOut {
		text = line(random)
	}
	seed := random.Uint64()
	return datasets.Example{ID: fmt.Sprint(i), Captions: []string{text}, Image: func() (vision.Image, error) {
		return render(text, rand.New(rand.NewPCG(seed, 0)))
	}}, nil
}

// heldOut sets an eighth of all lines aside, by their text.
func heldOut(text string) bool {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()>>32%8 == 0
}

// line invents words and numbers until they are long enough.
func line(random *rand.Rand) string {
	length := 4 + random.IntN(MaxLength-3)
	var b strings.Builder
	for b.Len() < length {
		if b.Len() > 0 {
			b.WriteByte("   -"[random.IntN(4)])
		}
		from := []string{letters, letters, digits}[random.IntN(3)]
		word := make([]byte, 1+random.IntN(6))
		for i := range word {
			word[i] = from[random.IntN(len(from))]
		}
		b.Write(word)
	}
	return strings.TrimRight(b.String()[:length], " ")
}

var outlines = func() (fonts []*opentype.Font) {
	for _, ttf := range [][]byte{goregular.TTF, gobold.TTF, goitalic.TTF, gomono.TTF} {
		f, err := opentype.Parse(ttf)
		if err != nil {
			panic(err)
		}
		fonts = append(fonts, f)
	}
	return fonts
}()

var bitmaps = []font.Face{basicfont.Face7x13, inconsolata.Regular8x16, inconsolata.Bold8x16}

// face chooses a font, and a size of at most that in which the text fits.
func face(text string, random *rand.Rand) (font.Face, error) {
	n := random.IntN(len(outlines) + len(bitmaps))
	if n >= len(outlines) {
		return bitmaps[n-len(outlines)], nil
	}
	for size := 13 + 5*random.Float64(); ; size-- {
		f, err := opentype.NewFace(outlines[n], &opentype.FaceOptions{Size: size, DPI: 72})
		if err != nil || font.MeasureString(f, text) < fixed.I(Width-4) {
			return f, err
		}
	}
}

// render draws a line in a font, shades and a place of its own, and adds noise.
func render(text string, random *rand.Rand) (vision.Image, error) {
	f, err := face(text, random)
	if err != nil {
		return vision.Image{}, err
	}
	paper, ink, noise := 170+random.Float64()*85, random.Float64()*100, random.Float64()*20
	if random.IntN(4) == 0 {
		paper, ink = ink, paper
	}
	picture := image.NewGray(image.Rect(0, 0, Width, Height))
	room := fixed.I(Width) - font.MeasureString(f, text)
	top := fixed.I(Height) - f.Metrics().Ascent - f.Metrics().Descent
	dot := fixed.Point26_6{
		X: fixed.Int26_6(random.Float64() * float64(min(room, fixed.I(16)))),
		Y: f.Metrics().Ascent + fixed.Int26_6((0.2+0.6*random.Float64())*float64(top)),
	}
	(&font.Drawer{Dst: picture, Src: image.NewUniform(color.Gray{255}), Face: f, Dot: dot}).DrawString(text)
	for i, cover := range picture.Pix {
		shade := paper + (ink-paper)*float64(cover)/255 + noise*random.NormFloat64()
		picture.Pix[i] = uint8(min(max(shade, 0), 255))
	}
	return vision.FromImage(picture), nil
}
