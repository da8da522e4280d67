package layers

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// PatchEmbedding cuts a picture into patches and projects the pixels of each
// to a row: a convolution whose stride is its kernel, as one matrix product.
type PatchEmbedding struct {
	nn.Module
	Weight *nn.Param `param:"weight"`      // [dim, channels·height·width of a patch]
	Bias   *nn.Param `param:"bias,vector"` // [dim]
	// Channels of a picture, and size of a patch in pixels.
	Channels, Height, Width int
	Precision               Precision
}

// NewPatchEmbedding returns an embedding of zeros.
func NewPatchEmbedding[T float.DType](channels, height, width, dim int) *PatchEmbedding {
	return &PatchEmbedding{
		Weight: Zeros[T](dim, channels*height*width), Bias: Zeros[T](dim, 1),
		Channels: channels, Height: height, Width: width,
	}
}

// ParamShape gives the weight the shape of a convolution's kernel.
func (p *PatchEmbedding) ParamShape(name string) []int {
	if name != "weight" {
		return nil
	}
	return []int{p.Weight.Shape()[0], p.Channels, p.Height, p.Width}
}

// Grid is the number of patches down and across a picture; what is left over
// at the bottom and on the right is not looked at.
func (p *PatchEmbedding) Grid(height, width int) (rows, cols int) {
	return height / p.Height, width / p.Width
}

// Pixels are those of one picture: Data[channel][y][x] in one slice.
type Pixels struct {
	Height, Width int
	Data          []float32
}

// Forward embeds the patches of all pictures, each from left to right and top
// to bottom: [patches, dim], with the offsets of the pictures. The pixels are
// data and get no gradient.
func (p *PatchEmbedding) Forward(pictures []Pixels) (mat.Tensor, Offsets) {
	lengths := make([]int, len(pictures))
	for i, x := range pictures {
		if len(x.Data) != p.Channels*x.Height*x.Width {
			panic(fmt.Sprintf("layers: picture %d has %d values, want %d channels of %d×%d", i, len(x.Data), p.Channels, x.Height, x.Width))
		}
		rows, cols := p.Grid(x.Height, x.Width)
		lengths[i] = rows * cols
	}
	offsets := OffsetsOf(lengths...)
	o := affineOptions{w: p.Weight, b: p.Bias, transposed: true, precision: p.Precision}
	var x mat.Tensor
	if isFloat64(p.Weight) {
		x = cut[float64](p, pictures, offsets)
	} else {
		x = cut[float32](p, pictures, offsets)
	}
	y := affine(x, o)
	Drop(y, x)
	return y, offsets
}

// cut lays out the pixels of each patch as a row, in the order of the weight:
// channel, then row, then column.
func cut[T kernel.Float](p *PatchEmbedding, pictures []Pixels, offsets Offsets) mat.Tensor {
	size := p.Channels * p.Height * p.Width
	data := buffer[T](offsets.Rows() * size)
	for i, x := range pictures {
		rows, cols := p.Grid(x.Height, x.Width)
		kernel.Parallel(rows, 4, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				for c := range cols {
					to := data[(offsets[i]+r*cols+c)*size:][:size]
					for ch := range p.Channels {
						for y := range p.Height {
							from := x.Data[(ch*x.Height+r*p.Height+y)*x.Width+c*p.Width:][:p.Width]
							for j, v := range from {
								to[(ch*p.Height+y)*p.Width+j] = T(v)
							}
						}
					}
				}
			}
		})
	}
	return matrix(data, offsets.Rows(), size)
}
