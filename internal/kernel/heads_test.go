package kernel

import (
	"fmt"
	"math"
	"testing"
)

// normalizedCase is a matrix of heads that lie in wider rows.
type normalizedCase[T Float] struct {
	rows, heads, headDim, ld int
	x, gain, dy              []T
}

func (c normalizedCase[T]) run() (y, rms, dx, dgain []T) {
	y, rms = make([]T, c.rows*c.ld), make([]T, c.rows*c.heads)
	dx, dgain = make([]T, c.rows*c.ld), make([]T, c.heads)
	NormalizeHeads(y, c.ld, rms, c.x, c.ld, c.gain, c.rows, c.headDim, 1e-6)
	NormalizeHeadsBackward(dx, c.ld, dgain, c.dy, c.ld, rms, c.x, c.ld, c.gain, c.rows, c.headDim)
	return y, rms, dx, dgain
}

func newNormalizedCase(rows, heads, headDim, pad int) normalizedCase[float32] {
	rng, ld := newRand(), heads*headDim+pad
	return normalizedCase[float32]{rows, heads, headDim, ld, random[float32](rng, rows*ld), random[float32](rng, heads), random[float32](rng, rows*ld)}
}

func inDouble(c normalizedCase[float32]) normalizedCase[float64] {
	return normalizedCase[float64]{c.rows, c.heads, c.headDim, c.ld, double(c.x), double(c.gain), double(c.dy)}
}

func TestNormalizedHeadsHaveTheirGainAsRootMeanSquare(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, c := range []normalizedCase[float32]{newNormalizedCase(5, 3, 8, 0), newNormalizedCase(2, 1, 33, 7), newNormalizedCase(300, 6, 64, 384)} {
			y, _, _, _ := c.run()
			for r := range c.rows {
				for h, gain := range c.gain {
					head := y[r*c.ld+h*c.headDim:][:c.headDim]
					got := math.Sqrt(SumSquares(head) / float64(c.headDim))
					if want := math.Abs(float64(gain)); math.Abs(got-want) > 1e-4*(1+want) {
						t.Fatalf("%d×%d×%d: row %d, head %d has root mean square %v, want %v", c.rows, c.heads, c.headDim, r, h, got, want)
					}
				}
				for j, v := range y[r*c.ld+c.heads*c.headDim : (r+1)*c.ld] {
					if v != 0 {
						t.Fatalf("row %d: column %d beyond the heads was written to", r, j)
					}
				}
			}
		}
	})
}

func TestNormalizedHeadsOfFloat32MatchFloat64(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, headDim := range lengths[2:] {
			for _, rows := range []int{0, 1, 3} {
				c := newNormalizedCase(rows, 3, headDim, 2)
				y, rms, dx, dgain := c.run()
				y64, rms64, dx64, dgain64 := inDouble(c).run()
				what := fmt.Sprintf("%d rows, width %d", rows, headDim)
				near(t, what+" y", y, y64, 1e-5)
				near(t, what+" rms", rms, rms64, 1e-5)
				near(t, what+" dx", dx, dx64, 1e-4)
				near(t, what+" dgain", dgain, dgain64, 1e-5)
			}
		}
	})
}

func TestGradientsOfNormalizedHeadsMatchFiniteDifferences(t *testing.T) {
	c := inDouble(newNormalizedCase(3, 2, 5, 4))
	f := func() float64 {
		y, _, _, _ := c.run()
		return Dot(y, c.dy)
	}
	_, _, dx, dgain := c.run()
	near(t, "dx", dx, slopes(c.x, f), 1e-6)
	near(t, "dgain", dgain, slopes(c.gain, f), 1e-6)
}

func TestNormalizedHeadsDoNotDependOnThreads(t *testing.T) {
	c := newNormalizedCase(500, 6, 32, 192)
	wantY, _, wantX, wantGain := c.run()
	onThreads(func(int) {
		y, _, dx, dgain := c.run()
		same(t, "y", y, wantY)
		same(t, "dx", dx, wantX)
		same(t, "dgain", dgain, wantGain)
	})
}

func TestNormalizedHeadsPanicWithTheSizesOfWhatDoesNotFit(t *testing.T) {
	if message := panics(func() {
		NormalizeHeads(make([]float32, 11), 6, nil, make([]float32, 12), 6, make([]float32, 2), 2, 3, 1e-6)
	}); message == "" {
		t.Error("a result that is too short was taken")
	}
	if message := panics(func() { ScaleColumns(make([]float32, 6), make([]float32, 5), make([]float32, 3), 2) }); message == "" {
		t.Error("a matrix that is too small was taken")
	}
}

func TestScaledColumnsAndTheirGradientMatchTheDefinition(t *testing.T) {
	for _, rows := range []int{0, 1, 5, 400} {
		for _, cols := range []int{0, 1, 17, 300} {
			rng := newRand()
			x, g, factors := random[float32](rng, rows*cols), random[float32](rng, rows*cols), random[float32](rng, cols)
			wantY, wantGrad := make([]float64, rows*cols), double(factors)
			for i := range x {
				wantY[i] = float64(x[i]) * float64(factors[i%cols])
				wantGrad[i%cols] += float64(x[i]) * float64(g[i])
			}
			onThreads(func(int) {
				y, grad := make([]float32, rows*cols), clone(factors)
				ScaleColumns(y, x, factors, rows)
				SumColumnProducts(grad, x, g, rows, cols)
				near(t, fmt.Sprintf("%d×%d", rows, cols), y, wantY, 1e-6)
				near(t, fmt.Sprintf("gradient %d×%d", rows, cols), grad, wantGrad, 1e-5)
			})
		}
	}
}
