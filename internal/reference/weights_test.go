package reference

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

func TestGoDrawsTheSameBitsAsPython(t *testing.T) {
	data, err := os.ReadFile("testdata/fill.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Weights Weights
		Name    string
		Shape   []int
		Bits    []uint32 // of the float32 values
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 5 {
		t.Fatalf("testdata/fill.json has %d cases, want at least 5", len(cases))
	}
	for _, c := range cases {
		var got []uint32
		for _, v := range c.Weights.Tensor(c.Name, c.Shape...) {
			got = append(got, math.Float32bits(v))
		}
		if !slices.Equal(got, c.Bits) {
			t.Errorf("%+v %s %v:\n got %x\nwant %x", c.Weights, c.Name, c.Shape, got, c.Bits)
		}
	}
}
