package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"strings"
	"text/template"
)

// Lengths of the figure, in CSS pixels.
const (
	panelWidth  = 230
	panelHeight = 150
	columns     = 3
	left        = 64 // of the first panel
	top         = 112
	across      = panelWidth + 46 // from panel to panel
	down        = panelHeight + 66
	band        = 26 // above the losses: what exploded
)

//go:embed explosions.svg.tmpl
var svg string

// figure is what the template draws.
type figure struct {
	Width, Height int
	Panels        []panel
}

type panel struct {
	X, Y           int
	Name           string
	First          bool // in its row: with labels of the axis
	Plain, Cure    curve
	Losses, Rates  []tick
	Default, Worse float64 // x of the default rate, y of the loss before training
}

// curve is a line through the runs that ended well, and a cross for each that
// did not.
type curve struct {
	Path    string
	Dots    []point
	Crosses []point
}

type point struct{ X, Y float64 }

type tick struct {
	At   float64
	Text string
}

// draw makes the figure: one panel for each cure, with plain training in grey.
func draw(r Results) []byte {
	f := figure{}
	all := cures()
	y := lossAxis(r)
	for i, c := range all[1:] {
		f.Panels = append(f.Panels, panel{
			X: left + i%columns*across, Y: top + i/columns*down, First: i%columns == 0,
			Name:  c.name,
			Plain: r.curve(all[0].name, y), Cure: r.curve(c.name, y),
			Losses: y.ticks(), Rates: rateTicks(), Default: rateAt(1e-3), Worse: y.at(r.Before),
		})
	}
	rows := (len(all) - 1 + columns - 1) / columns
	f.Width, f.Height = left+columns*across-20, top+rows*down
	var out bytes.Buffer
	if err := template.Must(template.New("figure").Parse(svg)).Execute(&out, f); err != nil {
		panic(err) // the template is part of the program
	}
	return out.Bytes()
}

// rateAt is where a learning rate stands in a panel.
func rateAt(rate float64) float64 {
	lo, hi := math.Log10(learningRates[0]), math.Log10(learningRates[len(learningRates)-1])
	const margin = 14
	return round(margin + (math.Log10(rate)-lo)/(hi-lo)*(panelWidth-2*margin))
}

func rateTicks() []tick {
	var out []tick
	for _, rate := range []float64{1e-5, 1e-4, 1e-3, 1e-2} {
		out = append(out, tick{rateAt(rate), rateName(rate)})
	}
	return out
}

// axis places losses: lo at the bottom, and hi below the band.
type axis struct{ lo, hi float64 }

// lossAxis spans what was reached without an explosion, and the loss before.
func lossAxis(r Results) axis {
	lo := r.Before
	for _, run := range r.Runs {
		if !r.exploded(run) {
			lo = min(lo, float64(*run.ValLoss))
		}
	}
	return axis{math.Floor(lo*20) / 20, r.Before}
}

func (a axis) at(loss float64) float64 {
	return round(panelHeight - (loss-a.lo)/(a.hi-a.lo)*(panelHeight-band))
}

func (a axis) ticks() []tick {
	var out []tick
	for n := math.Round(a.lo * 20); n <= a.hi*20; n++ {
		out = append(out, tick{a.at(n / 20), fmt.Sprintf("%.2f", n/20)})
	}
	return out
}

func (r Results) curve(name string, y axis) curve {
	var c curve
	var path []string
	for _, rate := range learningRates {
		run, ok := r.of(name, rate)
		if !ok {
			continue
		}
		if r.exploded(run) {
			c.Crosses = append(c.Crosses, point{rateAt(rate), band / 2})
			continue
		}
		p := point{rateAt(rate), y.at(float64(*run.ValLoss))}
		c.Dots = append(c.Dots, p)
		path = append(path, fmt.Sprintf("%g %g", p.X, p.Y))
	}
	if len(path) > 0 {
		c.Path = "M" + strings.Join(path, "L")
	}
	return c
}

func round(x float64) float64 { return math.Round(x*10) / 10 }
