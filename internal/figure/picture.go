package figure

import (
	"fmt"
	"image"
	"maps"
	"slices"
	"strings"
)

// Picture draws a small picture, a rectangle for each run of equal pixels, as
// images within SVG files are not shown everywhere. pixel is the width of one.
// Colours are rounded to 32 steps of red, green and blue.
func (f *Figure) Picture(x, y, pixel float64, img image.Image) {
	b := img.Bounds()
	colour := func(column, row int) string {
		red, green, blue, _ := img.At(b.Min.X+column, b.Min.Y+row).RGBA()
		step := func(v uint32) uint32 { return (v*31 + 0x7fff) / 0xffff * 255 / 31 }
		return fmt.Sprintf("#%02x%02x%02x", step(red), step(green), step(blue))
	}
	paths := map[string]*strings.Builder{} // of the runs of one colour
	for row := range b.Dy() {
		for column := 0; column < b.Dx(); {
			c, first := colour(column, row), column
			for column < b.Dx() && colour(column, row) == c {
				column++
			}
			if paths[c] == nil {
				paths[c] = new(strings.Builder)
			}
			square(paths[c], x+pixel*float64(first), y+pixel*float64(row), pixel*float64(column-first), pixel)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(paths)) {
		f.element("path", "pixels", "fill", c, "d", paths[c].String())
	}
}
