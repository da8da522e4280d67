package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
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
		if err := atomicfile.Write(filepath.Join(folder, f.name), func(w io.Writer) error {
			_, err := io.WriteString(w, f.svg())
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// figures are those of the rows that were run.
func (t table) figures() []*figure {
	var out []*figure
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

// A figure is drawn for light and for dark pages.
type figure struct {
	name          string
	width, height int
	label         string // for who cannot see it
	body          strings.Builder
}

const style = `
  text { font: 12px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
  .dim { fill: #656d76; font-size: 11px }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .name { font-weight: 600 }
  .page { fill: #ffffff }
  .grid { stroke: #d0d7de }
  .one { stroke: #656d76 }
  .ahead { fill: #54aeff }
  .behind { fill: #fb8f44 }
  .goal { stroke: #1f2328; stroke-width: 2 }
  .time { stroke: #0969da; fill: none; stroke-width: 2 }
  .time-dot { fill: #0969da }
  .memory { stroke: #bc4c00; fill: none; stroke-width: 2; stroke-dasharray: 5 3 }
  .memory-dot { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .dim { fill: #9198a1 }
    .page { fill: #0d1117 }
    .grid { stroke: #30363d }
    .one { stroke: #9198a1 }
    .ahead { fill: #388bfd }
    .behind { fill: #db6d28 }
    .goal { stroke: #e6edf3 }
    .time { stroke: #4493f8 }
    .time-dot { fill: #4493f8 }
    .memory { stroke: #f0883e }
    .memory-dot { fill: #f0883e }
  }
`

func (f *figure) svg() string {
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %[1]d %[2]d\" width=\"%[1]d\" height=\"%[2]d\" role=\"img\" aria-label=\"%[3]s\">\n"+
		"<style>%[4]s</style>\n<rect class=\"page\" width=\"%[1]d\" height=\"%[2]d\" rx=\"8\"/>\n%[5]s</svg>\n",
		f.width, f.height, html.EscapeString(f.label), style, f.body.String())
}

func (f *figure) text(class string, x, y float64, text string) {
	fmt.Fprintf(&f.body, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y, html.EscapeString(text))
}

func (f *figure) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&f.body, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

// A bar is how many times as fast as the peer a row is.
type bar struct {
	title       string
	ratio, goal float64 // 0: there is no goal
}

// drawRatios has bars from 1, to a scale on which twice and half are equally
// far from it, and a mark at each goal.
func drawRatios(bars []bar) *figure {
	const left, top, width, pitch = 450.0, 44.0, 400.0, 24.0
	low, high := 0.5, 2.0
	for _, b := range bars {
		low, high = min(low, b.ratio), max(high, b.ratio, b.goal)
	}
	from, to := math.Floor(math.Log2(low)), math.Ceil(math.Log2(high))
	x := func(ratio float64) float64 { return left + width*(math.Log2(ratio)-from)/(to-from) }
	bottom := top + pitch*float64(len(bars))
	f := &figure{name: ratiosFigure, width: 900, height: int(bottom) + 16, label: "How many times as fast as its peer each row of the table is, with its goal."}
	f.text("name", 20, 24, "times as fast as the peer")
	f.line("goal", 200, 12, 200, 28)
	f.text("dim", 208, 24, "goal")
	for power := from; power <= to; power++ {
		v := math.Exp2(power)
		class := "grid"
		if power == 0 {
			class = "one"
		}
		f.line(class, x(v), top-6, x(v), bottom)
		f.text("dim middle", x(v), top-12, fmt.Sprint(v))
	}
	for i, b := range bars {
		y := top + pitch*float64(i)
		f.text("end", left-8, y+16, shortened(b.title, 70))
		class, a, e := "ahead", x(1), x(b.ratio)
		if b.ratio < 1 {
			class, a, e = "behind", x(b.ratio), x(1)
		}
		fmt.Fprintf(&f.body, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>\n", class, a, y+4, max(e-a, 1), pitch-8)
		if b.goal > 0 {
			f.line("goal", x(b.goal), y+2, x(b.goal), y+pitch-2)
		}
		f.text("name", left+width+8, y+16, ratio(b.ratio, 1))
	}
	return f
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
func drawGrowth(points []point) *figure {
	const left, top, pitchX, pitchY, width, height = 112.0, 66.0, 210.0, 142.0, 118.0, 92.0
	works, axes := []string{encoding, step, decoding}, []string{batch, length, picture, depth}
	f := &figure{name: growthFigure, width: 930, height: int(top + pitchY*float64(len(works))), label: "How time and peak RSS of encoding, a fine-tuning step and decoding grow with batch, length, picture and layers."}
	f.line("time", 20, 20, 44, 20)
	f.text("", 50, 24, "seconds")
	f.line("memory", 120, 20, 144, 20)
	f.text("", 150, 24, "peak RSS, MB")
	for column, axis := range axes {
		f.text("name middle", left+pitchX*float64(column)+width/2, 50, axis)
	}
	for line, work := range works {
		y0 := top + pitchY*float64(line)
		f.text("name", 12, y0+10, strings.TrimPrefix(work, "fine-tuning "))
		for column, axis := range axes {
			var panel []point
			for _, p := range points {
				if p.work == work && p.axis == axis {
					panel = append(panel, p)
				}
			}
			if len(panel) > 0 {
				f.panel(panel, left+pitchX*float64(column), y0, width, height)
			}
		}
	}
	return f
}

func (f *figure) panel(points []point, x0, y0, width, height float64) {
	last := float64(points[len(points)-1].at)
	x := func(p point) float64 { return x0 + width*float64(p.at)/last }
	f.line("one", x0, y0+height, x0+width, y0+height)
	for _, p := range points {
		f.line("grid", x(p), y0, x(p), y0+height)
	}
	for i, p := range points { // no label where it would touch the next
		if i == len(points)-1 || x(points[i+1])-x(p) > 20 {
			f.text("dim middle", x(p), y0+height+14, fmt.Sprint(p.at))
		}
	}
	f.curve("memory", points, x, func(p point) float64 { return float64(p.ours.rss) / 1e6 }, y0, height)
	f.curve("time", points, x, func(p point) float64 { return p.ours.median(0) }, y0, height)
	f.text("dim end", x0-4, y0+8, number(top(points, func(p point) float64 { return p.ours.median(0) })))
	f.text("dim", x0+width+4, y0+8, number(top(points, func(p point) float64 { return float64(p.ours.rss) / 1e6 })))
	f.text("dim end", x0-4, y0+height, "0")
	f.text("dim", x0+width+4, y0+height, "0")
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
func (f *figure) curve(class string, points []point, x, value func(point) float64, y0, height float64) {
	most := top(points, value)
	if most == 0 {
		return
	}
	y := func(p point) float64 { return y0 + height*(1-value(p)/most) }
	var path []string
	for _, p := range points {
		path = append(path, fmt.Sprintf("%.1f,%.1f", x(p), y(p)))
	}
	fmt.Fprintf(&f.body, "<polyline class=\"%s\" points=\"%s\"/>\n", class, strings.Join(path, " "))
	for _, p := range points {
		fmt.Fprintf(&f.body, "<circle class=\"%s-dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n", class, x(p), y(p))
	}
}
