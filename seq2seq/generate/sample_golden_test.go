package generate

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
)

func TestSamplingDrawsFromTheProbabilitiesOfTransformers(t *testing.T) {
	var golden struct {
		Logits map[string][]*float32 // null: minus infinity
		Cases  []struct {
			Logits        string
			Options       json.RawMessage
			Probabilities []float64
		}
		Full struct {
			Options       json.RawMessage
			Kept          []int
			Probabilities []float64
		}
	}
	reference.ReadJSON(t, "testdata/sampling.json", &golden)
	if len(golden.Cases) < 100 {
		t.Fatalf("%d cases, want at least 100", len(golden.Cases))
	}
	t.Attr("compared", fmt.Sprintf("%d filters of sampling: probabilities", len(golden.Cases)))
	for _, c := range golden.Cases {
		var row []float32
		for _, x := range golden.Logits[c.Logits] {
			if x == nil {
				row = append(row, forbidden)
			} else {
				row = append(row, *x)
			}
		}
		compareProbabilities(t, c.Logits, row, c.Options, c.Probabilities)
	}

	full := reference.Fill("full", 50257, 12, 3)
	want := make([]float64, len(full))
	for i, id := range golden.Full.Kept {
		want[id] = golden.Full.Probabilities[i]
	}
	compareProbabilities(t, "a full vocabulary", full, golden.Full.Options, want)
}

func compareProbabilities(t *testing.T, name string, row []float32, options json.RawMessage, want []float64) {
	t.Helper()
	o := DefaultOptions()
	o.DoSample, o.TopK = true, 0
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	c := candidates{min: 1}
	c.warp(row, &o)
	_, lse := c.logSumExp()
	got := make([]float64, len(row))
	for _, x := range c.list {
		got[x.id] = math.Exp(x.score - lse)
	}
	for id, p := range want {
		if math.Abs(got[id]-p) > 1e-7*p {
			t.Errorf("%s, %s: token %d has probability %v, want %v", name, options, id, got[id], p)
		}
	}
}
