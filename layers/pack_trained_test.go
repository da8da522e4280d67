package layers

import (
	"slices"
	"testing"

	"github.com/nlpodyssey/spago/mat"
)

func TestWhatIsTrainedIsNotKeptFromWhenItWasFrozenForAWhile(t *testing.T) {
	const rows, dim = 64, 256
	for _, precision := range []Precision{Float32, BFloat16} {
		l := NewConv1D[float32](dim, dim)
		l.Precision = precision
		x := matrix(slices.Repeat([]float32{1, -2, 3, 0.5}, rows*dim/4), rows, dim)
		says := func() (y []float32) {
			if err := WithoutGradients(l, func() error {
				y = slices.Clone(values[float32](l.Forward(x, Identity)))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return y
		}
		Pack(l)
		for range 3 {
			says()
		}
		w := mat.Data[float32](l.Weight.Value().(*mat.Dense[float32]))
		for i := range w {
			w[i] = float32(i%7) - 3
		}
		got := says()
		l.panels = nil
		if want := says(); !slices.Equal(got, want) {
			t.Errorf("%v: what a trained layer says is of old weights: %v, want %v", precision, got[:4], want[:4])
		}
	}
}
