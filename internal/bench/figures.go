package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// Names of the figures.
const (
	ratiosFigure = "performance-ratios.svg"
	growthFigure = "performance-growth.svg"
)

// draw writes the figures into a folder.
func (t table) draw(folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for _, f := range t.figures() {
		if err := f.WriteFile(filepath.Join(folder, f.name)); err != nil {
			return err
		}
	}
	return nil
}

// figures are those of the rows that were run.
func (t table) figures() []drawing {
	var out []drawing
	var bars []bar
	for _, m := range t.compared() {
		if ours, peer := m.ours.median(0), m.peer.median(0); ours > 0 && peer > 0 {
			bars = append(bars, bar{m.row.title, peer / ours, m.row.goal})
		}
	}
	if len(bars) > 0 {
		out = append(out, drawRatios(bars))
	}
	for _, m := range t.Rows {
		if m.row.job.Kind == growth {
			out = append(out, drawGrowth(m.points))
		}
	}
	return out
}

// A drawing is a figure with the name of its file.
type drawing struct {
	*figure.Figure
	name string
}

// A bar is how many times as fast as the peer a row is.
type bar struct {
	title       string
	ratio, goal float64 // 0: there is no goal
}

// drawRatios has bars from 1, to a scale on which twice and half are equally
// far from it, and a mark at each goal.
func drawRatios(bars []bar) drawing {
	const left, top, width, pitch = 450.0, 44.0, 400.0, 24.0
	low, high := 0.5, 2.0
	for _, b := range bars {
		low, high = min(low, b.ratio), max(high, b.ratio, b.goal)
	}
	from, to := math.Floor(math.Log2(low)), math.Ceil(math.Log2(high))
	x := func(ratio float64) float64 { return left + width*(math.Log2(ratio)-from)/(to-from) }
	bottom := top + pitch*float64(len(bars))
	f := figure.New(900, int(bottom)+16, "How many times as fast as its peer each row of the table is, with its goal.")
	f.Text("name", 20, 24, "times as fast as the peer")
	f.Line("mark", 200, 12, 200, 28)
	f.Text("dim", 208, 24, "goal")
	for power := from; power <= to; power++ {
		v := math.Exp2(power)
		class := "grid"
		if power == 0 {
			class = "axis"
		}
		f.Line(class, x(v), top-6, x(v), bottom)
		f.Text("dim middle", x(v), top-12, fmt.Sprint(v))
	}
	for i, b := range bars {
		y := top + pitch*float64(i)
		f.Text("end", left-8, y+16, shortened(b.title, 70))
		class, a, e := "blue", x(1), x(b.ratio)
		if b.ratio < 1 {
			class, a, e = "orange", x(b.ratio), x(1)
		}
		f.Rect(class, a, y+4, max(e-a, 1), pitch-8)
		if b.goal > 0 {
			f.Line("mark", x(b.goal), y+2, x(b.goal), y+pitch-2)
		}
		f.Text("name", left+width+8, y+16, ratio(b.ratio, 1))
	}
	return drawing{f, ratiosFigure}
}

// shortened cuts a text where it is too long to draw.
func shortened(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// drawGrowth has a panel for each piece of work and axis, with seconds on the
// left and memory on the right, both from 0.
func drawGrowth(points []point) drawing {
	const left, top, pitchX, pitchY, width, height = 112.0, 66.0, 210.0, 142.0, 118.0, 92.0
	works, axes := []string{encoding, step, decoding}, []string{batch, length, picture, depth}
	f := figure.New(930, int(top+pitchY*float64(len(works))), "How time and peak RSS of encoding, a fine-tuning step and decoding grow with batch, length, picture and layers.")
	f.Line("line blue", 20, 20, 44, 20)
	f.Text("", 50, 24, "seconds")
	f.Line("line orange dashed", 120, 20, 144, 20)
	f.Text("", 150, 24, "peak RSS, MB")
	for column, axis := range axes {
		f.Text("name middle", left+pitchX*float64(column)+width/2, 50, axis)
	}
	for line, work := range works {
		y0 := top + pitchY*float64(line)
		f.Text("name", 12, y0+10, strings.TrimPrefix(work, "fine-tuning "))
		for column, axis := range axes {
			var panel []point
			for _, p := range points {
				if p.work == work && p.axis == axis {
					panel = append(panel, p)
				}
			}
			if len(panel) > 0 {
				drawPanel(f, panel, left+pitchX*float64(column), y0, width, height)
			}
		}
	}
	return drawing{f, growthFigure}
}

func drawPanel(f *figure.Figure, points []point, x0, y0, width, height float64) {
	last := float64(points[len(points)-1].at)
	x := func(p point) float64 { return x0 + width*float64(p.at)/last }
	f.Line("axis", x0, y0+height, x0+width, y0+height)
	for _, p := range points {
		f.Line("grid", x(p), y0, x(p), y0+height)
	}
	for i, p := range points { // no label where it would touch the next
		if i == len(points)-1 || x(points[i+1])-x(p) > 20 {
			f.Text("dim middle", x(p), y0+height+14, fmt.Sprint(p.at))
		}
	}
	drawCurve(f, "orange dashed", points, x, func(p point) float64 { return float64(p.ours.rss) / 1e6 }, y0, height)
	drawCurve(f, "blue", points, x, func(p point) float64 { return p.ours.median(0) }, y0, height)
	f.Text("dim end", x0-4, y0+8, number(top(points, func(p point) float64 { return p.ours.median(0) })))
	f.Text("dim", x0+width+4, y0+8, number(top(points, func(p point) float64 { return float64(p.ours.rss) / 1e6 })))
	f.Text("dim end", x0-4, y0+height, "0")
	f.Text("dim", x0+width+4, y0+height, "0")
}

// top is the greatest value of some points, at which a panel ends.
func top(points []point, value func(point) float64) float64 {
	most := 0.0
	for _, p := range points {
		most = max(most, value(p))
	}
	return most
}

// curve joins the values of some points, scaled to their greatest.
func drawCurve(f *figure.Figure, class string, points []point, x, value func(point) float64, y0, height float64) {
	most := top(points, value)
	if most == 0 {
		return
	}
	y := func(p point) float64 { return y0 + height*(1-value(p)/most) }
	var across, down []float64
	for _, p := range points {
		across, down = append(across, x(p)), append(down, y(p))
		f.Circle(class, x(p), y(p), 2.5)
	}
	f.Polyline("line "+class, across, down)
}
