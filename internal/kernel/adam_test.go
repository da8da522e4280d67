package kernel

import (
	"encoding/binary"
	"math"
	"os"
	"testing"
)

// readAdam returns the seven vectors that testdata/adam.py wrote for each optimizer.
func readAdam(t *testing.T) [2][7][]float32 {
	t.Helper()
	const n = 37
	b, err := os.ReadFile("testdata/adam.bin")
	if err != nil {
		t.Fatal(err)
	}
	var all [2][7][]float32
	for i := range all {
		for j := range all[i] {
			for range n {
				all[i][j] = append(all[i][j], math.Float32frombits(binary.LittleEndian.Uint32(b)))
				b = b[4:]
			}
		}
	}
	return all
}

func TestAdamWHasTheBitsOfPyTorch(t *testing.T) {
	params := [2]AdamParams{
		{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01, Decoupled: true},
		{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.1},
	}
	testOnEveryCPU(t, func(t *testing.T) {
		for i, golden := range readAdam(t) {
			w, p := golden[0], params[i]
			m, v := make([]float32, len(w)), make([]float32, len(w))
			for step := 1; step <= 3; step++ {
				p.Step = step
				g := clone(golden[step])
				AdamW(w, g, m, v, p)
				same(t, "gradient", g, golden[step])
			}
			same(t, "w", w, golden[4])
			same(t, "m", m, golden[5])
			same(t, "v", v, golden[6])
		}
	})
}

func TestAdamWScalesTheGradientAsScaleDoes(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, n := range lengths {
			rng := newRand()
			g := random[float32](rng, n)
			scaled := clone(g)
			Scale(0.3, scaled)
			run := func(g []float32, scale float64) (w, m, v []float32) {
				w, m, v = make([]float32, n), make([]float32, n), make([]float32, n)
				AdamW(w, g, m, v, AdamParams{LearningRate: 0.01, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Step: 1, GradScale: scale})
				return w, m, v
			}
			w, m, v := run(scaled, 0)
			gotW, gotM, gotV := run(g, 0.3)
			same(t, "w", gotW, w)
			same(t, "m", gotM, m)
			same(t, "v", gotV, v)
		}
	})
}

func TestAdamWOfFloat32MatchesFloat64(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		rng := newRand()
		for _, n := range append(lengths, 70000) {
			for _, beta1 := range []float64{0, 0.5, 0.9} { // both forms of lerp
				w, m, v := random[float32](rng, n+1), make([]float32, n+1), make([]float32, n+1)
				w[n] = 42
				w64, m64, v64 := double(w), double(m), double(v)
				for step := 1; step <= 2; step++ {
					g := random[float32](rng, n)
					p := AdamParams{LearningRate: 0.01, Beta1: beta1, Beta2: 0.99, Epsilon: 1e-8, WeightDecay: 0.1, Decoupled: step == 1, Step: step}
					AdamW(w[:n], g, m, v, p)
					AdamW(w64[:n], double(g), m64, v64, p)
				}
				near(t, "w", w, w64, 1e-6)
				near(t, "m", m, m64, 1e-6)
				near(t, "v", v, v64, 1e-6)
			}
		}
	})
}

func TestAdamWithoutAPenaltyDoesNotReadInfiniteWeightsIntoTheGradient(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		w, m, v := []float32{float32(math.Inf(1))}, []float32{0}, []float32{0}
		AdamW(w, []float32{1}, m, v, AdamParams{LearningRate: 0.1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Step: 1})
		near(t, "m", m, []float64{0.1}, 1e-6)
		if !math.IsInf(float64(w[0]), 1) {
			t.Errorf("w is %v", w[0])
		}
	})
}
