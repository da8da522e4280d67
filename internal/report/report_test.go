package report

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

var nan, inf = math.NaN(), math.Inf(1)

// data is what the page's script reads.
type data struct {
	Steps struct {
		Step                     []int
		Loss, Smooth, Norm, Rate []*float64
	}
	Epochs struct {
		Step              []int
		Train, Validation []*float64
	}
	Stages, Guarded []int
	Tensors         []struct {
		Name               string
		Weights, Gradients []struct {
			Step      int
			Low, High float64
			Shares    []byte
		}
	}
}

// write returns the page of r, parsed, and the data in it.
func write(t *testing.T, r Report) (page string, root *html.Node, d data) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := Write(path, r); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = html.Parse(bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	checkNesting(t, content)
	raw := find(root, func(n *html.Node) bool { return attr(n, "id") == "data" })
	if len(raw) != 1 {
		t.Fatalf("the page has %d elements of data", len(raw))
	}
	if err := json.Unmarshal([]byte(text(raw[0])), &d); err != nil {
		t.Fatalf("the data: %v", err)
	}
	return string(content), root, d
}

// checkNesting demands that every element is closed where it was opened: an
// HTML parser forgives that.
func checkNesting(t *testing.T, page []byte) {
	t.Helper()
	var open []string
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF || len(open) > 0 {
				t.Errorf("the page ends with %v inside %v", z.Err(), open)
			}
			return
		case html.StartTagToken:
			name, _ := z.TagName()
			if !slices.Contains([]string{"meta", "img", "input"}, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> inside %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func find(n *html.Node, is func(*html.Node) bool) (out []*html.Node) {
	for d := range n.Descendants() {
		if is(d) {
			out = append(out, d)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func byID(root *html.Node, id string) *html.Node {
	if found := find(root, func(n *html.Node) bool { return attr(n, "id") == id }); len(found) == 1 {
		return found[0]
	}
	return nil
}

// steps makes a curve of losses.
func steps(losses ...float64) []Step {
	out := make([]Step, len(losses))
	for i, l := range losses {
		out[i] = Step{Step: i + 1, Loss: l, GradNorm: 1 + l, LearningRate: 1e-3}
	}
	return out
}

func full() Report {
	return Report{
		Title: "a run", Written: time.Date(2026, 11, 23, 19, 40, 0, 0, time.UTC),
		Steps: steps(5, 4, 3, 2),
		Epochs: []Epoch{
			{Epoch: 1, Step: 2, TrainLoss: 4.5, ValLoss: 3.75, Duration: 83 * time.Second, Samples: []Sample{
				{ID: "z.jpg", PNG: []byte("png of a zebra"), Actual: "a zebra in the grass", Generated: "a dog"},
				{ID: "d.jpg", PNG: []byte("png of a dog"), Actual: "a dog", Generated: "a dog", Right: true},
			}},
			{Epoch: 2, Step: 4, TrainLoss: 2.5, ValLoss: 3.25, Duration: 97 * time.Second, Samples: []Sample{
				{ID: "z.jpg", PNG: []byte("png of a zebra"), Actual: "a zebra in the grass", Generated: "A zebra, in the street."},
				{ID: "d.jpg", PNG: []byte("png of a dog"), Actual: "a dog", Generated: ""},
			}},
		},
		Histograms: []Histogram{
			NewHistogram(1, "h.0.weight", "weights", []float32{-1, 0, 1}),
			NewHistogram(1, "h.0.weight", "gradients", []float32{2, 2}),
			NewHistogram(3, "h.0.weight", "weights", []float32{-2, 0, 2}),
			NewHistogram(3, "h.1.weight", "weights", []float32{5}),
		},
		Stages:   []Event{{1, "steps=2 train=crossattention"}, {3, "steps=2 train=decoder.*"}},
		Events:   []Event{{3, "the loss was infinite: update skipped"}, {3, "the loss was huge: update skipped"}},
		Settings: []Fact{{"learning_rate", "0.001"}},
		Versions: []Fact{{"Go", "go1.26"}},
	}
}

func TestThePageHoldsTheWholeRun(t *testing.T) {
	_, root, d := write(t, full())
	for id, want := range map[string][]string{
		"captions": {"a zebra in the grass", "Epoch 1: 1 of 2 right", "Epoch 2: 0 of 2 right", "nothing"},
		"epochs":   {"1 2 4.500 3.750 1 min 23 s", "2 4 2.500 3.250 best 1 min 37 s"},
		"stages":   {"1 1 steps=2 train=crossattention", "2 3 steps=2 train=decoder.*"},
		"events":   {"3 the loss was infinite: update skipped"},
		"settings": {"learning_rate 0.001", "Go go1.26"},
	} {
		section := byID(root, id)
		if section == nil {
			t.Errorf("there is no section %s", id)
			continue
		}
		for _, w := range want {
			if s := spaced(section); !strings.Contains(s, w) {
				t.Errorf("section %s lacks %q:\n%s", id, w, s)
			}
		}
	}
	if got := fmt.Sprint(d.Steps.Step, d.Epochs.Step); got != "[1 2 3 4] [2 4]" {
		t.Errorf("steps and epochs at %s", got)
	}
	if got := fmt.Sprint(d.Stages, d.Guarded); got != "[1 3] [3]" {
		t.Errorf("the charts mark stages and guarded updates at %s", got)
	}
	if *d.Steps.Loss[2] != 3 || *d.Steps.Norm[2] != 4 || *d.Steps.Rate[2] != 0.001 || *d.Epochs.Train[1] != 2.5 || *d.Epochs.Validation[1] != 3.25 {
		t.Errorf("curves %+v %+v", d.Steps, d.Epochs)
	}
	if len(d.Tensors) != 2 || d.Tensors[0].Name != "h.0.weight" || len(d.Tensors[0].Weights) != 2 || len(d.Tensors[0].Gradients) != 1 {
		t.Errorf("tensors %+v", d.Tensors)
	}
}

// spaced is the text of an element with its parts set apart by spaces.
func spaced(n *html.Node) string {
	var parts []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			parts = append(parts, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(parts, " ")
}

func TestAPictureIsInThePageOnceWithItsCaptionsOfAllEpochs(t *testing.T) {
	page, root, _ := write(t, full())
	for _, png := range []string{"png of a zebra", "png of a dog"} {
		if n := strings.Count(page, base64.StdEncoding.EncodeToString([]byte(png))); n != 1 {
			t.Errorf("%s is there %d times", png, n)
		}
	}
	said := find(root, func(n *html.Node) bool { return attr(n, "data-epoch") != "" })
	var got []string
	for _, n := range said {
		got = append(got, spaced(n))
	}
	want := []string{"1 a dog", "2 A zebra, in the street.", "1 a dog ✓", "2 nothing"}
	if !slices.Equal(got, want) {
		t.Errorf("captions %q, want %q", got, want)
	}
	var hits []string
	for _, n := range find(said[1], func(n *html.Node) bool { return attr(n, "class") == "hit" }) {
		hits = append(hits, text(n))
	}
	if want := []string{"A", "zebra,", "in", "the"}; !slices.Equal(hits, want) {
		t.Errorf("words of the actual caption: %q, want %q", hits, want)
	}
}

func TestWhatIsEmptyGetsNoSection(t *testing.T) {
	_, root, _ := write(t, Report{Title: "nothing"})
	if s := find(root, func(n *html.Node) bool { return n.Data == "section" }); len(s) > 0 {
		t.Errorf("%d sections, the first with id %q", len(s), attr(s[0], "id"))
	}
	r := full()
	r.Stages, r.Events = nil, nil
	_, root, d := write(t, r)
	for _, id := range []string{"stages", "events"} {
		if byID(root, id) != nil {
			t.Errorf("a run without %s has a section for them", id)
		}
	}
	if d.Stages == nil || d.Guarded == nil || len(d.Stages)+len(d.Guarded) > 0 {
		t.Errorf("the page's script wants empty lists, and gets %v and %v", d.Stages, d.Guarded)
	}
}

func TestNumbersThatAreNotFiniteLeaveGaps(t *testing.T) {
	r := full()
	r.Steps = steps(5, nan, inf, 2)
	r.Steps[3].LearningRate = nan
	r.Epochs[0].ValLoss, r.Epochs[1].TrainLoss = nan, inf
	page, root, d := write(t, r)
	if d.Steps.Loss[1] != nil || d.Steps.Loss[2] != nil || d.Steps.Norm[1] != nil || d.Steps.Rate[3] != nil || d.Epochs.Validation[0] != nil || d.Epochs.Train[1] != nil {
		t.Errorf("curves %+v %+v", d.Steps, d.Epochs)
	}
	if *d.Steps.Smooth[1] != 3.5 {
		t.Errorf("the smoothed loss is %v, want 3.5, the mean of 5 and 2", *d.Steps.Smooth[1])
	}
	if s := spaced(byID(root, "epochs")); !strings.Contains(s, "1 2 4.500 – 1 min 23 s 2 4 – 3.250 best") {
		t.Errorf("epochs: %s", s)
	}
	for _, bad := range []string{"NaN", "+Inf", "ZgotmplZ"} {
		if strings.Contains(regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(page, ""), bad) {
			t.Errorf("the page says %s", bad)
		}
	}
}

func TestARunWithoutValidationAndWithASingleStepHasAReport(t *testing.T) {
	r := full()
	r.Epochs = []Epoch{{Epoch: 1, Step: 1, TrainLoss: 4, ValLoss: nan}}
	r.Steps = r.Steps[:1]
	r.Histograms = nil
	_, root, d := write(t, r)
	if len(d.Steps.Loss) != 1 || *d.Steps.Smooth[0] != 5 || d.Epochs.Validation[0] != nil {
		t.Errorf("curves %+v %+v", d.Steps, d.Epochs)
	}
	for _, id := range []string{"captions", "histograms"} {
		if byID(root, id) != nil {
			t.Errorf("there is a section %s", id)
		}
	}
	if s := spaced(root); strings.Contains(s, "Validation loss 0") || !strings.Contains(s, "Without validation data") {
		t.Errorf("the page says:\n%s", s)
	}
}

func TestTextFromTheRunIsEscaped(t *testing.T) {
	const evil = `</script><script>alert("1")</script>'"><img src=x onerror=alert(2)>&amp;` + "\u2028`${3}`"
	r := full()
	r.Title, r.Stages[0].What, r.Events[0].What = evil, evil, evil
	r.Settings, r.Versions = []Fact{{evil, evil}}, []Fact{{evil, evil}}
	r.Histograms[0].Tensor = evil
	s := &r.Epochs[1].Samples[0]
	s.ID, s.Actual, s.Generated = evil, evil, evil
	_, plain, _ := write(t, full())
	_, root, d := write(t, r)
	for _, name := range []string{"script", "img"} {
		is := func(n *html.Node) bool { return n.Type == html.ElementNode && n.Data == name }
		extra := 0
		if name == "img" {
			extra = 1 // the picture of the new ID
		}
		if got, want := len(find(root, is)), len(find(plain, is))+extra; got != want {
			t.Errorf("%d elements %s, want %d", got, name, want)
		}
	}
	for _, n := range find(root, func(n *html.Node) bool { return attr(n, "onerror") != "" }) {
		t.Errorf("an attribute onerror in %s", n.Data)
	}
	if d.Tensors[0].Name != evil {
		t.Errorf("the tensor's name became %q", d.Tensors[0].Name)
	}
	title := find(root, func(n *html.Node) bool { return n.Data == "h1" })
	if got, want := text(title[0]), strings.Join(strings.Fields(evil), " "); got != want {
		t.Errorf("the title became %q", got)
	}
}

func TestThePageNeedsNoNetwork(t *testing.T) {
	_, root, _ := write(t, full())
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			remote := a.Key == "src" || a.Key == "href" || a.Key == "srcset" || a.Key == "action"
			if remote && !strings.HasPrefix(a.Val, "data:image/png;base64,") {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	if policy := find(root, func(n *html.Node) bool { return attr(n, "http-equiv") == "Content-Security-Policy" }); len(policy) != 1 || !strings.HasPrefix(attr(policy[0], "content"), "default-src 'none'") {
		t.Error("no policy forbids the network")
	}
	for _, css := range []string{style, uplotStyle} {
		if strings.Contains(css, "url(") || strings.Contains(css, "@import") {
			t.Error("a style sheet loads something")
		}
	}
}

func TestThePageCarriesTheLicenceOfItsCharts(t *testing.T) {
	page, _, _ := write(t, full())
	if !strings.Contains(page, "Copyright (c) 2022 Leon Sorokin") || !strings.Contains(page, "uPlot (v1.6.32)") {
		t.Error("uPlot or its licence is missing")
	}
}

func TestEveryChartAndControlHasALabel(t *testing.T) {
	_, root, _ := write(t, full())
	labels := map[string]bool{}
	for _, n := range find(root, func(n *html.Node) bool { return n.Data == "label" }) {
		labels[attr(n, "for")] = true
		for range find(n, func(n *html.Node) bool { return n.Data == "input" }) {
			labels["every"] = true
		}
	}
	checked := 0
	for _, n := range find(root, func(n *html.Node) bool {
		return slices.Contains([]string{"figure", "input", "select", "img"}, n.Data)
	}) {
		checked++
		if attr(n, "aria-label") == "" && attr(n, "alt") == "" && !labels[attr(n, "id")] {
			t.Errorf("%s %s has no label", n.Data, attr(n, "id"))
		}
	}
	if checked != 5+2+1+2 {
		t.Errorf("%d charts, controls and pictures, want 5 + 3 + 2", checked)
	}
}

// The script and the template find each other by ids.
func TestTheScriptNamesElementsThatThePageHas(t *testing.T) {
	_, root, _ := write(t, full())
	found := regexp.MustCompile(`(?:byId|show|getElementById)\("([a-z-]+)"`).FindAllStringSubmatch(script, -1)
	if len(found) < 8 {
		t.Fatalf("the script names only %d elements", len(found))
	}
	for _, m := range found {
		if byID(root, m[1]) == nil {
			t.Errorf("the page has no element %q", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`"(--[a-z]+)"`).FindAllStringSubmatch(script, -1) {
		if strings.Count(style, m[1]+":") != 2 {
			t.Errorf("the style sheet has %s %d times, want one for light and one for dark", m[1], strings.Count(style, m[1]+":"))
		}
	}
}

func TestWritingReplacesAnOldPageAndNamesAFolderThatIsMissing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, bytes.Repeat([]byte("old"), 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, full()); err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(path); err != nil || bytes.Contains(page, []byte("oldold")) {
		t.Errorf("the old page is still there (%v)", err)
	}
	missing := filepath.Join(dir, "none", "report.html")
	if err := Write(missing, full()); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v", err)
	}
}

func TestALongRunKeepsItsExtremes(t *testing.T) {
	losses := make([]float64, 12345)
	for i := range losses {
		losses[i] = 2
	}
	losses[777], losses[9000] = 99, 0.5
	s := steps(losses...)
	s[4321].GradNorm = 1e6
	_, _, d := write(t, Report{Steps: s})
	if n := len(d.Steps.Step); n > 4*maxGroups || !slices.IsSorted(d.Steps.Step) {
		t.Errorf("%d steps, sorted: %v", n, slices.IsSorted(d.Steps.Step))
	}
	for _, c := range []struct {
		curve []*float64
		step  int
		want  float64
	}{{d.Steps.Loss, 778, 99}, {d.Steps.Loss, 9001, 0.5}, {d.Steps.Norm, 4322, 1e6}, {d.Steps.Loss, 12345, 2}} {
		if i := slices.Index(d.Steps.Step, c.step); i < 0 || *c.curve[i] != c.want {
			t.Errorf("step %d is not shown as %v", c.step, c.want)
		}
	}
}

func TestAMovingMeanIsThatOfItsFiniteNeighbours(t *testing.T) {
	x := []float64{1, nan, 4, 7, inf, 2, nan, nan, nan}
	for half := range 4 {
		got := movingMean(x, half)
		for i := range x {
			sum, n := 0.0, 0.0
			for j := max(i-half, 0); j <= min(i+half, len(x)-1); j++ {
				if !math.IsNaN(x[j]) && !math.IsInf(x[j], 0) {
					sum, n = sum+x[j], n+1
				}
			}
			if want := sum / n; math.Abs(got[i]-want) > 1e-12 || math.IsNaN(got[i]) != math.IsNaN(want) {
				t.Errorf("half %d at %d: %v, want %v", half, i, got[i], want)
			}
		}
	}
}

func TestAHistogramCountsEveryFiniteValueOnce(t *testing.T) {
	many := make([]float32, 1000)
	for i := range many {
		many[i] = float32(i%10) - 4.5
	}
	for _, c := range []struct {
		name   string
		values []float32
		count  int
		bins   int
	}{
		{"none", nil, 0, 0},
		{"one", []float32{3}, 1, 1},
		{"all the same", []float32{-2, -2, -2}, 3, 1},
		{"not finite", []float32{float32(nan), float32(inf), float32(-inf)}, 0, 0},
		{"some not finite", []float32{1, float32(nan), 2, float32(inf)}, 2, bins},
		{"an outlier", append(slices.Clone(many), 1e9), 1001, bins},
		{"many", many, 1000, bins},
		{"hardly different", []float32{1, math.Nextafter32(1, 2)}, 2, -1},
	} {
		h := NewHistogram(7, "w", "weights", c.values)
		n := 0
		for _, k := range h.Counts {
			n += k
		}
		if n != c.count || c.bins >= 0 && len(h.Counts) != c.bins || h.Low > h.High || h.Step != 7 || h.Tensor != "w" || h.Of != "weights" {
			t.Errorf("%s: %+v counts %d values in %d bins, want %d in %d", c.name, h, n, len(h.Counts), c.count, c.bins)
		}
	}
	h := NewHistogram(1, "w", "weights", many)
	if math.Abs(h.Low+h.High) > 1e-9 || math.Abs(h.High-4*math.Sqrt(8.25)) > 1e-9 {
		t.Errorf("from %v to %v, want four standard deviations around 0", h.Low, h.High)
	}
	for v := -4.5; v < 5; v++ {
		at := int((v - h.Low) / (h.High - h.Low) * bins)
		if h.Counts[at] != 100 {
			t.Errorf("the bin of %v has %d values, want 100", v, h.Counts[at])
		}
	}
}

func TestThePageSaysInWordsWhatTheRunShows(t *testing.T) {
	epochs := func(losses ...float64) (out []Epoch) { // training, validation, …
		for i := 0; i < len(losses); i += 2 {
			out = append(out, Epoch{Epoch: i/2 + 1, Step: i + 2, TrainLoss: losses[i], ValLoss: losses[i+1]})
		}
		return out
	}
	say := func(generated ...string) []Epoch {
		e := epochs(3, 3)
		for i, g := range generated {
			e[0].Samples = append(e[0].Samples, Sample{ID: fmt.Sprint(i), Actual: fmt.Sprint(i), Generated: g})
		}
		return e
	}
	gain := func(x float64) []Epoch {
		e := epochs(3, 3)
		e[0].ImageGain = &x
		return e
	}
	norms := func(from, to float64) []Step {
		s := steps(make([]float64, 50)...)
		for i := range s {
			s[i].GradNorm = from * math.Pow(to/from, float64(i)/49)
		}
		s[0].GradNorm = nan
		return s
	}
	for _, c := range []struct {
		name string
		r    Report
		want string // "": nothing is said
	}{
		{"nothing", Report{}, ""},
		{"one epoch", Report{Epochs: epochs(3, 3)}, ""},
		{"memorises", Report{Epochs: epochs(3, 3, 2, 2.5, 1, 2.8)}, "memorises. Epoch 2 was the best, with a validation loss of 2.500"},
		{"both rise", Report{Epochs: epochs(3, 3, 2, 2.5, 2.5, 2.8)}, "Both losses have risen since epoch 2"},
		{"flat", Report{Epochs: epochs(3, 3, 3.01, 3)}, "hardly falls"},
		{"falls", Report{Epochs: epochs(3, 3, 2, 2.5)}, "more epochs may help"},
		{"levelled out", Report{Epochs: epochs(3, 3, 2.8, 2.5, 2.7, 2.499)}, "levelled out"},
		{"no validation", Report{Epochs: epochs(3, nan, 2, nan)}, "Without validation data"},
		{"a gap in validation", Report{Epochs: epochs(3, 3, 2, nan, 2, 2.5)}, "more epochs may help"},
		{"a broken update", Report{Steps: steps(3, nan, 2)}, "loss of 1 update is not a finite number"},
		{"broken updates", Report{Steps: steps(3, nan, inf)}, "loss of 2 updates is"},
		{"ignored pictures", Report{Epochs: gain(0.001)}, "Image gain is 0.001, near 0"},
		{"used pictures", Report{Epochs: gain(0.5)}, "validation loss is higher by 0.500"},
		{"misleading pictures", Report{Epochs: gain(-0.5)}, "the pictures mislead"},
		{"an unknown gain", Report{Epochs: gain(nan)}, ""},
		{"exploding", Report{Steps: norms(0.5, 500)}, "about to explode"},
		{"vanishing", Report{Steps: norms(1, 1e-6)}, "next to nothing is learned"},
		{"steady", Report{Steps: norms(1, 0.5)}, ""},
		{"blind", Report{Epochs: say("a dog", "a dog", "a dog")}, "same caption"},
		{"seeing", Report{Epochs: say("a dog", "a dog", "a cat")}, ""},
		{"two pictures", Report{Epochs: say("a dog", "a dog")}, ""},
	} {
		got := strings.Join(observe(c.r), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNumbersAndDurationsAreShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0.000", 1.23456: "1.235", 123.4: "123", 1e-5: "1.00e-05", 2.5e7: "2.50e+07", inf: "–", -3: "-3.000"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %q, want %q", x, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "–", 1500 * time.Millisecond: "1.5 s", 42 * time.Second: "42 s", 83 * time.Second: "1 min 23 s",
		17*time.Minute + 5*time.Second: "17 min", 61 * time.Minute: "1 h 1 min",
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestThePageShowsTheImageGainWhereItIsKnown(t *testing.T) {
	gain := 0.625
	r := Report{Epochs: []Epoch{{Epoch: 1, Step: 1, TrainLoss: 4, ValLoss: 3}}}
	if page, _, _ := write(t, r); strings.Contains(page, "Image gain") {
		t.Error("a gain that nobody measured is shown")
	}
	r.Epochs[0].ImageGain = &gain
	page, _, _ := write(t, r)
	for _, want := range []string{"<dt>Image gain</dt><dd>0.625</dd>", "<td>0.625</td>", `<th scope="col">Image gain</th>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestTheBestEpochIsThatWithTheHighestScoreWhereThereAreScores(t *testing.T) {
	score := func(x float64) *float64 { return &x }
	_, root, _ := write(t, Report{Metric: "cider", Epochs: []Epoch{
		{Epoch: 1, Step: 4, TrainLoss: 3, ValLoss: 3, Score: score(0.5)},
		{Epoch: 2, Step: 8, TrainLoss: 2, ValLoss: 4, Score: score(0.75)},
		{Epoch: 3, Step: 12, TrainLoss: 1, ValLoss: 5},
	}})
	s := spaced(byID(root, "epochs"))
	if !strings.Contains(s, "Validation loss cider") || !strings.Contains(s, "2 8 2.000 4.000 0.750 best") || !strings.Contains(s, "3 12 1.000 5.000 –") || strings.Count(s, "best") != 1 {
		t.Errorf("the table of epochs is %q", s)
	}
}
