package layers

import (
	"math"

	"github.com/nlpodyssey/spago/nn"
)

// InitSinusoids sets a table of positions [n, dim] to waves, so that positions
// are alike where they are near: columns 2k and 2k+1 of row i are scale times
// the sine and the cosine of 2π·i/λ, for λ from 4·step rows at the first k to
// 400·step rows at the last. Tables of different steps are alike where i/step
// is: an encoder's rows and a decoder's tokens, step rows to a token.
func InitSinusoids(p *nn.Param, scale, step float64) {
	_, dim := dims(p)
	wave := func(i int) float64 {
		row, column := i/dim, i%dim
		length := 4 * step * math.Pow(100, float64(column/2)/float64(max(1, dim/2-1)))
		return scale * math.Sin(2*math.Pi*float64(row)/length+float64(column%2)*math.Pi/2)
	}
	if isFloat64(p) {
		fill(values[float64](p), wave)
		return
	}
	fill(values[float32](p), wave)
}
