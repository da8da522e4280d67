package train_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// points are a batch: points of a plane, and on which side of a line each is.
type points struct {
	x     mat.Matrix // [points, 2]
	sides []int
}

// sides is a model: the scores of both sides are a linear function of a point.
type sides struct {
	nn.Module
	Head *nn.Param `param:"head"` // [2, 2]
}

func (s *sides) Labels(b points) int { return len(b.sides) }

func (s *sides) Loss(b points, o losses.Options, _ *layers.Random) (losses.Result, error) {
	return losses.LinearCrossEntropy(b.x, s.Head, b.sides, o)
}

// plane is a data set of some batches.
type plane []points

func (p plane) NumBatches() int { return len(p) }

func (p plane) Epoch(_ context.Context, _, first int) iter.Seq2[points, error] {
	return func(yield func(points, error) bool) {
		for _, b := range p[first:] {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// signs is an optimiser that goes by the signs of the gradients alone.
type signs struct {
	optim.Optimizer // for all but its step
	made            int
}

func (s *signs) Step() error {
	for _, g := range s.Groups() {
		rate := float32(g.Rate(s.made))
		for _, p := range g.Params {
			weights, gradient := mat.Data[float32](p.Value.Value()), mat.Data[float32](p.Value.Grad())
			for i, x := range gradient {
				weights[i] -= float32(math.Copysign(float64(rate), float64(x)))
			}
		}
	}
	s.made++
	return nil
}

// A model, a data set and an optimiser that this module does not know.
func ExampleTrainer() {
	data := plane{
		{mat.NewDense[float32](mat.WithShape(3, 2), mat.WithBacking([]float32{1, 0, -1, 0, 2, 1})), []int{0, 1, 0}},
		{mat.NewDense[float32](mat.WithShape(2, 2), mat.WithBacking([]float32{-2, 1, 3, -1})), []int{1, 0}},
	}
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.LRScheduler, o.WarmupSteps = 3, 0.25, "constant", 0
	t, err := train.New(train.Model[points](&sides{Head: layers.Zeros[float32](2, 2)}), train.Data[points](data), train.Data[points](data), o)
	if err != nil {
		log.Fatal(err)
	}
	t.Optimizer = &signs{Optimizer: t.Optimizer}
	t.Hooks.Epoch = func(e train.Epoch) error {
		fmt.Printf("epoch %d, update %d: validation loss %.2f\n", e.Epoch, e.Step, e.ValLoss)
		return nil
	}
	if err := t.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// epoch 1, update 2: validation loss 0.19
	// epoch 2, update 4: validation loss 0.06
	// epoch 3, update 6: validation loss 0.02
}
