package attention

import (
	"image"
	"image/color"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/vision"
	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Sizes of a drawing in pixels.
const (
	side    = 160 // of the larger side of a picture
	margin  = 12
	caption = 26 // height of the line below a picture
	perRow  = 6
)

var (
	paper = color.RGBA{250, 250, 248, 255}
	ink   = color.RGBA{30, 32, 36, 255}
)

// Draw shows the picture by itself and once for each word, darkened but where
// the model looked, with a warm tint where it looked most. rows and cols are
// the patches of the words' heat.
func Draw(picture vision.Image, words []Word, rows, cols int) (image.Image, error) {
	face, err := newFace()
	if err != nil {
		return nil, err
	}
	defer face.Close()
	scale := float64(side) / float64(max(picture.Width, picture.Height))
	w, h := max(1, int(float64(picture.Width)*scale)), max(1, int(float64(picture.Height)*scale))
	plain := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(plain, plain.Bounds(), toRGBA(picture), image.Rect(0, 0, picture.Width, picture.Height), draw.Src, nil)

	n := len(words) + 1
	across := min(n, perRow)
	down := (n + across - 1) / across
	cellW, cellH := side+margin, h+caption+margin
	out := image.NewRGBA(image.Rect(0, 0, margin+across*cellW, margin+down*cellH))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for i := range n {
		x, y := margin+i%across*cellW+(side-w)/2, margin+i/across*cellH
		tile, text := plain, ""
		if i > 0 {
			tile, text = heated(plain, words[i-1].Heat, rows, cols), words[i-1].Text
		}
		draw.Draw(out, image.Rect(x, y, x+w, y+h), tile, image.Point{}, draw.Src)
		write(out, face, text, margin+i%across*cellW, y+h)
	}
	return out, nil
}

// heated lays a smooth heat map over the picture. The scale is the word's
// own: its hottest patch is the brightest.
func heated(plain *image.RGBA, heat []float32, rows, cols int) *image.RGBA {
	out := image.NewRGBA(plain.Bounds())
	lo, hi := float32(math.Inf(1)), float32(0)
	for _, x := range heat {
		lo, hi = min(lo, x), max(hi, x)
	}
	w, h := plain.Rect.Dx(), plain.Rect.Dy()
	for y := range h {
		for x := range w {
			v := 0.0
			if hi > lo {
				at := bilinear(heat, rows, cols, (float64(y)+0.5)*float64(rows)/float64(h)-0.5, (float64(x)+0.5)*float64(cols)/float64(w)-0.5)
				v = (at - float64(lo)) / float64(hi-lo)
			}
			c := plain.RGBAAt(x, y)
			light, tint := 0.25+0.75*v, 0.45*v*v
			mix := func(from uint8, to float64) uint8 { return uint8(light*float64(from)*(1-tint) + 255*to*tint) }
			out.SetRGBA(x, y, color.RGBA{mix(c.R, 1), mix(c.G, 0.45), mix(c.B, 0.05), 255})
		}
	}
	return out
}

func bilinear(heat []float32, rows, cols int, y, x float64) float64 {
	y, x = min(max(y, 0), float64(rows-1)), min(max(x, 0), float64(cols-1))
	y0, x0 := int(y), int(x)
	y1, x1 := min(y0+1, rows-1), min(x0+1, cols-1)
	fy, fx := y-float64(y0), x-float64(x0)
	at := func(r, c int) float64 { return float64(heat[r*cols+c]) }
	return (at(y0, x0)*(1-fx)+at(y0, x1)*fx)*(1-fy) + (at(y1, x0)*(1-fx)+at(y1, x1)*fx)*fy
}

func toRGBA(p vision.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i := range p.Width * p.Height {
		copy(out.Pix[4*i:], p.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	return out
}

func newFace() (font.Face, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: 15, DPI: 72, Hinting: font.HintingFull})
}

// write centres a word in the line below a picture, cut if it is too long.
func write(out draw.Image, face font.Face, text string, x, y int) {
	d := font.Drawer{Dst: out, Src: image.NewUniform(ink), Face: face}
	for r := []rune(text); d.MeasureString(text).Ceil() > side; text = string(r) + "…" {
		r = r[:len(r)-1]
	}
	d.Dot = fixed.P(x+(side-d.MeasureString(text).Ceil())/2, y+caption-8)
	d.DrawString(text)
}
