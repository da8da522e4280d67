package kernel

import "math"

// LayerNorm normalises each of the rows of x [rows, dim] to mean 0 and variance 1 (biased, plus eps), then scales and
// shifts: y = (x-mean)·rstd·gamma + beta. gamma and beta are [dim]. mean and rstd, [rows], are stored for
// LayerNormBackward unless nil. y may be x.
func LayerNorm[T Float](y, mean, rstd, x, gamma, beta []T, rows, dim int, eps float64) {
	checkLen("LayerNorm: y", len(y), rows*dim)
	checkLen("LayerNorm: x", len(x), rows*dim)
	checkLen("LayerNorm: gamma", len(gamma), dim)
	checkLen("LayerNorm: beta", len(beta), dim)
	if mean != nil {
		checkLen("LayerNorm: mean", len(mean), rows)
	}
	if rstd != nil {
		checkLen("LayerNorm: rstd", len(rstd), rows)
	}
	gamma, beta = gamma[:dim], beta[:dim]
	Parallel(rows, 1+(1<<14)/max(1, dim), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row, out := x[r*dim:(r+1)*dim], y[r*dim:(r+1)*dim]
			var sum, squares float64
			for _, v := range row {
				sum += float64(v)
			}
			mu := sum / float64(dim)
			for _, v := range row {
				d := float64(v) - mu
				squares += d * d
			}
			m, s := T(mu), T(1/math.Sqrt(squares/float64(dim)+eps))
			for j, v := range row {
				out[j] = (v-m)*s*gamma[j] + beta[j]
			}
			if mean != nil {
				mean[r] = m
			}
			if rstd != nil {
				rstd[r] = s
			}
		}
	})
}

// LayerNormBackward computes the gradients of LayerNorm from dy [rows, dim], its input x and the mean and rstd [rows] that it
// stored. dx [rows, dim] is set; dgamma and dbeta [dim] are added to. Any of the three may be nil. dx may be dy.
func LayerNormBackward[T Float](dx, dgamma, dbeta, dy, x, mean, rstd, gamma []T, rows, dim int) {
	checkLen("LayerNormBackward: dy", len(dy), rows*dim)
	checkLen("LayerNormBackward: x", len(x), rows*dim)
	checkLen("LayerNormBackward: mean", len(mean), rows)
	checkLen("LayerNormBackward: rstd", len(rstd), rows)
	checkLen("LayerNormBackward: gamma", len(gamma), dim)
	if dbeta != nil {
		SumColumns(dbeta, dy, rows, dim)
	}
	if dgamma != nil {
		checkLen("LayerNormBackward: dgamma", len(dgamma), dim)
		for r := range rows {
			for j := range dim {
				dgamma[j] += dy[r*dim+j] * (x[r*dim+j] - mean[r]) * rstd[r]
			}
		}
	}
	if dx == nil {
		return
	}
	checkLen("LayerNormBackward: dx", len(dx), rows*dim)
	Parallel(rows, 1+(1<<14)/max(1, dim), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			m, s := mean[r], rstd[r]
			var sum, dot float64
			for j := range dim {
				g := float64(dy[r*dim+j] * gamma[j])
				sum += g
				dot += g * float64((x[r*dim+j]-m)*s)
			}
			a, b := T(sum/float64(dim)), T(dot/float64(dim))
			for j := range dim {
				dx[r*dim+j] = s * (dy[r*dim+j]*gamma[j] - a - (x[r*dim+j]-m)*s*b)
			}
		}
	})
}
