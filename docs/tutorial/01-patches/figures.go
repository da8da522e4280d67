package main

import (
	"fmt"
	"image"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// drawPatches shows the picture, its patches apart, and one patch as numbers.
func drawPatches(picture vision.Image, patches, rows [][]float32, size int) *figure.Figure {
	f := figure.New(860, 300, "A picture of 64 by 64 pixels; the same cut into 8 by 8 patches; one of them enlarged; and the row of numbers that it becomes.")
	const top, pixel = 48, 3.0
	f.Text("name", 20, 30, "64 × 64 pixels")
	f.Rect("shade", 19, top-1, 194, 194)
	f.Picture(20, top, pixel, picture)

	f.Text("name", 240, 30, "64 patches of 8 × 8")
	const left, gap, chosen = 240.0, 5.0, 34 // in the middle
	across := picture.Width / size
	step := float64(size)*pixel + gap
	f.Rect("shade", left-gap, top-gap, float64(across)*step+gap, float64(across)*step+gap)
	for i := range patches {
		x, y := i%across, i/across
		f.Picture(left+float64(x)*step, top+float64(y)*step, pixel, part{picture, image.Rect(x*size, y*size, (x+1)*size, (y+1)*size)})
	}
	x, y := chosen%across, chosen/across
	atX, atY := left+float64(x)*step, top+float64(y)*step
	f.Rect("line orange", atX-2, atY-2, float64(size)*pixel+4, float64(size)*pixel+4)

	f.Text("name", 530, 30, fmt.Sprintf("patch %d", chosen+1))
	f.Rect("shade", 529, top-1, 98, 98)
	f.Picture(530, top, 12, part{picture, image.Rect(x*size, y*size, (x+1)*size, (y+1)*size)})
	f.Rect("line orange", 528, top-2, 100, 100)
	f.Arrow(580, top+104, 580, top+130)
	f.Text("dim", 590, top+122, "its 192 numbers: blue above 0, orange below")
	f.Heat(530, top+136, 6, 4, 48, patches[chosen], 1)
	f.Arrow(580, top+166, 580, top+192)
	f.Text("dim", 590, top+184, "times the weights, plus the bias")
	f.Heat(530, top+198, 6, 4, 48, rows[chosen], 0)
	f.Text("dim", 530, top+238, "its 192 numbers from here on")
	return f
}

// part is a rectangle of a picture.
type part struct {
	vision.Image
	bounds image.Rectangle
}

func (p part) Bounds() image.Rectangle { return p.bounds }
