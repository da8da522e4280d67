package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestTheReportHasWhatIsExportedAndNothingElse(t *testing.T) {
	root := t.TempDir()
	for name, code := range map[string]string{
		"shapes/shapes.go": `package shapes

// Sides of things.
const (
	None Side = iota
	Left
	right
)

const Name = "shapes"

var Default, other int

type Side int

type Box[T any, U ~int] struct {
	Width, Height T ` + "`json:\"w\"`" + `
	Side
	depth U
}

type Drawer interface {
	Draw(box Box[int, int],
		at ...int) error
	hidden()
}

type Alias = Box[int, Side]

func New[T any](width T, options func(int) error) (*Box[T, int], error) { return nil, nil }
func (b *Box[T, U]) Area() (area T) { return area }
func (b Box[T, U]) unseen() {}
type private struct{ X int }
func (p private) Seen() {}
`,
		"shapes/shapes_test.go":      "package shapes\n\nfunc Helper() {}\n",
		"shapes/shapes_windows.go":   "package shapes\n\nfunc Elsewhere() {}\n",
		"internal/hidden/hidden.go":  "package hidden\n\nfunc Hidden() {}\n",
		"shapes/testdata/ignored.go": "package ignored\n\nfunc Ignored() {}\n",
		"tool/main.go":               "package main\n\nfunc Exported() {}\nfunc main() {}\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(code), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := report(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"shapes: const Left Side",
		`shapes: const Name = "shapes"`,
		"shapes: const None Side = iota",
		"shapes: field Box.(embedded) Side",
		"shapes: field Box.Height T `json:\"w\"`",
		"shapes: field Box.Width T `json:\"w\"`",
		"shapes: func New[T any](width T, options func(int) error) (*Box[T, int], error)",
		"shapes: interface Drawer.Draw(box Box[int, int], at ...int) error",
		"shapes: method (*Box[T, U]) Area() (area T)",
		"shapes: type Alias = Box[int, Side]",
		"shapes: type Box[T any, U ~int] struct",
		"shapes: type Drawer interface",
		"shapes: type Side int",
		"shapes: var Default int",
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("not expected: %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("missing: %s", l)
		}
	}
}
