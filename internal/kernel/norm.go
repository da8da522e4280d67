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
	if dim == 0 {
		return
	}
	Parallel(rows, 1+functionGrain/dim, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			m, s := layerNormRow(y[r*dim:(r+1)*dim], x[r*dim:(r+1)*dim], gamma, beta, eps)
			if mean != nil {
				mean[r] = m
			}
			if rstd != nil {
				rstd[r] = s
			}
		}
	})
}

func layerNormRow[T Float](y, x, gamma, beta []T, eps float64) (mean, rstd T) {
	if s := vectorised[T](); s != nil {
		var stats [2]float32
		s.layerNorm(single(y), single(x), single(gamma), single(beta), len(x), float32(eps), &stats)
		return T(stats[0]), T(stats[1])
	}
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	mu := sum / float64(len(x))
	for _, v := range x {
		squares += (float64(v) - mu) * (float64(v) - mu)
	}
	mean, rstd = T(mu), T(1/math.Sqrt(squares/float64(len(x))+eps))
	for j, v := range x {
		y[j] = (v-mean)*rstd*gamma[j] + beta[j]
	}
	return mean, rstd
}

// LayerNormBackward computes the gradients of LayerNorm from dy [rows, dim], its input x and the mean and rstd [rows] that it
// stored. dx [rows, dim] is set; dgamma and dbeta [dim] are added to. Any of the three may be nil. dx may be dy.
func LayerNormBackward[T Float](dx, dgamma, dbeta, dy, x, mean, rstd, gamma []T, rows, dim int) {
	checkLen("LayerNormBackward: dy", len(dy), rows*dim)
	checkLen("LayerNormBackward: x", len(x), rows*dim)
	checkLen("LayerNormBackward: mean", len(mean), rows)
	checkLen("LayerNormBackward: rstd", len(rstd), rows)
	checkLen("LayerNormBackward: gamma", len(gamma), dim)
	if dgamma != nil {
		checkLen("LayerNormBackward: dgamma", len(dgamma), dim)
	}
	if dbeta != nil {
		checkLen("LayerNormBackward: dbeta", len(dbeta), dim)
	}
	if dim == 0 {
		return
	}
	// First the sums over rows, as dx may be dy.
	if dgamma != nil || dbeta != nil {
		Parallel(dim, columnGrain(rows), func(lo, hi int) {
			for r := range rows {
				at := r*dim + lo
				layerNormScales(part(dgamma, lo, hi), part(dbeta, lo, hi), dy[at:], x[at:], hi-lo, mean[r], rstd[r])
			}
		})
	}
	if dx == nil {
		return
	}
	checkLen("LayerNormBackward: dx", len(dx), rows*dim)
	Parallel(rows, 1+functionGrain/dim, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := span{r * dim, (r + 1) * dim}
			layerNormBackwardRow(dx[row.lo:row.hi], dy[row.lo:row.hi], x[row.lo:row.hi], gamma, mean[r], rstd[r])
		}
	})
}

// part is x[lo:hi], or nil.
func part[T Float](x []T, lo, hi int) []T {
	if x == nil {
		return nil
	}
	return x[lo:hi]
}

// layerNormScales adds n columns of one row to the gradients that are not nil.
func layerNormScales[T Float](dgamma, dbeta, dy, x []T, n int, mean, rstd T) {
	if s := vectorised[T](); s != nil {
		s.layerNormScales(single(dgamma), single(dbeta), single(dy), single(x), n, float32(mean), float32(rstd))
		return
	}
	for j := range n {
		if dgamma != nil {
			dgamma[j] += dy[j] * ((x[j] - mean) * rstd)
		}
		if dbeta != nil {
			dbeta[j] += dy[j]
		}
	}
}

func layerNormBackwardRow[T Float](dx, dy, x, gamma []T, mean, rstd T) {
	if s := vectorised[T](); s != nil {
		s.layerNormBackward(single(dx), single(dy), single(x), single(gamma), len(x), float32(mean), float32(rstd))
		return
	}
	var sum, product float64
	for j, v := range x {
		g := float64(dy[j] * gamma[j])
		sum += g
		product += g * float64((v-mean)*rstd)
	}
	a, b := T(sum/float64(len(x))), T(product/float64(len(x)))
	for j, v := range x {
		dx[j] = rstd * (dy[j]*gamma[j] - a - (v-mean)*rstd*b)
	}
}
