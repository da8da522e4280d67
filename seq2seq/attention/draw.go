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
	legend  = 28 // height of the scale below all
	bar     = 90 // its width
)

var (
	paper = color.RGBA{250, 250, 248, 255}
	ink   = color.RGBA{30, 32, 36, 255}
)

// Draw shows the picture by itself and once for each word, in dark grey but
// where the model looked, which glows from red to yellow. The scale is the
// same for all words, so that a word for which the model looked nowhere in
// particular has no bright place; it stands below them. rows and cols are the
// patches of the words' heat.
func Draw(picture vision.Image, words []Word, rows, cols int) (image.Image, error) {
	face, err := newFace()
	if err != nil {
		return nil, err
	}
	defer face.Close()
	scale := float64(side) / float64(max(picture.Width, picture.Height))
	w, h := max(1, int(float64(picture.Width)*scale)), max(1, int(float64(picture.Height)*scale))
	plain := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(plain, plain.Bounds(), picture, picture.Bounds(), draw.Src, nil)

	n := len(words) + 1
	across := min(n, perRow)
	down := (n + across - 1) / across
	cellW, cellH := side+margin, h+caption+margin
	out := image.NewRGBA(image.Rect(0, 0, margin+across*cellW, margin+down*cellH+legend))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	least, most := extremes(words)
	for i := range n {
		x, y := margin+i%across*cellW+(side-w)/2, margin+i/across*cellH
		tile, text := plain, ""
		if i > 0 {
			tile, text = heated(plain, words[i-1].Heat, least, most, rows, cols), words[i-1].Text
		}
		draw.Draw(out, image.Rect(x, y, x+w, y+h), tile, image.Point{}, draw.Src)
		write(out, face, text, margin+i%across*cellW, y+h)
	}
	if n > 1 {
		drawLegend(out, face)
	}
	return out, nil
}

// extremes are the least and the most heat of all words.
func extremes(words []Word) (least, most float32) {
	least, most = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, word := range words {
		for _, x := range word.Heat {
			least, most = min(least, x), max(most, x)
		}
	}
	return least, most
}

// heated lays a smooth heat map over the picture.
func heated(plain *image.RGBA, heat []float32, least, most float32, rows, cols int) *image.RGBA {
	out := image.NewRGBA(plain.Bounds())
	w, h := plain.Rect.Dx(), plain.Rect.Dy()
	for y := range h {
		for x := range w {
			v := 0.0
			if most > least {
				v = (bilinear(heat, rows, cols, (float64(y)+0.5)*float64(rows)/float64(h)-0.5, (float64(x)+0.5)*float64(cols)/float64(w)-0.5) - float64(least)) / float64(most-least)
			}
			out.SetRGBA(x, y, glow(plain.RGBAAt(x, y), v))
		}
	}
	return out
}

// glow is a pixel where the model looked with v of the most, 0 to 1: grey
// under a colour that goes from red by orange to yellow as it becomes thicker.
func glow(c color.RGBA, v float64) color.RGBA {
	grey := 0.45 * float64(color.GrayModel.Convert(c).(color.Gray).Y)
	thick := 0.9 * math.Pow(max(v, 0), 0.7)
	mix := func(to float64) uint8 { return uint8(grey*(1-thick) + 255*to*thick) }
	return color.RGBA{mix(1), mix(0.1 + 0.85*v*v), mix(0.05 + 0.2*v*v*v), 255}
}

// drawLegend shows the scale at the bottom left.
func drawLegend(out *image.RGBA, face font.Face) {
	d := font.Drawer{Dst: out, Src: image.NewUniform(ink), Face: face}
	bottom := out.Rect.Max.Y - margin
	d.Dot = fixed.P(margin, bottom-2)
	d.DrawString("looked least")
	from := d.Dot.X.Ceil() + 8
	for x := range bar {
		for y := bottom - 14; y < bottom; y++ {
			out.SetRGBA(from+x, y, glow(color.RGBA{128, 128, 128, 255}, float64(x)/(bar-1)))
		}
	}
	d.Dot = fixed.P(from+bar+8, bottom-2)
	d.DrawString("most")
}

func bilinear(heat []float32, rows, cols int, y, x float64) float64 {
	y, x = min(max(y, 0), float64(rows-1)), min(max(x, 0), float64(cols-1))
	y0, x0 := int(y), int(x)
	y1, x1 := min(y0+1, rows-1), min(x0+1, cols-1)
	fy, fx := y-float64(y0), x-float64(x0)
	at := func(r, c int) float64 { return float64(heat[r*cols+c]) }
	return (at(y0, x0)*(1-fx)+at(y0, x1)*fx)*(1-fy) + (at(y1, x0)*(1-fx)+at(y1, x1)*fx)*fy
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
