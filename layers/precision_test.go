package layers_test

import (
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// rounded is the nearest bfloat16.
func rounded(x float64) float64 {
	bits := math.Float32bits(float32(x))
	return float64(math.Float32frombits((bits + 0x7fff + bits>>16&1) & 0xffff0000))
}

func TestInBFloat16OperandsAreRoundedAndSumsAreNot(t *testing.T) {
	const rows, in, out = 5, 40, 3
	random := layers.NewRandom(1)
	x := drawn(random, rows, in)
	l := layers.NewConv1D[float32](in, out)
	layers.InitNormal(l.Weight, 1, random)
	layers.SetPrecision(&struct {
		nn.Module
		Layer *layers.Conv1D `param:"layer"`
	}{Layer: l}, layers.BFloat16)
	if l.Precision != layers.BFloat16 {
		t.Fatalf("precision is %v", l.Precision)
	}
	y := l.Forward(x, layers.Identity)
	gy := drawn(random, rows, out)
	y.AccGrad(gy)
	if err := ag.Backward(y); err != nil {
		t.Fatal(err)
	}
	xs, w, g := mat.Data[float32](x), mat.Data[float32](l.Weight), mat.Data[float32](gy)
	near := func(what string, got float32, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-5 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	for r := range rows {
		for j := range out {
			sum := 0.0
			for i := range in {
				sum += rounded(float64(xs[r*in+i])) * rounded(float64(w[i*out+j]))
			}
			near("y", mat.Data[float32](y.Value())[r*out+j], sum)
		}
		for i := range in {
			sum := 0.0
			for j := range out {
				sum += rounded(float64(g[r*out+j])) * rounded(float64(w[i*out+j]))
			}
			near("dx", mat.Data[float32](x.Grad())[r*in+i], sum)
		}
	}
	for i := range in {
		for j := range out {
			sum := 0.0
			for r := range rows {
				sum += rounded(float64(g[r*out+j])) * rounded(float64(xs[r*in+i]))
			}
			near("dw", mat.Data[float32](l.Weight.Grad())[i*out+j], sum)
		}
	}
}

func drawn(random *layers.Random, rows, cols int) *mat.Dense[float32] {
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(random.Normal())
	}
	return mat.NewDense[float32](mat.WithShape(rows, cols), mat.WithBacking(data), mat.WithGrad(true))
}

func TestPrecisionsHaveTheNamesOfTheFlags(t *testing.T) {
	for _, p := range []layers.Precision{layers.Float32, layers.BFloat16, layers.Int8} {
		if got, err := layers.ParsePrecision(p.String()); got != p || err != nil {
			t.Errorf("%v: got %v, %v", p, got, err)
		}
	}
	if _, err := layers.ParsePrecision("fp8"); err == nil {
		t.Error("fp8 is no error")
	}
}
