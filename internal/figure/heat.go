package figure

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// shades is how many steps there are from nothing to the most.
const shades = 20

// Heat draws a matrix, rows·cols numbers, as squares of the given size: the
// more of a colour the further from 0, blue above it and orange below. A
// number of the given most, or more, has the whole colour; most = 0 stands for
// the greatest number.
func (f *Figure) Heat(x, y, cell float64, rows, cols int, values []float32, most float64) {
	f.Rect("panel", x, y, cell*float64(cols), cell*float64(rows))
	paths := shaded(x, y, cell, rows, cols, values, most)
	for _, shade := range slices.Sorted(maps.Keys(paths)) {
		if class := "blue"; shade != 0 {
			if shade < 0 {
				class = "orange"
			}
			f.element("path", class+" pixels", "fill-opacity", opacity(shade), "d", paths[shade].String())
		}
	}
}

// Veil covers what is below, such as a picture, with a matrix of squares: the
// greater the number, the more is seen. A number of the given most, or more,
// covers nothing; most = 0 stands for the greatest number.
func (f *Figure) Veil(x, y, cell float64, rows, cols int, values []float32, most float64) {
	paths := shaded(x, y, cell, rows, cols, values, most)
	for _, shade := range slices.Sorted(maps.Keys(paths)) {
		if cover := shades - max(shade, 0); cover > 0 {
			f.element("path", "page pixels", "fill-opacity", opacity(cover), "d", paths[shade].String())
		}
	}
}

func opacity(shade int) string { return fmt.Sprintf("%.2f", math.Abs(float64(shade))/shades) }

// shaded lists the paths of the squares by their shade, -shades to shades.
func shaded(x, y, cell float64, rows, cols int, values []float32, most float64) map[int]*strings.Builder {
	if len(values) != rows*cols {
		panic(fmt.Sprintf("figure: %d values for %d×%d cells", len(values), rows, cols))
	}
	if most == 0 {
		for _, v := range values {
			most = max(most, math.Abs(float64(v)))
		}
	}
	paths := map[int]*strings.Builder{}
	for i, v := range values {
		shade := 0
		if v == v && most > 0 {
			shade = int(math.Round(min(max(float64(v)/most, -1), 1) * shades))
		}
		if paths[shade] == nil {
			paths[shade] = new(strings.Builder)
		}
		square(paths[shade], x+cell*float64(i%cols), y+cell*float64(i/cols), cell, cell)
	}
	return paths
}

// square adds a rectangle to a path.
func square(path *strings.Builder, x, y, width, height float64) {
	fmt.Fprintf(path, "M%s %sh%sv%sH%sz", number(x), number(y), number(width), number(height), number(x))
}
