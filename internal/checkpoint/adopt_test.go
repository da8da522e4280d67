package checkpoint

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// adopting returns parameters that take over values, and what they have taken.
func adopting(params []Param) ([]Param, map[string][]float32) {
	var mu sync.Mutex
	out, taken := empty(params), map[string][]float32{}
	for i, p := range out {
		out[i].Adopt = func(values []float32) {
			mu.Lock()
			defer mu.Unlock()
			taken[p.Name] = values
		}
	}
	return out, taken
}

// large are parameters of a file that is worth mapping, one of them across many pages and one within a page.
func large() []Param {
	return []Param{param("a", 0, 3, 500_000), param("b", 5, 10), param("c", 1e6, 700_001)}
}

func TestValuesInAFileAreAdoptedInPlaceAndTheFileStaysAsItIs(t *testing.T) {
	dir, want := t.TempDir(), large()
	if err := Save(dir, want, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, singleFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, taken := adopting(want)
	report, err := load(t, dir, got, Options{})
	if err != nil || len(report.Loaded) != 3 {
		t.Fatal(report, err)
	}
	if len(taken) == 0 && runtime.GOOS == "linux" {
		t.Fatal("nothing was adopted")
	}
	for i, p := range got {
		values, ok := taken[p.Name]
		if !ok {
			values = p.Data // where files cannot be mapped
		}
		if !slices.Equal(values, want[i].Data) {
			t.Errorf("%s differs from what was saved", p.Name)
		}
		for j := range values {
			values[j] = -7
		}
	}
	// Saved over the file that they came from, they are what they have become.
	for i := range got {
		if values, ok := taken[got[i].Name]; ok {
			got[i].Data = values
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the file has changed", err)
	}
	if err := Save(dir, got, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	again := empty(want)
	if _, err := load(t, dir, again, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range again {
		if slices.ContainsFunc(p.Data, func(x float32) bool { return x != -7 }) {
			t.Errorf("%s was not saved as it had become", p.Name)
		}
	}
}

func TestValuesThatMustBeConvertedAreRead(t *testing.T) {
	dir, want := t.TempDir(), large()
	for i := range want {
		for j := range want[i].Data {
			want[i].Data[j] = float32(j % 128) // exact as bfloat16
		}
	}
	if err := Save(dir, want, SaveOptions{DType: "BF16"}); err != nil {
		t.Fatal(err)
	}
	got, taken := adopting(want)
	if _, err := load(t, dir, got, Options{}); err != nil {
		t.Fatal(err)
	}
	if len(taken) > 0 || !equal(got, want) {
		t.Errorf("%d adopted", len(taken))
	}
}

func TestAdoptedValuesThatAreNotFiniteAreFound(t *testing.T) {
	dir, params := t.TempDir(), large()
	params[2].Data[600_000] = float32(math.NaN())
	if err := Save(dir, params, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	got, _ := adopting(params)
	_, err := load(t, dir, got, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	if _, err := load(t, dir, got, Options{AllowNonFinite: true}); err != nil {
		t.Error(err)
	}
}
