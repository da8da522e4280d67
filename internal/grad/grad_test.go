package grad

import (
	"testing"

	"github.com/nlpodyssey/spago/mat"
)

func row[T float32 | float64](x ...T) *mat.Dense[T] {
	return mat.NewDense[T](mat.WithShape(1, len(x)), mat.WithBacking(x))
}

func testGive[T float32 | float64](t *testing.T) {
	x, first := row[T](0, 0), row[T](1, 2)
	Give(x, first)
	if x.Grad() != mat.Tensor(first) {
		t.Error("the first gradient was copied")
	}
	second := row[T](10, 20)
	Give(x, second)
	Give(x, row[T](100, 200))
	if g := mat.Data[T](x.Grad()); g[0] != 111 || g[1] != 222 {
		t.Errorf("gradient %v, want [111 222]", g)
	}
	if s := mat.Data[T](second); s[0] != 10 || s[1] != 20 {
		t.Errorf("a gradient that was added has become %v", s)
	}
}

func TestTheFirstGradientIsTakenAsItIsAndOthersAreAdded(t *testing.T) {
	t.Run("float32", testGive[float32])
	t.Run("float64", testGive[float64])
}
