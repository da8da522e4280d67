package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestLayerNormGradientsMatchFiniteDifferences(t *testing.T) {
	rng := newRand()
	const rows, dim = 3, 5
	x, gamma, beta, dy := random[float64](rng, rows*dim), random[float64](rng, dim), random[float64](rng, dim), random[float64](rng, rows*dim)
	y, mean, rstd := make([]float64, rows*dim), make([]float64, rows), make([]float64, rows)
	f := func() float64 {
		LayerNorm(y, mean, rstd, x, gamma, beta, rows, dim, 1e-5)
		return Dot(y, dy)
	}
	f()
	dx, dgamma, dbeta := make([]float64, rows*dim), make([]float64, dim), make([]float64, dim)
	LayerNormBackward(dx, dgamma, dbeta, dy, x, mean, rstd, gamma, rows, dim)
	near(t, "dx", dx, slopes(x, f), 1e-6)
	near(t, "dgamma", dgamma, slopes(gamma, f), 1e-6)
	near(t, "dbeta", dbeta, slopes(beta, f), 1e-6)
}

func TestLayerNormOfFloat32MatchesFloat64(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		rng := newRand()
		for _, dim := range lengths[1:] {
			for _, rows := range []int{0, 1, 3} {
				n := rows * dim
				x, gamma, beta, dy := random[float32](rng, n), random[float32](rng, dim), random[float32](rng, dim), random[float32](rng, n)
				for i := range x {
					x[i] = 3*x[i] + 10
				}
				y, mean, rstd := make([]float32, n+1), make([]float32, rows), make([]float32, rows)
				y64, mean64, rstd64 := make([]float64, n), make([]float64, rows), make([]float64, rows)
				y[n] = 42
				LayerNorm(y[:n], mean, rstd, x, gamma, beta, rows, dim, 1e-5)
				LayerNorm(y64, mean64, rstd64, double(x), double(gamma), double(beta), rows, dim, 1e-5)
				what := fmt.Sprintf("%d×%d", rows, dim)
				if dim == 1 { // the variance is zero, up to rounding
					near(t, what, y[:n], y64, 1e-3)
					continue
				}
				near(t, what+" y", y, append(y64, 42), 2e-5)
				near(t, what+" mean", mean, mean64, 1e-6)
				near(t, what+" rstd", rstd, rstd64, 1e-5)

				dx, dgamma, dbeta := make([]float32, n+1), random[float32](rng, dim), random[float32](rng, dim)
				dx64, dgamma64, dbeta64 := make([]float64, n), double(dgamma), double(dbeta)
				dx[n] = 42
				LayerNormBackward(dx[:n], dgamma, dbeta, dy, x, mean, rstd, gamma, rows, dim)
				LayerNormBackward(dx64, dgamma64, dbeta64, double(dy), double(x), mean64, rstd64, double(gamma), rows, dim)
				near(t, what+" dx", dx, append(dx64, 42), 1e-4)
				near(t, what+" dgamma", dgamma, dgamma64, 1e-4)
				near(t, what+" dbeta", dbeta, dbeta64, 1e-5)
			}
		}
	})
}

func TestLayerNormGivesEachResultOnItsOwn(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const rows, dim = 40, 130
		rng := newRand()
		x, gamma, dy := random[float32](rng, rows*dim), random[float32](rng, dim), random[float32](rng, rows*dim)
		mean, rstd := make([]float32, rows), make([]float32, rows)
		want := make([]float32, rows*dim)
		LayerNorm(want, mean, rstd, x, gamma, gamma, rows, dim, 1e-6)
		dx, dgamma, dbeta := make([]float32, rows*dim), make([]float32, dim), make([]float32, dim)
		LayerNormBackward(dx, dgamma, dbeta, dy, x, mean, rstd, gamma, rows, dim)
		onThreads(func(int) {
			inPlace := clone(x)
			LayerNorm(inPlace, nil, nil, inPlace, gamma, gamma, rows, dim, 1e-6)
			same(t, "in place", inPlace, want)
			inPlace = clone(dy)
			LayerNormBackward(inPlace, nil, nil, inPlace, x, mean, rstd, gamma, rows, dim)
			same(t, "dx in place", inPlace, dx)
			alone := make([]float32, dim)
			LayerNormBackward(nil, alone, nil, dy, x, mean, rstd, gamma, rows, dim)
			same(t, "dgamma alone", alone, dgamma)
			clear(alone)
			LayerNormBackward(nil, nil, alone, dy, x, mean, rstd, gamma, rows, dim)
			same(t, "dbeta alone", alone, dbeta)
		})
		row := make([]float32, dim)
		LayerNorm(row, nil, nil, x[7*dim:], gamma, gamma, 1, dim, 1e-6)
		same(t, "row 7 alone", row, want[7*dim:8*dim])
	})
}

func TestLayerNormKeepsANaNInItsRow(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const rows, dim = 3, 20
		x, ones := random[float32](newRand(), rows*dim), make([]float32, dim)
		for i := range ones {
			ones[i] = 1
		}
		x[dim+19] = float32(math.NaN())
		LayerNorm(x, nil, nil, x, ones, ones, rows, dim, 1e-5)
		for i, v := range x {
			if (v != v) != (i/dim == 1) {
				t.Fatalf("element %d of row %d is %v", i%dim, i/dim, v)
			}
		}
	})
}
