package layers_test

import (
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

func TestInBFloat16ProductsAreThoseOfGemmBFloat16(t *testing.T) {
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
	check := func(what string, transA, transB bool, m, n, k int, a, b, got []float32) {
		t.Helper()
		lda, ldb := k, n
		if transA {
			lda = m
		}
		if transB {
			ldb = k
		}
		want := make([]float32, m*n)
		kernel.GemmBFloat16(transA, transB, m, n, k, a, lda, b, ldb, want, n, false, nil)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5 {
				t.Errorf("%s[%d] is %v, want %v", what, i, got[i], want[i])
			}
		}
	}
	check("y", false, false, rows, out, in, xs, w, mat.Data[float32](y.Value()))
	check("dx", false, true, rows, in, out, g, w, mat.Data[float32](x.Grad()))
	check("dw", true, false, in, out, rows, xs, g, mat.Data[float32](l.Weight.Grad()))
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
