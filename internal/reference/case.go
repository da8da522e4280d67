package reference

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// Case is a golden case: a folder that README.md describes.
type Case struct {
	Name string // of the folder
	Dir  string
	Meta Meta

	file *safetensors.File
}

// Meta is a case's meta.json.
type Meta struct {
	Weights        *Weights                   `json:"weights"`    // nil: the folder has model.safetensors
	Parameters     []Parameter                `json:"parameters"` // whose weights are drawn
	Integers       map[string]json.RawMessage `json:"integers"`
	Trainable      string                     `json:"trainable"` // part of the names of the parameters that are trained
	LabelSmoothing float64                    `json:"label_smoothing"`
	Loss           float64                    `json:"loss"`
	Floor          map[string]float64         `json:"floor"`
}

// Parameter is the state-dict name and shape of a parameter.
type Parameter struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// EachDrawn runs a subtest for each case with drawn weights among the folders that match a pattern, and EachStored for
// each that is a true checkpoint. They fail if there is none.
func EachDrawn(t *testing.T, pattern string, test func(t *testing.T, c *Case)) {
	t.Helper()
	each(t, pattern, func(c *Case) bool { return c.Meta.Weights != nil }, test)
}

// EachStored is described with [EachDrawn].
func EachStored(t *testing.T, pattern string, test func(t *testing.T, c *Case)) {
	t.Helper()
	each(t, pattern, func(c *Case) bool { return c.Meta.Weights == nil }, test)
}

func each(t *testing.T, pattern string, chosen func(*Case) bool, test func(*testing.T, *Case)) {
	t.Helper()
	metas, err := filepath.Glob(filepath.Join(pattern, "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, meta := range metas {
		if c := Open(t, filepath.Dir(meta)); chosen(c) {
			found++
			t.Run(c.Name, func(t *testing.T) { test(t, c) })
		}
	}
	if found == 0 {
		t.Fatalf("no golden case of this kind at %s", pattern)
	}
}

// Open reads the case in a folder.
func Open(t testing.TB, dir string) *Case {
	t.Helper()
	c := &Case{Name: filepath.Base(dir), Dir: dir}
	ReadJSON(t, filepath.Join(dir, "meta.json"), &c.Meta)
	path := filepath.Join(dir, "golden.safetensors")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if c.file, err = safetensors.New(path, f, info.Size()); err != nil {
		t.Fatal(err)
	}
	return c
}

// ReadJSON reads a JSON file.
func ReadJSON(t testing.TB, path string, value any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Config reads the case's config.json.
func (c *Case) Config(t testing.TB, config any) {
	t.Helper()
	ReadJSON(t, filepath.Join(c.Dir, "config.json"), config)
}

// Has reports whether the case has a tensor.
func (c *Case) Has(name string) bool {
	_, ok := c.file.Info(name)
	return ok
}

// Shape is the shape of a tensor.
func (c *Case) Shape(t testing.TB, name string) []int {
	t.Helper()
	info, ok := c.file.Info(name)
	if !ok {
		t.Fatalf("%s has no tensor %s", c.Dir, name)
	}
	return info.Shape
}

// Floats is a tensor, flat in row-major order.
func (c *Case) Floats(t testing.TB, name string) []float32 {
	t.Helper()
	n := 1
	for _, d := range c.Shape(t, name) {
		n *= d
	}
	out := make([]float32, n)
	if err := c.file.Read(name, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Names lists the tensors whose names begin with prefix, without it.
func (c *Case) Names(prefix string) []string {
	var out []string
	for _, name := range c.file.Names() {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

// Ints is an integer tensor with one dimension.
func (c *Case) Ints(t testing.TB, name string) []int {
	t.Helper()
	var out []int
	if err := json.Unmarshal(c.Meta.Integers[name], &out); err != nil {
		t.Fatalf("%s: integers %s: %v", c.Dir, name, err)
	}
	return out
}

// Float is the type of a matrix's elements.
type Float interface{ float32 | float64 }

// Compare fails unless got equals the tensor want of the case within tolerance times its largest value.
func Compare[T Float](t testing.TB, c *Case, want string, got []T, tolerance float64) {
	t.Helper()
	values := c.Floats(t, want)
	largest := Largest(values)
	off := CompareWithin(t, want, got, values, tolerance*largest)
	Measured(t, want, off, largest, tolerance, c.floor(want))
}

// floor is the reference's own inaccuracy in a tensor; gradients share one, and so do final weights.
func (c *Case) floor(tensor string) float64 {
	if floor, ok := c.Meta.Floor[tensor]; ok {
		return floor
	}
	kind, _, _ := strings.Cut(tensor, ".")
	return c.Meta.Floor[kind]
}

// CompareLoss fails unless got equals the case's loss within tolerance times its value.
func CompareLoss(t testing.TB, c *Case, got, tolerance float64) {
	t.Helper()
	off := CompareWithin(t, "loss", []float64{got}, []float64{c.Meta.Loss}, tolerance*math.Abs(c.Meta.Loss))
	Measured(t, "loss", off, math.Abs(c.Meta.Loss), tolerance, c.Meta.Floor["loss"])
}

// Measured notes, where tests are verbose, how far a result is off and what is allowed, both over the largest value
// that the result should have, and the floor of the reference. The program in table collects the notes.
func Measured(t testing.TB, what string, off, largest, tolerance, floor float64) {
	if off > 0 {
		off /= largest
	}
	t.Attr(what, fmt.Sprintf("%g %g %g", off, tolerance, floor))
}

// CompareSlices fails unless got equals want within tolerance times the largest value of want.
func CompareSlices[T, U Float](t testing.TB, what string, got []T, want []U, tolerance float64) {
	t.Helper()
	CompareWithin(t, what, got, want, tolerance*Largest(want))
}

// CompareWithin fails unless each element of got is within an absolute bound of that of want. It returns the largest
// difference.
func CompareWithin[T, U Float](t testing.TB, what string, got []T, want []U, bound float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, want %d", what, len(got), len(want))
		return math.Inf(1)
	}
	worst, at := 0.0, -1
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); d > worst || math.IsNaN(d) {
			worst, at = d, i
		}
	}
	if !(worst <= bound) {
		t.Errorf("%s: element %d of %d is %v, want %v: off by %.3g, allowed are %.3g", what, at, len(want), got[at], want[at], worst, bound)
	}
	return worst
}

// Largest is the largest magnitude in x.
func Largest[T Float](x []T) float64 {
	largest := 0.0
	for _, v := range x {
		largest = max(largest, math.Abs(float64(v)))
	}
	return largest
}
