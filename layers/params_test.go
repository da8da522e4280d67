package layers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/nn"
)

type block struct {
	nn.Module
	Proj *layers.Linear `param:"proj"`
	Norm *layers.LayerNorm
}

type network struct {
	nn.Module
	Blocks []*block          `param:"h"`
	Table  *layers.Embedding `param:"wte"`
	Head   *nn.Param         `param:"lm_head.weight"`
	Absent *layers.Linear    `param:"absent"`
	Part   any               `param:""`
}

func newNetwork() *network {
	n := &network{Table: layers.NewEmbedding[float32](5, 2), Part: layers.NewLayerNorm[float32](2, 1e-5)}
	for range 2 {
		n.Blocks = append(n.Blocks, &block{Proj: layers.NewLinear[float32](2, 3, true), Norm: layers.NewLayerNorm[float32](2, 1)})
	}
	n.Head = n.Table.Weight // tied
	return n
}

func TestParametersHaveTheNamesOfTheirTagsAndTiedOnesOne(t *testing.T) {
	var names []string
	for _, p := range layers.Parameters(newNetwork()) {
		names = append(names, p.Name)
	}
	want := []string{"h.0.proj.weight", "h.0.proj.bias", "h.1.proj.weight", "h.1.proj.bias", "wte.weight", "weight", "bias"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q\nwant %q", names, want)
	}
	if shape := layers.Parameters(newNetwork())[1].Shape; !slices.Equal(shape, []int{3}) {
		t.Errorf("a bias has shape %v, want [3]", shape)
	}
}

func TestTrainableFreezesAllButWhatMatches(t *testing.T) {
	for _, tc := range []struct {
		patterns []string
		want     []string
	}{
		{[]string{"proj"}, []string{"h.0.proj.weight", "h.0.proj.bias", "h.1.proj.weight", "h.1.proj.bias"}},
		{[]string{"h.1"}, []string{"h.1.proj.weight", "h.1.proj.bias"}},
		{[]string{"h.*.weight"}, []string{"h.0.proj.weight", "h.1.proj.weight"}},
		{[]string{"wte.weight", "h.0.proj.bias"}, []string{"h.0.proj.bias", "wte.weight"}},
		{[]string{"re:^h.*bias$"}, []string{"h.0.proj.bias", "h.1.proj.bias"}},
		{[]string{"*"}, []string{"h.0.proj.weight", "h.0.proj.bias", "h.1.proj.weight", "h.1.proj.bias", "wte.weight", "weight", "bias"}},
	} {
		n := newNetwork()
		if err := layers.Trainable(n, tc.patterns...); err != nil {
			t.Errorf("%q: %v", tc.patterns, err)
			continue
		}
		var got []string
		for _, p := range layers.Parameters(n) {
			if p.Value.RequiresGrad() {
				got = append(got, p.Name)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q trains %q, want %q", tc.patterns, got, tc.want)
		}
	}
}

func TestAPatternThatMatchesNothingIsAnErrorWithNearNames(t *testing.T) {
	n := newNetwork()
	err := layers.Trainable(n, "h.0", "porj")
	if err == nil || !strings.Contains(err.Error(), `"porj"`) || !strings.Contains(err.Error(), "proj") {
		t.Errorf("got %v", err)
	}
	for _, p := range layers.Parameters(n) {
		if !p.Value.RequiresGrad() {
			t.Fatalf("%s was frozen by a call that failed", p.Name)
		}
	}
	for _, bad := range []string{"re:(", "[a"} {
		if err := layers.Trainable(n, bad); err == nil {
			t.Errorf("pattern %q was taken", bad)
		}
	}
}

func TestWithoutGradientsFreezesForAWhile(t *testing.T) {
	n := newNetwork()
	if err := layers.Trainable(n, "proj"); err != nil {
		t.Fatal(err)
	}
	_, before := layers.Count(n)
	_ = layers.WithoutGradients(n, func() error {
		if _, trained := layers.Count(n); trained != 0 {
			t.Errorf("%d elements are trained inside", trained)
		}
		return nil
	})
	if _, after := layers.Count(n); after != before {
		t.Errorf("%d elements are trained afterwards, %d before", after, before)
	}
}
