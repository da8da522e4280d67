// Package figure draws figures for the pages in SVG, in colours that suit light
// and dark pages alike.
//
//	f := figure.New(300, 80, "Two boxes, and an arrow from one to the other.")
//	f.Rect("blue", 20, 20, 60, 40)
//	f.Rect("box", 220, 20, 60, 40)
//	f.Arrow(80, 40, 220, 40)
//	err := f.WriteFile("boxes.svg")
//
// Lengths are CSS pixels, from the top left corner. What something looks like
// is said by classes, several of them apart by a space:
//
//   - of a text: "dim", "name" (bold), "title", "code", "on" (a dark area); and "middle" or "end"
//     for where x is in it;
//   - of an area: a colour, "panel", "box" (with a border) or "shade" (darker);
//   - of a line: "grid", "axis", "mark" (strong), or "line" and a colour, and with "thin" or "dashed";
//   - of all of them: "faint".
//
// Colours are "blue", "orange", "green", "red", "purple" and "grey".
//
// Numbers are written with one digit after the point, and shades in steps, so
// that the same figure of numbers that differ in their last bits is the same
// file, but for few.
package figure

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Figure is a drawing of a fixed size.
type Figure struct {
	width, height int
	label         string
	body          strings.Builder
	pictures      []string // that were drawn, as paths
}

// New returns an empty figure. The label is for who cannot see it: what is
// drawn, in a sentence.
func New(width, height int, label string) *Figure {
	return &Figure{width: width, height: height, label: label}
}

// Label is what is drawn, in a sentence.
func (f *Figure) Label() string { return f.label }

const colours = `
  :root { --ink: #1f2328; --dim: #656d76; --page: #ffffff; --panel: #f6f8fa; --grid: #d0d7de; --axis: #656d76;
    --blue: #0969da; --orange: #bc4c00; --green: #1a7f37; --red: #cf222e; --purple: #8250df; --grey: #8c959f }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6edf3; --dim: #9198a1; --page: #0d1117; --panel: #161b22; --grid: #30363d; --axis: #9198a1;
      --blue: #4493f8; --orange: #f0883e; --green: #3fb950; --red: #f85149; --purple: #a371f7; --grey: #6e7681 }
  }
`

const rules = `
  text { font: 12px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: var(--ink) }
  .blue { fill: var(--blue) }
  .orange { fill: var(--orange) }
  .green { fill: var(--green) }
  .red { fill: var(--red) }
  .purple { fill: var(--purple) }
  .grey { fill: var(--grey) }
  .page { fill: var(--page) }
  .panel { fill: var(--panel) }
  .box { fill: var(--panel); stroke: var(--grid) }
  .shade { fill: var(--grid) }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .thin { stroke-width: 1 }
  .faint { opacity: 0.4 }
  .dashed { stroke-dasharray: 4 3 }
  .line.blue { stroke: var(--blue) }
  .line.orange { stroke: var(--orange) }
  .line.green { stroke: var(--green) }
  .line.red { stroke: var(--red) }
  .line.purple { stroke: var(--purple) }
  .line.grey { stroke: var(--grey) }
  .grid { fill: none; stroke: var(--grid) }
  .axis { fill: none; stroke: var(--axis) }
  .mark { stroke: var(--ink); stroke-width: 2 }
  .head { fill: var(--axis) }
  .pixels { shape-rendering: crispEdges }
  text.dim { fill: var(--dim); font-size: 11px }
  text.name { font-weight: 600 }
  text.title { font-size: 15px; font-weight: 600 }
  text.code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px }
  text.on { fill: #ffffff }
  text.middle { text-anchor: middle }
  text.end { text-anchor: end }
`

var (
	rule      = regexp.MustCompile(`(?m)^  ([^{]+)\{.*\n`)
	classes   = regexp.MustCompile(`class="([^"]*)"`)
	className = regexp.MustCompile(`\.([a-z]+)`)
)

// style is what a body needs of the rules: those of other classes are left
// out, so that a new class changes only the figures that have it.
func style(body string) string {
	used := map[string]bool{}
	for _, m := range classes.FindAllStringSubmatch(body, -1) {
		for class := range strings.FieldsSeq(m[1]) {
			used[class] = true
		}
	}
	out := colours
	for _, m := range rule.FindAllStringSubmatch(rules, -1) {
		needed := true
		for _, c := range className.FindAllStringSubmatch(m[1], -1) {
			needed = needed && used[c[1]]
		}
		if needed {
			out += m[0]
		}
	}
	return out
}

// String is the SVG file.
func (f *Figure) String() string {
	body := fmt.Sprintf("<rect class=\"page\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n%s", f.width, f.height, f.body.String())
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %[1]d %[2]d\" width=\"%[1]d\" height=\"%[2]d\" role=\"img\" aria-label=\"%[3]s\">\n"+
		"<style>%[4]s</style>\n%[5]s</svg>\n",
		f.width, f.height, html.EscapeString(f.label), style(body), body)
}

// WriteFile writes the SVG file.
func (f *Figure) WriteFile(name string) error { return os.WriteFile(name, []byte(f.String()), 0o666) }

// number writes a length.
func number(x float64) string {
	s := strconv.FormatFloat(x, 'f', 1, 64)
	return strings.TrimSuffix(strings.TrimSuffix(s, "0"), ".")
}

// element writes an element whose attributes are names and values in turn:
// strings and numbers.
func (f *Figure) element(name, class string, attributes ...any) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%s", name)
	if class != "" {
		fmt.Fprintf(&b, " class=\"%s\"", class)
	}
	for i := 0; i < len(attributes); i += 2 {
		value, ok := attributes[i+1].(string)
		if !ok {
			value = number(attributes[i+1].(float64))
		}
		fmt.Fprintf(&b, " %s=\"%s\"", attributes[i], value)
	}
	b.WriteString("/>\n")
	f.body.Write(b.Bytes())
}

// Text writes a text on the base line y.
func (f *Figure) Text(class string, x, y float64, text string) {
	fmt.Fprintf(&f.body, "<text class=\"%s\" x=\"%s\" y=\"%s\" xml:space=\"preserve\">%s</text>\n", class, number(x), number(y), html.EscapeString(text))
}

// Line draws a straight line.
func (f *Figure) Line(class string, x1, y1, x2, y2 float64) {
	f.element("line", class, "x1", x1, "y1", y1, "x2", x2, "y2", y2)
}

// Rect draws a rectangle.
func (f *Figure) Rect(class string, x, y, width, height float64) {
	f.element("rect", class, "x", x, "y", y, "width", width, "height", height)
}

// Circle draws a circle.
func (f *Figure) Circle(class string, x, y, radius float64) {
	f.element("circle", class, "cx", x, "cy", y, "r", radius)
}

// Polyline joins points by straight lines; x and y are of equal length.
func (f *Figure) Polyline(class string, x, y []float64) {
	points := make([]string, len(x))
	for i := range x {
		points[i] = number(x[i]) + "," + number(y[i])
	}
	f.element("polyline", class, "points", strings.Join(points, " "))
}
