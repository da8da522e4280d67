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
	ClassToken        *nn.Param              `param:"cls_token"`           // [1, D]
	DistillationToken *nn.Param              `param:"distillation_token"`  // [1, D], or nil
	Positions         *nn.Param              `param:"position_embeddings"` // [special tokens + patches, D]
	Projection        *layers.PatchEmbedding `param:"patch_embeddings.projection"`
}

func newEmbeddings[T float.DType](c Config) *Embeddings {
	d := c.HiddenSize
	rows, cols := c.grid(c.ImageSize.Height, c.ImageSize.Width)
	e := &Embeddings{
		Config:     c,
		ClassToken: layers.Zeros[T](1, d),
		Projection: layers.NewPatchEmbedding[T](c.NumChannels, c.PatchSize.Height, c.PatchSize.Width, d),
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

func (e *Embeddings) special() []*nn.Param {
	if e.DistillationToken == nil {
		return []*nn.Param{e.ClassToken}
	}
	return []*nn.Param{e.ClassToken, e.DistillationToken}
}

// check returns an error that names a picture that is no picture for the model.
func (e *Embeddings) check(pictures []vision.Pixels) error {
	c := e.Config
	for i, p := range pictures {
		rows, cols := c.grid(p.Height, p.Width)
		switch {
		case rows < 1 || cols < 1:
			return fmt.Errorf("vit: picture %d is %d×%d pixels (height×width), smaller than a patch of %d×%d",
				i, p.Height, p.Width, c.PatchSize.Height, c.PatchSize.Width)
		case len(p.Data) != c.NumChannels*p.Height*p.Width:
			return fmt.Errorf("vit: picture %d has %d values; %d channels of %d×%d pixels are %d",
				i, len(p.Data), c.NumChannels, p.Height, p.Width, c.NumChannels*p.Height*p.Width)
		}
	}
	return nil
}

// forward returns the embedded patches of all pictures, [N, D], which have
// been checked.
func (e *Embeddings) forward(pictures []vision.Pixels) (mat.Tensor, layers.Offsets, error) {
	pixels := make([]layers.Pixels, len(pictures))
	for i, p := range pictures {
		pixels[i] = layers.Pixels(p)
	}
	x, patches := e.Projection.Forward(pixels)
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
