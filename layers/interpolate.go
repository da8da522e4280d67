package layers

import (
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
)

// InterpolatePositions resizes learnt position embeddings from a grid of
// fromRows × fromCols patches to toRows × toCols by bicubic interpolation, as
// torch.nn.functional.interpolate(mode="bicubic", align_corners=False) does
// (cubic convolution with a = -0.75, borders repeated). The first special
// rows of p [special + fromRows·fromCols, dim] stay as they are.
func InterpolatePositions(p mat.Tensor, special, fromRows, fromCols, toRows, toCols int) mat.Tensor {
	if n, _ := dims(p); n != special+fromRows*fromCols {
		panic(fmt.Sprintf("layers: positions %v are not %d + %d×%d", p.Shape(), special, fromRows, fromCols))
	}
	y, x := cubicTaps(fromRows, toRows), cubicTaps(fromCols, toCols)
	if isFloat64(p) {
		return Apply(&interpolateOp[float64]{p, special, fromCols, y, x})
	}
	return Apply(&interpolateOp[float32]{p, special, fromCols, y, x})
}

// taps are the four source indices of a target index, and their weights.
type taps struct {
	index  [4]int
	weight [4]float64
}

func cubicTaps(from, to int) []taps {
	out := make([]taps, to)
	scale := float64(from) / float64(to)
	for i := range out {
		at := scale*(float64(i)+0.5) - 0.5
		base := math.Floor(at)
		for j := range 4 {
			d := math.Abs(at - (base + float64(j-1)))
			out[i].index[j] = min(max(int(base)+j-1, 0), from-1)
			out[i].weight[j] = cubic(d)
		}
	}
	return out
}

// cubic is Keys' convolution kernel (1981) with a = -0.75 for |distance| < 2.
func cubic(d float64) float64 {
	const a = -0.75
	if d <= 1 {
		return ((a+2)*d-(a+3))*d*d + 1
	}
	return ((a*d-5*a)*d+8*a)*d - 4*a
}

type interpolateOp[T kernel.Float] struct {
	p        mat.Tensor
	special  int
	fromCols int
	y, x     []taps
}

func (f *interpolateOp[T]) Operands() []mat.Tensor { return []mat.Tensor{f.p} }

// each calls visit for every target row, the source row and its weight.
func (f *interpolateOp[T]) each(visit func(to, from int, weight float64)) {
	for s := range f.special {
		visit(s, s, 1)
	}
	for i, ty := range f.y {
		for j, tx := range f.x {
			to := f.special + i*len(f.x) + j
			for a := range 4 {
				for b := range 4 {
					visit(to, f.special+ty.index[a]*f.fromCols+tx.index[b], ty.weight[a]*tx.weight[b])
				}
			}
		}
	}
}

func (f *interpolateOp[T]) Forward() (mat.Tensor, error) {
	_, dim := dims(f.p)
	p, rows := values[T](f.p), f.special+len(f.y)*len(f.x)
	y := make([]T, rows*dim)
	f.each(func(to, from int, w float64) {
		kernel.Axpy(T(w), p[from*dim:(from+1)*dim], y[to*dim:(to+1)*dim])
	})
	return matrix(y, rows, dim), nil
}

func (f *interpolateOp[T]) Backward(gy mat.Tensor) error {
	_, dim := dims(f.p)
	g, dp := values[T](gy), gradient[T](f.p)
	f.each(func(to, from int, w float64) {
		kernel.Axpy(T(w), g[to*dim:(to+1)*dim], dp[from*dim:(from+1)*dim])
	})
	accumulate(f.p, dp)
	return nil
}
