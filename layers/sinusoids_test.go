package layers_test

import (
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

func TestSinusoidsOfTwoStepsAreAlikeWhereTheRowsMeet(t *testing.T) {
	one, two := layers.Zeros[float64](10, 8), layers.Zeros[float32](20, 8)
	layers.InitSinusoids(one, 0.5, 1)
	layers.InitSinusoids(two, 0.5, 2)
	a, b := mat.Data[float64](one.Value()), mat.Data[float32](two.Value())
	for row := range 10 {
		for column := range 8 {
			if x, y := a[row*8+column], float64(b[2*row*8+column]); math.Abs(x-y) > 1e-6 {
				t.Errorf("row %d, column %d: %v and %v", row, column, x, y)
			}
		}
	}
	// Row 1 of wave length 4 is a quarter of it; of wave length 400, hardly anything.
	want := []float64{0.5, 0, 0.5 * math.Sin(math.Pi/200), 0.5 * math.Cos(math.Pi/200)}
	for i, column := range []int{0, 1, 6, 7} {
		if got := a[8+column]; math.Abs(got-want[i]) > 1e-12 {
			t.Errorf("column %d of row 1 is %v, want %v", column, got, want[i])
		}
	}
}
