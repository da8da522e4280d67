package report

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed report.html
var layout string

//go:embed report.css
var style string

//go:embed report.js
var script string

// The charts are drawn by uPlot 1.6.32, https://github.com/leeoniya/uPlot.
var (
	//go:embed uplot/uPlot.iife.min.js
	uplot string
	//go:embed uplot/uPlot.min.css
	uplotStyle string
	//go:embed uplot/LICENSE
	uplotLicense string
)

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"number": number, "ordinal": func(i int) int { return i + 1 }, "plural": plural, "seconds": seconds, "words": words,
}).Parse(layout))

// view is what the template sees.
type view struct {
	Report
	Observations  []string
	Tiles         []Fact
	Rows          []row
	Progress      []string // for each epoch, how good its captions are
	HasCurves     bool
	HasHistograms bool

	Style, UPlotStyle template.CSS
	Data              template.JS // inside a script of type application/json
	Script, UPlot     template.JS
}

// row is a picture with what was said of it in each epoch.
type row struct {
	ID, Actual string
	Picture    template.URL // "": none
	Captions   []caption
}

type caption struct {
	Epoch int
	Sample
}

func render(w io.Writer, r Report) error {
	histograms := tensors(r.Histograms)
	data, err := json.Marshal(map[string]any{
		"steps": curvesOf(r.Steps), "epochs": epochsOf(r.Epochs), "tensors": histograms,
		"stages": at(r.Stages), "guarded": slices.Compact(at(r.Events)),
	})
	if err != nil {
		return err
	}
	return page.Execute(w, view{
		Report: r, Observations: observe(r), Tiles: tiles(r), Rows: rows(r.Epochs), Progress: progress(r.Epochs),
		HasCurves: len(r.Steps) > 0, HasHistograms: len(histograms) > 0,
		Style: template.CSS(style), UPlotStyle: template.CSS(uplotStyle),
		Data: template.JS(data), Script: template.JS(script), UPlot: template.JS("/*\n" + uplotLicense + "\n*/\n" + uplot),
	})
}

// at lists the updates of events.
func at(events []Event) []int {
	out := make([]int, len(events))
	for i, e := range events {
		out[i] = e.Step
	}
	return out
}

// tiles are the few numbers to see first.
func tiles(r Report) []Fact {
	var out []Fact
	if n := len(r.Steps); n > 0 {
		out = append(out, Fact{"Updates", fmt.Sprint(r.Steps[n-1].Step)})
	}
	n := len(r.Epochs)
	if n == 0 {
		return out
	}
	last := r.Epochs[n-1]
	out = append(out, Fact{"Epochs", fmt.Sprint(last.Epoch)}, Fact{"Training loss", number(last.TrainLoss)})
	if last.ValLoss-last.ValLoss == 0 {
		out = append(out, Fact{"Validation loss", number(last.ValLoss)})
	}
	if last.Score != nil {
		out = append(out, Fact{r.Metric, number(*last.Score)})
	}
	if last.ImageGain != nil {
		out = append(out, Fact{"Image gain", number(*last.ImageGain)})
	}
	if len(last.Samples) > 0 {
		out = append(out, Fact{"Captions right", fmt.Sprintf("%d of %d", right(last.Samples), len(last.Samples))})
	}
	var total time.Duration
	for _, e := range r.Epochs {
		total += e.Duration
	}
	if total > 0 {
		out = append(out, Fact{"Time", seconds(total)})
	}
	return out
}

func right(samples []Sample) int {
	n := 0
	for _, s := range samples {
		if s.Right {
			n++
		}
	}
	return n
}

// rows gathers the samples of all epochs by picture, in order of appearance.
func rows(epochs []Epoch) []row {
	position := map[string]int{}
	var out []row
	for _, e := range epochs {
		for _, s := range e.Samples {
			i, known := position[s.ID]
			if !known {
				i = len(out)
				position[s.ID] = i
				out = append(out, row{ID: s.ID, Actual: s.Actual, Picture: dataURI(s.PNG)})
			}
			out[i].Captions = append(out[i].Captions, caption{e.Epoch, s})
		}
	}
	return out
}

func dataURI(png []byte) template.URL {
	if len(png) == 0 {
		return ""
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png))
}

// progress is empty without samples.
func progress(epochs []Epoch) []string {
	var out []string
	for _, e := range epochs {
		if len(e.Samples) > 0 {
			out = append(out, fmt.Sprintf("Epoch %d: %d of %d right", e.Epoch, right(e.Samples), len(e.Samples)))
		}
	}
	return out
}

// word is a part of a caption.
type word struct {
	Text string
	Hit  bool // the actual caption has it
}

// words splits a generated caption and says which words the actual one has.
func words(s Sample) []word {
	actual := strings.FieldsFunc(strings.ToLower(s.Actual), punctuation)
	var out []word
	for w := range strings.FieldsSeq(s.Generated) {
		out = append(out, word{w, slices.Contains(actual, strings.TrimFunc(strings.ToLower(w), punctuation))})
	}
	return out
}

func punctuation(r rune) bool { return strings.ContainsRune(" \t\n.,:;!?\"“”()", r) }

// seconds is a duration for a person.
func seconds(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= 10*time.Minute && d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// HasGain tells whether the gain by the pictures was measured.
func (v view) HasGain() bool {
	return slices.ContainsFunc(v.Epochs, func(e Epoch) bool { return e.ImageGain != nil })
}

// Best is the epoch with the highest score, or where there are no scores the
// least validation loss; 0 if there is none.
func (v view) Best() int {
	best, most := 0, math.Inf(-1)
	for _, e := range v.Epochs {
		value := -e.ValLoss
		if v.Metric != "" {
			if value = math.NaN(); e.Score != nil {
				value = *e.Score
			}
		}
		if value > most {
			best, most = e.Epoch, value
		}
	}
	return best
}
