package layers

import (
	"testing"

	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func ones(rows, cols int, grad bool) *mat.Dense[float32] {
	x := mat.NewDense[float32](mat.WithShape(rows, cols), mat.WithGrad(grad))
	for i := range mat.Data[float32](x) {
		mat.Data[float32](x)[i] = 1
	}
	return x
}

func TestOnlyWhatNoGraphNeedsIsDropped(t *testing.T) {
	for _, grad := range []bool{false, true} {
		h := Residual(ones(40, 50, false), ones(40, 50, false)) // 2
		y := Residual(h, ones(40, 50, grad))                    // 3
		Drop(y, h)
		for range 50 { // whoever takes a buffer now writes to it
			copy(buffer[float32](40*50), mat.Data[float32](ones(40, 50, false)))
		}
		if mat.Data[float32](y.Value())[7] != 3 {
			t.Errorf("gradient %v: the result was given away", grad)
		}
		if grad && mat.Data[float32](h.Value())[7] != 2 {
			t.Error("an operand of a graph was given away")
		}
	}
}

func TestARecyclerTakesResultsWhenTheyHaveBeenUsed(t *testing.T) {
	var r Recycler
	for step := range 20 {
		x := ones(30, 20, true)
		err := r.Use(func() error {
			h := Residual(x, x)
			y := Share(Residual(Share(h), h)) // 4
			if got := mat.Data[float32](y.Value())[5]; got != 4 {
				t.Errorf("step %d: the result is %v, want 4", step, got)
			}
			y.AccGrad(ones(30, 20, false))
			return ag.Backward(y)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := mat.Data[float32](x.Grad())[5]; got != 4 {
			t.Errorf("step %d: the gradient is %v, want 4", step, got)
		}
		if mat.Data[float32](x)[5] != 1 {
			t.Errorf("step %d: what a user made was given away", step)
		}
	}
	if len(r.giveBack) != 0 {
		t.Errorf("%d results are still kept", len(r.giveBack))
	}
}
