package figure

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Chart is where numbers are drawn over others: the place of its area in the
// figure, and the axes.
type Chart struct {
	X, Y, Width, Height  float64
	Title                string
	Horizontal, Vertical Axis
}

// Axis is a range of numbers, from the left or the bottom on; it is linear
// unless Log is set.
type Axis struct {
	Label    string
	From, To float64
	Log      bool
}

// Series is a line through points of a chart.
type Series struct {
	Name  string // written beside its last point, or beside the chart if that is near
	Class string // colour, and "dashed"
	X, Y  []float64
	Dots  bool // a dot at each point
}

// at is where a number is on the axis: 0 at its beginning, 1 at its end.
func (a Axis) at(v float64) float64 {
	if a.Log {
		return (math.Log10(v) - math.Log10(a.From)) / (math.Log10(a.To) - math.Log10(a.From))
	}
	return (v - a.From) / (a.To - a.From)
}

// ticks are round numbers on the axis, four to nine of them.
func (a Axis) ticks() []float64 {
	from, to := min(a.From, a.To), max(a.From, a.To)
	if a.Log {
		low, high := math.Ceil(math.Log10(from)-1e-9), math.Floor(math.Log10(to)+1e-9)
		step := math.Ceil((high - low) / 8)
		var out []float64
		for power := low; power <= high; power += step {
			out = append(out, math.Pow(10, power))
		}
		return out
	}
	most := (to - from) / 3.5 // between two ticks
	power := math.Pow(10, math.Floor(math.Log10(most)))
	step := power
	for _, n := range []float64{2, 5} {
		if n*power <= most {
			step = n * power
		}
	}
	var out []float64
	for n := math.Ceil(from/step - 1e-9); n*step <= to+step*1e-9; n++ {
		out = append(out, n*step)
	}
	return out
}

// text writes a tick: 0.25, or 10⁻³.
func (a Axis) text(v float64) string {
	if v == 0 {
		return "0" // never -0
	}
	if !a.Log || v >= 0.01 && v <= 1000 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹"
	text := "10"
	for _, d := range strconv.Itoa(int(math.Round(math.Log10(v)))) {
		if d == '-' {
			text += "⁻"
		} else {
			text += string([]rune(digits)[d-'0'])
		}
	}
	return text
}

// Chart draws the axes and the series of a chart. What lies outside the axes
// is drawn at their ends; numbers that are not finite are left out.
func (f *Figure) Chart(c Chart, series ...Series) {
	f.Rect("panel", c.X, c.Y, c.Width, c.Height)
	x := func(v float64) float64 { return c.X + c.Width*min(max(c.Horizontal.at(v), 0), 1) }
	y := func(v float64) float64 { return c.Y + c.Height*(1-min(max(c.Vertical.at(v), 0), 1)) }
	for _, t := range c.Vertical.ticks() {
		f.Line("grid", c.X, y(t), c.X+c.Width, y(t))
		f.Text("dim end", c.X-6, y(t)+4, c.Vertical.text(t))
	}
	for _, t := range c.Horizontal.ticks() {
		f.Line("axis", x(t), c.Y+c.Height, x(t), c.Y+c.Height+4)
		f.Text("dim middle", x(t), c.Y+c.Height+16, c.Horizontal.text(t))
	}
	f.Line("axis", c.X, c.Y+c.Height, c.X+c.Width, c.Y+c.Height)
	f.Text("dim end", c.X+c.Width, c.Y+c.Height+32, c.Horizontal.Label)
	f.Text("name", c.X, c.Y-22, c.Title)
	f.Text("dim", c.X, c.Y-7, c.Vertical.Label)
	var names []label
	for _, s := range series {
		var px, py []float64
		for i := range s.X {
			at := [2]float64{x(s.X[i]), y(s.Y[i])}
			if at[0]-at[0] != 0 || at[1]-at[1] != 0 {
				continue
			}
			px, py = append(px, at[0]), append(py, at[1])
			if s.Dots {
				f.Circle(s.Class, at[0], at[1], 3)
			}
		}
		if len(px) == 0 {
			continue
		}
		f.Polyline("line "+s.Class, px, py)
		if s.Name != "" {
			l := label{s.Class, px[len(px)-1], py[len(py)-1] + 4, s.Name}
			if l.x > c.X+0.9*c.Width {
				l.x = c.X + c.Width
			}
			names = append(names, l)
		}
	}
	spread(names)
	for _, l := range names {
		f.Text(l.class, l.x+7, l.y, l.name)
	}
}

// label is the name of a series and where it ends.
type label struct {
	class string
	x, y  float64
	name  string
}

// spread moves labels that end in one place apart, so that each has its line.
func spread(labels []label) {
	const line = 14
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y)) })
	for i := 1; i < len(labels); i++ {
		if above := labels[i-1]; above.x == labels[i].x {
			labels[i].y = max(labels[i].y, above.y+line)
		}
	}
}
