package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func random[T Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// slope is the central difference of f along x[i].
func slope(x []float64, i int, f func() float64) float64 {
	const h = 1e-6
	old := x[i]
	x[i] = old + h
	up := f()
	x[i] = old - h
	down := f()
	x[i] = old
	return (up - down) / (2 * h)
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestAttentionGradientsMatchFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, causal := range []bool{false, true} {
		for _, dropout := range []float64{0, 0.3} {
			s := &Attention{Heads: 2, HeadDim: 3, Scale: 0.6, Causal: causal, DropoutP: dropout, Seed: 7,
				Query: []Span{{0, 2}, {2, 5}, {6, 7}}, Source: []Span{{1, 5}, {5, 9}}, SourceOf: []int{1, 0, 1}}
			q, k, v := random[float64](rng, 7*6), random[float64](rng, 9*6), random[float64](rng, 9*6)
			dout := random[float64](rng, 7*6)
			out, lse := make([]float64, 7*6), make([]float64, 7*2)
			f := func() float64 {
				AttentionForward(s, out, 6, q, 6, k, 6, v, 6, lse)
				return Dot(out, dout)
			}
			f()
			dq, dk, dv := make([]float64, 42), make([]float64, 54), make([]float64, 54)
			AttentionBackward(s, dq, 6, dk, 6, dv, 6, dout, 6, out, 6, q, 6, k, 6, v, 6, lse)
			for i := range q {
				near(t, "dq", dq[i], slope(q, i, f), 1e-6)
			}
			for i := range k {
				near(t, "dk", dk[i], slope(k, i, f), 1e-6)
				near(t, "dv", dv[i], slope(v, i, f), 1e-6)
			}
		}
	}
}

func TestLayerNormGradientsMatchFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
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
	for i := range x {
		near(t, "dx", dx[i], slope(x, i, f), 1e-6)
	}
	for i := range gamma {
		near(t, "dgamma", dgamma[i], slope(gamma, i, f), 1e-6)
		near(t, "dbeta", dbeta[i], slope(beta, i, f), 1e-6)
	}
}

func TestActivationSlopesMatchFiniteDifferences(t *testing.T) {
	for act := Identity; act <= Tanh; act++ {
		x, y, g := []float64{-20, -3, -1.5, -0.2, 0.3, 1, 4, 20}, make([]float64, 8), make([]float64, 8)
		ActivateGrad(act, g, x, []float64{1, 1, 1, 1, 1, 1, 1, 1})
		for i := range x {
			near(t, act.String(), g[i], slope(x, i, func() float64 { Activate(act, y, x); return y[i] }), 1e-6)
		}
	}
}

func TestCrossEntropyGradientMatchesFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, vocab = 3, 7
	x, loss, labels := random[float64](rng, rows*vocab), make([]float64, rows), []int{0, 6, 3}
	g := append([]float64(nil), x...)
	CrossEntropy(g, rows, vocab, labels, 0.1, loss, true, 0.5)
	for i := range x {
		want := slope(x, i, func() float64 {
			CrossEntropy(x, rows, vocab, labels, 0.1, loss, false, 0)
			return 0.5 * (loss[0] + loss[1] + loss[2])
		})
		near(t, "logit", g[i], want, 1e-6)
	}
}

func TestGemmMatchesTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {13, 33, 17}, {4, 4, 0}} {
		m, n, k := s[0], s[1], s[2]
		for mode := range 8 {
			transA, transB, accumulate := mode&1 != 0, mode&2 != 0, mode&4 != 0
			lda, ldb, ldc := max(m, k)+1, max(n, k)+2, n+3
			a, b, c := random[float64](rng, (max(m, k)+1)*lda), random[float64](rng, (max(n, k)+1)*ldb), random[float64](rng, m*ldc)
			bias, pre := random[float64](rng, n), make([]float64, m*n)
			want := append([]float64(nil), c...)
			for i := range m {
				for j := range n {
					sum := bias[j]
					if accumulate {
						sum += c[i*ldc+j]
					}
					for p := range k {
						x, y := a[i*lda+p], b[p*ldb+j]
						if transA {
							x = a[p*lda+i]
						}
						if transB {
							y = b[j*ldb+p]
						}
						sum += x * y
					}
					want[i*ldc+j] = activate(GELU, sum)
				}
			}
			Gemm(transA, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate, &Epilogue[float64]{Bias: bias, Activation: GELU, Pre: pre})
			for i := range c {
				near(t, "C", c[i], want[i], 1e-12)
			}
		}
	}
}
