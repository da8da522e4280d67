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
// Colours are rounded to 32 steps of red, green and blue. A picture that is
// drawn again takes no space in the file.
func (f *Figure) Picture(x, y, pixel float64, img image.Image) {
	place := fmt.Sprintf("translate(%s %s) scale(%g)", number(x), number(y), pixel)
	paths := pathsOf(img)
	if i := slices.Index(f.pictures, paths); i >= 0 {
		f.element("use", "", "href", fmt.Sprintf("#picture%d", i), "transform", place)
		return
	}
	fmt.Fprintf(&f.body, "<g transform=\"%s\"><g id=\"picture%d\" class=\"pixels\">\n%s</g></g>\n", place, len(f.pictures), paths)
	f.pictures = append(f.pictures, paths)
}

// pathsOf draws a picture at 0, 0 with pixels of width 1.
func pathsOf(img image.Image) string {
	b := img.Bounds()
	colour := func(column, row int) string {
		red, green, blue, _ := img.At(b.Min.X+column, b.Min.Y+row).RGBA()
		step := func(v uint32) uint32 { return (v*31 + 0x7fff) / 0xffff * 255 / 31 }
		return fmt.Sprintf("#%02x%02x%02x", step(red), step(green), step(blue))
	}
	runs := map[string]*strings.Builder{} // by colour
	for row := range b.Dy() {
		for column := 0; column < b.Dx(); {
			c, first := colour(column, row), column
			for column < b.Dx() && colour(column, row) == c {
				column++
			}
			if runs[c] == nil {
				runs[c] = new(strings.Builder)
			}
			square(runs[c], float64(first), float64(row), float64(column-first), 1)
		}
	}
	var paths strings.Builder
	for _, c := range slices.Sorted(maps.Keys(runs)) {
		fmt.Fprintf(&paths, "<path fill=\"%s\" d=\"%s\"/>\n", c, runs[c])
	}
	return paths.String()
}
