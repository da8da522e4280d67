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
	if len(values) != rows*cols {
		panic(fmt.Sprintf("figure: %d values for %d×%d cells", len(values), rows, cols))
	}
	if most == 0 {
		for _, v := range values {
			most = max(most, math.Abs(float64(v)))
		}
	}
	f.Rect("panel", x, y, cell*float64(cols), cell*float64(rows))
	paths := map[int]*strings.Builder{} // of the cells of one shade
	for i, v := range values {
		shade := int(math.Round(min(max(float64(v)/most, -1), 1) * shades))
		if shade == 0 || v != v {
			continue
		}
		if paths[shade] == nil {
			paths[shade] = new(strings.Builder)
		}
		square(paths[shade], x+cell*float64(i%cols), y+cell*float64(i/cols), cell, cell)
	}
	for _, shade := range slices.Sorted(maps.Keys(paths)) {
		class, opacity := "blue", float64(shade)/shades
		if shade < 0 {
			class, opacity = "orange", -opacity
		}
		f.element("path", class+" pixels", "fill-opacity", fmt.Sprintf("%.2f", opacity), "d", paths[shade].String())
	}
}

// square adds a rectangle to a path.
func square(path *strings.Builder, x, y, width, height float64) {
	fmt.Fprintf(path, "M%s %sh%sv%sH%sz", number(x), number(y), number(width), number(height), number(x))
}
