package figure

import (
	"encoding/xml"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAFigureIsXML(t *testing.T) {
	f := New(100, 50, `"a" < b & c`)
	f.Text("name", 1, 2.25, `x < y & "z"`)
	f.Arrow(0, 0, 10, 0)
	f.Chart(Chart{X: 10, Y: 10, Width: 50, Height: 20, Horizontal: Axis{To: 1}, Vertical: Axis{From: 1e-3, To: 1, Log: true}},
		Series{Name: "s", Class: "blue", X: []float64{0, 0.5, 1}, Y: []float64{1, math.NaN(), 1e-9}, Dots: true})
	if err := xml.Unmarshal([]byte(f.String()), new(struct{})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.String(), `points="10,10 60,30"`) {
		t.Errorf("a line from the top left to below the bottom right:\n%s", f)
	}
	if err := f.WriteFile(filepath.Join(t.TempDir(), "missing", "f.svg")); err == nil {
		t.Error("a figure was written into no folder")
	}
}

func TestHeatIsThickerForGreaterNumbers(t *testing.T) {
	f := New(10, 10, "")
	f.Heat(0, 0, 5, 2, 2, []float32{0, 1, 2, -2}, 0)
	for _, want := range []string{
		`class="blue pixels" fill-opacity="0.50" d="M5 0h5v5H5z"`,
		`class="blue pixels" fill-opacity="1.00" d="M0 5h5v5H0z"`,
		`class="orange pixels" fill-opacity="1.00" d="M5 5h5v5H5z"`,
	} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("no %s in\n%s", want, f)
		}
	}
}

func TestAVeilIsThinnerForGreaterNumbers(t *testing.T) {
	f := New(10, 10, "")
	f.Veil(0, 0, 5, 1, 3, []float32{0, 1, 2}, 0)
	for _, want := range []string{`fill-opacity="1.00" d="M0 0h5v5H0z"`, `fill-opacity="0.50" d="M5 0h5v5H5z"`} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("no %s in\n%s", want, f)
		}
	}
	if strings.Contains(f.String(), "M10 0") {
		t.Errorf("the greatest number is covered:\n%s", f)
	}
}

func TestAPictureIsRunsOfItsColours(t *testing.T) {
	img := image.NewRGBA(image.Rect(3, 3, 6, 4))
	for x, c := range []color.RGBA{{255, 0, 0, 255}, {255, 1, 0, 255}, {0, 0, 255, 255}} {
		img.SetRGBA(3+x, 3, c)
	}
	f := New(30, 10, "")
	f.Picture(0, 0, 10, img)
	f.Picture(0, 50, 5, img)
	for _, want := range []string{
		`<g transform="translate(0 0) scale(10)"><g id="picture0"`, `fill="#ff0000" d="M0 0h2v1H0z"`, `fill="#0000ff" d="M2 0h1v1H2z"`,
		`<use href="#picture0" transform="translate(0 50) scale(5)"/>`,
	} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("no %s in\n%s", want, f)
		}
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	for _, test := range []struct {
		axis Axis
		want []float64
	}{
		{Axis{From: 0, To: 1}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{Axis{From: 0, To: 900}, []float64{0, 200, 400, 600, 800}},
		{Axis{From: 1.1, To: 3}, []float64{1.5, 2, 2.5, 3}},
		{Axis{From: 0, To: 2.5}, []float64{0, 0.5, 1, 1.5, 2, 2.5}},
		{Axis{From: 1e-4, To: 1, Log: true}, []float64{1e-4, 1e-3, 1e-2, 0.1, 1}},
		{Axis{From: 1, To: 0}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{Axis{From: 1e-12, To: 1, Log: true}, []float64{1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1}},
	} {
		got := test.axis.ticks()
		if !slices.EqualFunc(got, test.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*math.Abs(b)+1e-15 }) {
			t.Errorf("%+v: %v, want %v", test.axis, got, test.want)
		}
	}
}

func TestNamesOfSeriesDoNotLieOnEachOther(t *testing.T) {
	f := New(100, 100, "")
	f.Chart(Chart{Width: 100, Height: 100, Horizontal: Axis{To: 1}, Vertical: Axis{To: 1}},
		Series{Name: "lower", X: []float64{0, 1}, Y: []float64{0, 0.5}},
		Series{X: []float64{0, 1}, Y: []float64{0, 0.52}},
		Series{Name: "upper", X: []float64{0, 0.95}, Y: []float64{0, 0.55}},
		Series{Name: "before", X: []float64{0, 0.5}, Y: []float64{0, 0.5}})
	for _, want := range []string{`x="107" y="49" xml:space="preserve">upper`, `x="107" y="63" xml:space="preserve">lower`, `x="57" y="54" xml:space="preserve">before`} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("no %s in\n%s", want, f)
		}
	}
}

func TestAFigureHasTheRulesOfItsClassesOnly(t *testing.T) {
	f := New(10, 10, "")
	f.Line("line blue", 0, 0, 1, 1)
	for rule, want := range map[string]bool{".line.blue {": true, "text {": true, "  .page {": true, ".line.red {": false, ".thin {": false} {
		if strings.Contains(f.String(), rule) != want {
			t.Errorf("%s: %v, want %v, in\n%s", rule, !want, want, f)
		}
	}
}

func TestTicksAreWrittenShort(t *testing.T) {
	for _, test := range []struct {
		axis Axis
		v    float64
		want string
	}{
		{Axis{}, 0.25, "0.25"}, {Axis{}, math.Copysign(0, -1), "0"}, {Axis{}, 20000, "2e+04"}, {Axis{Log: true}, 0.1, "0.1"}, {Axis{Log: true}, 1e-12, "10⁻¹²"}, {Axis{Log: true}, 1e6, "10⁶"},
	} {
		if got := test.axis.text(test.v); got != test.want {
			t.Errorf("%v is written %q, want %q", test.v, got, test.want)
		}
	}
}
