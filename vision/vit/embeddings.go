package vit

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Embeddings turn a picture into one row for each patch, after the rows of
// the special tokens, and add the positions.
type Embeddings struct {
	nn.Module
	Config            Config
	ClassToken        *nn.Param      `param:"cls_token"`           // [1, D]
	DistillationToken *nn.Param      `param:"distillation_token"`  // [1, D], or nil
	Positions         *nn.Param      `param:"position_embeddings"` // [special tokens + patches, D]
	Projection        *PatchEmbedder `param:"patch_embeddings.projection"`
}

// PatchEmbedder is the convolution with stride equal to its kernel: a linear
// layer on the pixels of each patch.
type PatchEmbedder struct {
	nn.Module
	config Config
	Weight *nn.Param `param:"weight"`      // [D, channels·height·width of a patch]
	Bias   *nn.Param `param:"bias,vector"` // [D]
}

func newEmbeddings[T float.DType](c Config) *Embeddings {
	d := c.HiddenSize
	rows, cols := c.grid(c.ImageSize.Height, c.ImageSize.Width)
	e := &Embeddings{
		Config:     c,
		ClassToken: layers.Zeros[T](1, d),
		Projection: &PatchEmbedder{
			config: c,
			Weight: layers.Zeros[T](d, c.NumChannels*c.PatchSize.Height*c.PatchSize.Width),
			Bias:   layers.Zeros[T](d, 1),
		},
	}
	special := 1
	if c.ModelType == "deit" {
		e.DistillationToken = layers.Zeros[T](1, d)
		special = 2
	}
	e.Positions = layers.Zeros[T](special+rows*cols, d)
	return e
}

// ParamShape gives the shapes of Hugging Face's checkpoints.
func (e *Embeddings) ParamShape(name string) []int {
	d := e.Config.HiddenSize
	if name == "position_embeddings" {
		return []int{1, e.Positions.Size() / d, d}
	}
	return []int{1, 1, d}
}

// ParamShape gives the shape of a convolution's kernel.
func (p *PatchEmbedder) ParamShape(name string) []int {
	if name != "weight" {
		return nil
	}
	return []int{p.config.HiddenSize, p.config.NumChannels, p.config.PatchSize.Height, p.config.PatchSize.Width}
}

func (e *Embeddings) special() []*nn.Param {
	if e.DistillationToken == nil {
		return []*nn.Param{e.ClassToken}
	}
	return []*nn.Param{e.ClassToken, e.DistillationToken}
}

// forward returns the embedded patches of all pictures, [N, D].
func (e *Embeddings) forward(pictures []vision.Pixels) (mat.Tensor, layers.Offsets, error) {
	c := e.Config
	lengths := make([]int, len(pictures))
	for i, p := range pictures {
		rows, cols := c.grid(p.Height, p.Width)
		switch {
		case rows < 1 || cols < 1:
			return nil, nil, fmt.Errorf("vit: picture %d is %d×%d pixels (height×width), smaller than a patch of %d×%d",
				i, p.Height, p.Width, c.PatchSize.Height, c.PatchSize.Width)
		case len(p.Data) != c.NumChannels*p.Height*p.Width:
			return nil, nil, fmt.Errorf("vit: picture %d has %d values; %d channels of %d×%d pixels are %d",
				i, len(p.Data), c.NumChannels, p.Height, p.Width, c.NumChannels*p.Height*p.Width)
		}
		lengths[i] = rows * cols
	}
	patches := layers.OffsetsOf(lengths...)
	var x mat.Tensor
	if _, ok := e.Positions.Value().(*mat.Dense[float64]); ok {
		x = cut[float64](c, pictures, patches)
	} else {
		x = cut[float32](c, pictures, patches)
	}
	// Bias and projection of the patches, then everything in its row.
	linear := layers.Linear{Weight: e.Projection.Weight, Bias: e.Projection.Bias}
	x = linear.Forward(x, layers.Identity)
	tokens := make([]mat.Tensor, 0, 2)
	for _, p := range e.special() {
		tokens = append(tokens, p)
	}
	return layers.Prepend(x, patches, tokens, e.positions(pictures))
}

// positions lists the position embeddings of each picture; pictures of one
// size share theirs.
func (e *Embeddings) positions(pictures []vision.Pixels) []mat.Tensor {
	c := e.Config
	bySize := map[Size]mat.Tensor{}
	out := make([]mat.Tensor, len(pictures))
	for i, p := range pictures {
		size := Size{p.Height, p.Width}
		if bySize[size] == nil {
			bySize[size] = e.Positions
			if size != c.ImageSize {
				fromRows, fromCols := c.grid(c.ImageSize.Height, c.ImageSize.Width)
				toRows, toCols := c.grid(p.Height, p.Width)
				bySize[size] = layers.InterpolatePositions(e.Positions, len(e.special()), fromRows, fromCols, toRows, toCols)
			}
		}
		out[i] = bySize[size]
	}
	return out
}

// cut lays out the pixels of each patch as a row, in the order of the
// convolution's weights: channel, then row, then column.
func cut[T float.DType](c Config, pictures []vision.Pixels, patches layers.Offsets) mat.Tensor {
	ph, pw := c.PatchSize.Height, c.PatchSize.Width
	width := c.NumChannels * ph * pw
	x := mat.NewDense[T](mat.WithShape(patches.Rows(), width))
	data := mat.Data[T](x)
	for i, p := range pictures {
		rows, cols := c.grid(p.Height, p.Width)
		for r := range rows {
			for q := range cols {
				to := data[(patches[i]+r*cols+q)*width:]
				for ch := range c.NumChannels {
					for y := range ph {
						from := p.Data[(ch*p.Height+r*ph+y)*p.Width+q*pw:][:pw]
						for j, v := range from {
							to[(ch*ph+y)*pw+j] = T(v)
						}
					}
				}
			}
		}
	}
	return x
}
