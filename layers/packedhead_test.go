package layers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func TestAPackedHeadGivesTheBitsOfTheLoss(t *testing.T) {
	for _, bfloat16 := range []bool{false, true} {
		t.Run(fmt.Sprintf("bfloat16 %v", bfloat16), func(t *testing.T) { testPackedHead(t, bfloat16) })
	}
}

func testPackedHead(t *testing.T, bfloat16 bool) {
	const rows, vocabulary, dim = 40, 2100, 256
	table := layers.NewEmbedding[float32](vocabulary, dim)
	layers.InitNormal(table.Weight, 0.5, layers.NewRandom(1))
	layers.Freeze(table)
	hidden, labels := make([]float32, rows*dim), make([]int, rows)
	for i := range hidden {
		hidden[i] = float32(i%13)/6 - 1
	}
	for i := range labels {
		labels[i] = i * 50
	}
	ids := []int{5, 0, 5, vocabulary - 1}
	embedded := func() []float32 { return mat.Data[float32](table.Forward(ids).Value()) }
	run := func() (perRow []float64, dx []float32) {
		x := mat.NewDense[float32](mat.WithShape(rows, dim), mat.WithBacking(slices.Clone(hidden)), mat.WithGrad(true))
		r, err := losses.LinearCrossEntropy(x, table.Weight, labels, losses.Options{BFloat16: bfloat16, Head: table.Head()})
		if err != nil {
			t.Fatal(err)
		}
		if err := ag.Backward(r.Loss); err != nil {
			t.Fatal(err)
		}
		return r.Rows, slices.Clone(mat.Data[float32](x.Grad().(mat.Matrix)))
	}
	same := func(what string, want []float64, wantGradient []float32) {
		t.Helper()
		if perRow, dx := run(); !slices.Equal(perRow, want) || !slices.Equal(dx, wantGradient) {
			t.Errorf("%s: other bits", what)
		}
		for i, id := range ids {
			if !slices.Equal(embedded()[i*dim:(i+1)*dim], mat.Data[float32](table.Weight.Value())[id*dim:(id+1)*dim]) {
				t.Errorf("%s: id %d is given another vector", what, id)
			}
		}
	}
	want, gradient := run()
	layers.Pack(table)
	for range 3 {
		same("packed", want, gradient)
	}

	w := mat.Data[float32](table.Weight.Value())
	before := w[3]
	w[3] += 1
	layers.Changed(table)
	changed, changedGradient := run()
	if slices.Equal(changed, want) {
		t.Error("a change of the head changes nothing")
	}
	for range 3 {
		same("changed", changed, changedGradient)
	}

	table.Weight.SetRequiresGrad(true)
	if table.Head().Logits(bfloat16, rows, hidden, make([]float32, rows*vocabulary)) {
		t.Error("a head that is trained is kept")
	}
	w[3] = before
	table.Weight.SetRequiresGrad(false)
	for range 3 {
		same("trained and frozen again", want, gradient)
	}
}

func TestTheGradientOfAPackedHeadIsASumOfPartialProducts(t *testing.T) {
	const rows, vocabulary, dim = 270, 2*kernel.HeadPart + 33, 70
	for _, bfloat16 := range []bool{false, true} {
		table := layers.NewEmbedding[float32](vocabulary, dim)
		layers.InitNormal(table.Weight, 0.5, layers.NewRandom(1))
		layers.Freeze(table)
		layers.Pack(table)
		w, slopes := mat.Data[float32](table.Weight.Value()), make([]float32, rows*vocabulary)
		for i := range slopes {
			slopes[i] = float32(i%1013)/506 - 1
		}
		want, part := make([]float32, rows*dim), make([]float32, rows*dim)
		for v := 0; v < vocabulary; v += kernel.HeadPart {
			k := min(kernel.HeadPart, vocabulary-v)
			kernel.GemmIn[float32](bfloat16)(false, false, rows, dim, k, slopes[v:], vocabulary, w[v*dim:], dim, part, dim, false, nil)
			kernel.Add(want, want, part)
		}
		kept := false
		for range 2 {
			kept = table.Head().Logits(bfloat16, rows, make([]float32, rows*dim), make([]float32, rows*vocabulary))
		}
		got := make([]float32, rows*dim)
		if table.Head().Gradient(bfloat16, rows, slopes, got) != kept {
			t.Errorf("bfloat16 %v: only one of two products is made", bfloat16)
		} else if kept && !slices.Equal(got, want) {
			t.Errorf("bfloat16 %v: other bits", bfloat16)
		}
	}
}
