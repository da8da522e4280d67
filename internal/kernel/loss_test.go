package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestCrossEntropyGradientMatchesFiniteDifferences(t *testing.T) {
	const rows, vocab = 3, 7
	x, loss, labels := random[float64](newRand(), rows*vocab), make([]float64, rows), []int{0, 6, 3}
	for _, smoothing := range []float64{0, 0.1, 1} {
		g := clone(x)
		CrossEntropy(g, rows, vocab, labels, smoothing, loss, true, 0.5)
		want := slopes(x, func() float64 {
			CrossEntropy(x, rows, vocab, labels, smoothing, loss, false, 0)
			return 0.5 * (loss[0] + loss[1] + loss[2])
		})
		near(t, fmt.Sprintf("smoothing %v", smoothing), g, want, 1e-6)
	}
}

func TestCrossEntropyOfFloat32MatchesFloat64(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		rng := newRand()
		for _, vocab := range append(lengths[1:], 50257) {
			for _, smoothing := range []float64{0, 0.1} {
				const rows = 3
				x, labels := random[float32](rng, rows*vocab), []int{0, vocab - 1, vocab / 2}
				for i := range x {
					x[i] *= 20
				}
				wide := double(x)
				before := clone(x)
				loss, loss64, again := make([]float64, rows), make([]float64, rows), make([]float64, rows)
				CrossEntropy(x, rows, vocab, labels, smoothing, again, false, 0)
				same(t, "logits without a gradient", x, before)
				CrossEntropy(x, rows, vocab, labels, smoothing, loss, true, 2)
				CrossEntropy(wide, rows, vocab, labels, smoothing, loss64, true, 2)
				what := fmt.Sprintf("%d classes, smoothing %v", vocab, smoothing)
				near(t, what+" loss", loss, loss64, 1e-6)
				same(t, what+" loss without a gradient", again, loss)
				near(t, what+" gradient", x, wide, 1e-6)
			}
		}
	})
}

func TestCrossEntropyOfExtremeLogits(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		inf := float32(math.Inf(1))
		x := []float32{
			3e38, -3e38, 0, // far apart: no overflow
			-inf, 1, 1, // a class that cannot be
			float32(math.NaN()), 0, 0,
		}
		loss := make([]float64, 3)
		CrossEntropy(x, 3, 3, []int{0, 1, 1}, 0, loss, true, 1)
		same(t, "loss", loss[:1], []float64{0})
		near(t, "loss", loss[1:2], []float64{math.Ln2}, 1e-6)
		same(t, "gradient", x[:4], []float32{0, 0, 0, 0})
		if loss[2] == loss[2] {
			t.Errorf("the loss of a NaN is %v", loss[2])
		}
	})
}
