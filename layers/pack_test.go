package layers_test

import (
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

// forwardAndBack runs both layers forward and back, and returns the result and the
// gradient of x.
func forwardAndBack(t *testing.T, first *layers.Linear, second *layers.Conv1D, x []float32, rows int) (y, dx []float32) {
	t.Helper()
	gelu, err := layers.ParseActivation("gelu")
	if err != nil {
		t.Fatal(err)
	}
	in := mat.NewDense[float32](mat.WithShape(rows, len(x)/rows), mat.WithBacking(slices.Clone(x)), mat.WithGrad(true))
	out := second.Forward(first.Forward(in, gelu), layers.Identity)
	y = slices.Clone(mat.Data[float32](out.Value()))
	out.AccGrad(mat.NewDense[float32](mat.WithShape(out.Shape()...), mat.WithBacking(slices.Clone(y))))
	if err := ag.Backward(out); err != nil {
		t.Fatal(err)
	}
	return y, slices.Clone(mat.Data[float32](in.Grad().(mat.Matrix)))
}

func TestPackedLayersComputeTheSameBits(t *testing.T) {
	const rows, in, hidden = 70, 48, 130
	for _, precision := range []layers.Precision{layers.Float32, layers.BFloat16} {
		random := layers.NewRandom(1)
		first, second := layers.NewLinear[float32](in, hidden, true), layers.NewConv1D[float32](hidden, in)
		x := make([]float32, rows*in)
		for i := range x {
			x[i] = float32(i%11)/5 - 1
		}
		for _, w := range []any{first, second} {
			for _, p := range layers.Parameters(w) {
				layers.InitNormal(p.Value, 0.2, random)
				p.Value.SetRequiresGrad(false)
			}
			layers.SetPrecision(w, precision)
		}
		want, wantGradient := forwardAndBack(t, first, second, x, rows)
		layers.Pack(first)
		layers.Pack(second)
		check := func(what string) {
			t.Helper()
			if y, dx := forwardAndBack(t, first, second, x, rows); !slices.Equal(y, want) || !slices.Equal(dx, wantGradient) {
				t.Errorf("%v: %s: other bits", precision, what)
			}
		}
		for range 3 {
			check("packed")
		}

		// A weight that is trained, and frozen again, is used as it is now.
		first.Weight.SetRequiresGrad(true)
		w := mat.Data[float32](first.Weight.Value())
		before := w[3]
		w[3] += 0.5
		trained, _ := forwardAndBack(t, first, second, x, rows)
		if slices.Equal(trained, want) {
			t.Fatal("the change of a weight changes nothing")
		}
		first.Weight.SetRequiresGrad(false)
		for range 3 {
			if y, _ := forwardAndBack(t, first, second, x, rows); !slices.Equal(y, trained) {
				t.Errorf("%v: a weight that was trained is not used as it is", precision)
			}
		}
		w[3] = before

		// So is one that changed while it was frozen.
		layers.Changed(first)
		for range 3 {
			check("changed")
		}

		// So is another in its place.
		first.Weight.ReplaceValue(mat.NewDense[float32](mat.WithShape(hidden, in), mat.WithBacking(slices.Clone(w))))
		for range 3 {
			check("replaced")
		}
	}
}

// What is kept of a weight from before it was trained is not used once it is frozen again, even if its layer took another way meanwhile.
func TestNothingIsKeptOfAWeightFromBeforeItWasTrained(t *testing.T) {
	const dim, looked, rows = 64, 40, 40
	source, query := layers.OffsetsOf(looked, looked), layers.OffsetsOf(1, 2)
	ones := func(rows int, grad bool) *mat.Dense[float32] {
		return mat.NewDense[float32](mat.WithShape(rows, dim), mat.WithBacking(slices.Repeat([]float32{1}, rows*dim)), mat.WithGrad(grad))
	}
	for _, way := range []string{"cross-attention", "no gradient for what is below"} {
		for _, precision := range []layers.Precision{layers.Float32, layers.BFloat16} {
			l := layers.NewConv1D[float32](dim, 2*dim)
			layers.SetPrecision(l, precision)
			layers.Pack(l)
			frozen := func() (y, dx []float32) {
				l.Weight.SetRequiresGrad(false)
				l.Bias.SetRequiresGrad(false)
				in := ones(rows, true)
				out := l.Forward(in, layers.Identity)
				out.AccGrad(mat.NewDense[float32](mat.WithShape(out.Shape()...), mat.WithBacking(slices.Repeat([]float32{1}, out.Size()))))
				if err := ag.Backward(out); err != nil {
					t.Fatal(err)
				}
				return slices.Clone(mat.Data[float32](out.Value())), slices.Clone(mat.Data[float32](in.Grad().(mat.Matrix)))
			}
			for range 3 {
				frozen()
			}
			l.Weight.SetRequiresGrad(true)
			var out mat.Tensor
			if way == "cross-attention" {
				out = layers.CrossAttention(layers.Columns{X: ones(query.Rows(), false)}, ones(source.Rows(), false), l, layers.AttentionOptions{
					NumHeads: 2, Dim: dim, Query: query.Spans(), Source: source.Spans(),
				})
			} else {
				out = l.Forward(ones(rows, false), layers.Identity)
			}
			out.AccGrad(ones(out.Size()/dim, false).Reshape(out.Shape()...).(mat.Tensor))
			if err := ag.Backward(out); err != nil {
				t.Fatal(err)
			}
			w := mat.Data[float32](l.Weight.Value())
			for i := range w {
				w[i] = 0.5
			}
			if y, dx := frozen(); y[0] != dim/2 || dx[0] != dim {
				t.Errorf("%s, %v: the frozen layer gives %v and the gradient %v, want %v and %v", way, precision, y[0], dx[0], dim/2, dim)
			}
		}
	}
}
