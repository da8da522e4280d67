package layers_test

import (
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

func TestStreamsOfSeedsAndStepsAreAllDifferent(t *testing.T) {
	seen := map[uint64][2]uint64{}
	for seed := range uint64(100) {
		for n := range uint64(100) {
			first := layers.NewRandom(seed).Derive(n).Next()
			if other, ok := seen[first]; ok {
				t.Fatalf("seed %d step %d begins as seed %d step %d", seed, n, other[0], other[1])
			}
			seen[first] = [2]uint64{seed, n}
		}
	}
	if a, b := layers.NewRandom(7).Derive(3).Next(), layers.NewRandom(7).Derive(3).Next(); a != b {
		t.Errorf("the same stream begins with %d and with %d", a, b)
	}
}

func TestRandomNumbersHaveTheirMoments(t *testing.T) {
	const n = 100000
	random := layers.NewRandom(1)
	var uniform, normal, squares float64
	for range n {
		u, z := random.Float64(), random.Normal()
		if u < 0 || u >= 1 {
			t.Fatalf("%v is outside [0, 1)", u)
		}
		uniform, normal, squares = uniform+u/n, normal+z/n, squares+z*z/n
	}
	// Five standard errors.
	if math.Abs(uniform-0.5) > 5/math.Sqrt(12*n) || math.Abs(normal) > 5/math.Sqrt(n) || math.Abs(squares-1) > 5*math.Sqrt(2.0/n) {
		t.Errorf("means are %v, %v and of the squares %v; want 0.5, 0 and 1", uniform, normal, squares)
	}
}
