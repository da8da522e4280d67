package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
)

// Mismatching is a [Model] that can tell how much it looks at its inputs.
type Mismatching[B any] interface {
	// Mismatch returns b with each of its sequences beside the input of
	// another; false if b has no other inputs.
	Mismatch(b B) (B, bool)
}

// Evaluation is how well a model does on data.
type Evaluation struct {
	Loss   float64 // mean over the labelled tokens, without dropout or label smoothing
	Labels int     // labelled tokens
	// ImageGain is the loss with the inputs of others minus that with the right
	// ones, over those batches that have others: near 0, the decoder ignores
	// what the encoder sees. nil if the model is not [Mismatching], or no
	// batch has two inputs.
	ImageGain *float64
}

// meanLoss gathers the loss of several batches.
type meanLoss struct {
	sum    float64
	labels int
}

func (m *meanLoss) add(r losses.Result) {
	m.sum += r.Value * float64(r.Counted)
	m.labels += r.Counted
}

func (m meanLoss) value() float64 { return m.sum / float64(m.labels) }

// Evaluate measures a model on the batches of data, whose first epoch it goes
// through. done, if not nil, is told how many batches are done.
func Evaluate[B any](ctx context.Context, model Model[B], data Data[B], done func(batches, total int)) (Evaluation, error) {
	var all, right, wrong meanLoss
	mismatching, _ := model.(Mismatching[B])
	batches := 0
	err := layers.WithoutGradients(model, func() error {
		for b, err := range data.Epoch(ctx, 0, 0) {
			if err != nil {
				return err
			}
			if model.Labels(b) > 0 {
				r, err := model.Loss(b, losses.Options{}, nil)
				if err != nil {
					return err
				}
				all.add(r)
				if mismatching != nil {
					if other, ok := mismatching.Mismatch(b); ok {
						w, err := model.Loss(other, losses.Options{}, nil)
						if err != nil {
							return fmt.Errorf("with the inputs of others: %w", err)
						}
						right.add(r)
						wrong.add(w)
					}
				}
			}
			if batches++; done != nil {
				done(batches, data.NumBatches())
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return Evaluation{}, err
	}
	if all.labels == 0 {
		return Evaluation{}, errors.New("there is nothing to validate on")
	}
	e := Evaluation{Loss: all.value(), Labels: all.labels}
	if right.labels > 0 {
		gain := wrong.value() - right.value()
		e.ImageGain = &gain
	}
	return e, nil
}
