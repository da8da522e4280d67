package layers_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

type twoWeights struct {
	nn.Module
	Layer *layers.Conv1D    `param:"layer"`
	Table *layers.Embedding `param:"table"`
}

func newTwoWeights(random *layers.Random) *twoWeights {
	m := &twoWeights{Layer: layers.NewConv1D[float32](30, 70), Table: layers.NewEmbedding[float32](50, 30)}
	for _, p := range layers.Parameters(m) {
		layers.InitNormal(p.Value, 1, random)
	}
	layers.Freeze(m)
	return m
}

func TestHeldWeightsGiveWhatTheyGaveBefore(t *testing.T) {
	for _, c := range []struct {
		precision layers.Precision
		tolerance float64 // relative to the largest
	}{{layers.Float32, 1e-6}, {layers.BFloat16, 1.0 / 128}, {layers.Int8, 1.0 / 64}} {
		m := newTwoWeights(layers.NewRandom(1))
		x := drawn(layers.NewRandom(2), 3, 30)
		x.SetRequiresGrad(false)
		results := func() [][]float32 {
			var all [][]float32
			for _, y := range []mat.Tensor{m.Layer.Few().Forward(x, layers.Identity), layers.MatMulT(x, m.Table.Weight), m.Table.Forward([]int{49, 0, 7, 7}), m.Layer.Weight, m.Table.Weight} {
				all = append(all, append([]float32(nil), mat.Data[float32](y.Value())...))
			}
			return all
		}
		want := results()
		m.Layer.Hold(c.precision)
		layers.Hold(m.Table.Weight, true, c.precision)
		m.Layer.Hold(c.precision) // again: nothing to do
		for i, got := range results() {
			largest := 0.0
			for _, v := range want[i] {
				largest = max(largest, math.Abs(float64(v)))
			}
			for j, v := range got {
				if math.Abs(float64(v-want[i][j])) > c.tolerance*largest {
					t.Fatalf("%v: result %d [%d] is %v, was %v", c.precision, i, j, v, want[i][j])
				}
			}
		}
	}
}

func TestAnInt8CopyLeavesTheWeightAsItIs(t *testing.T) {
	for _, held := range []bool{false, true} {
		m, want := newTwoWeights(layers.NewRandom(1)), newTwoWeights(layers.NewRandom(1))
		x := drawn(layers.NewRandom(2), 3, 30)
		x.SetRequiresGrad(false)
		if held {
			m.Layer.Hold(layers.Float32)
			layers.Hold(m.Table.Weight, true, layers.Float32)
			copy(mat.Data[float32](want.Layer.Weight.Value()), mat.Data[float32](m.Layer.Weight.Value()))
			copy(mat.Data[float32](want.Table.Weight.Value()), mat.Data[float32](m.Table.Weight.Value()))
		}
		before := slices.Clone(mat.Data[float32](m.Layer.Few().Forward(x, layers.Identity).Value()))
		copied := twoWeights{Layer: &layers.Conv1D{Weight: layers.HoldInt8(m.Layer.Weight, false), Bias: m.Layer.Bias}}
		table := layers.HoldInt8(m.Table.Weight, true)
		want.Layer.Hold(layers.Int8)
		layers.Hold(want.Table.Weight, true, layers.Int8)
		for i, pair := range [][2]mat.Tensor{
			{copied.Layer.Few().Forward(x, layers.Identity), want.Layer.Few().Forward(x, layers.Identity)},
			{layers.MatMulT(x, table), layers.MatMulT(x, want.Table.Weight)},
		} {
			if !slices.Equal(mat.Data[float32](pair[0].Value()), mat.Data[float32](pair[1].Value())) {
				t.Errorf("held %v: product %d with the copy is not that with the weight in int8", held, i)
			}
		}
		if after := mat.Data[float32](m.Layer.Few().Forward(x, layers.Identity).Value()); !slices.Equal(after, before) {
			t.Errorf("held %v: the weight itself has changed", held)
		}
		if layers.HoldInt8(m.Table.Weight, false) == m.Table.Weight != held {
			t.Errorf("held %v: a weight that is held for other products is copied, or another is not", held)
		}
	}
}

func TestHeldWeightsCannotBeTrained(t *testing.T) {
	m := newTwoWeights(layers.NewRandom(1))
	m.Layer.Hold(layers.Float32)
	if err := layers.Trainable(m, "layer"); err == nil || !strings.Contains(err.Error(), "layer.weight is held") {
		t.Errorf("error %v", err)
	}
	if err := layers.Trainable(m, "table"); err != nil {
		t.Error(err)
	}
}
