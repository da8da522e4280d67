package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/nlpodyssey/spago/ag"
)

// ErrNotFinite says that a loss or gradient became infinite or not a number.
var ErrNotFinite = errors.New("is not finite: lower the learning rate, or clip gradients (max_grad_norm) and warm up longer")

// Step is what happened in one update.
type Step struct {
	Epoch        int     // from 1
	Step         int     // updates so far, from 1
	TotalSteps   int     // of the whole run
	Loss         float64 // mean over the labelled tokens
	GradNorm     float64 // before clipping
	LearningRate float64
	Pairs        int // sequences in this update
	Tokens       int // labelled tokens in this update
	Duration     time.Duration
}

// Epoch is what happened in one epoch.
type Epoch struct {
	Epoch     int // from 1
	Step      int // updates so far
	TrainLoss float64
	// ValLoss is the mean over all labelled tokens of the validation data,
	// without dropout or label smoothing; NaN if there is none.
	ValLoss  float64
	Duration time.Duration
}

// Hooks are called by a run; an error stops it. Nil ones are left out.
type Hooks struct {
	Step  func(Step) error  // after each update
	Epoch func(Epoch) error // after each epoch and its validation
	// Validating is told how many batches of the validation data are done.
	Validating func(done, total int)
}

// Trainer fits a model to data. Make one with [New].
type Trainer[In any] struct {
	Model     *seq2seq.EncoderDecoder[In]
	Optimizer optim.Optimizer
	Hooks     Hooks

	train, val Data[In]
	options    Options
	params     []optim.Param
	random     *layers.Random
	totalSteps int
	cache      [2]*states // of the training and the validation data; nil with a trained encoder

	// Where the run is: kept in its state.
	epoch, batch, step int     // epochs and, within this one, batches done; updates
	lossSum            float64 // of this epoch, over its tokens
	tokens             int
}

// New returns a trainer for those parameters of model that require a
// gradient; see [layers.Trainable]. val may be nil.
func New[In any](model *seq2seq.EncoderDecoder[In], train, val Data[In], o Options) (*Trainer[In], error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	t := &Trainer[In]{Model: model, train: train, val: val, options: o, params: trained(model), random: layers.NewRandom(o.Seed)}
	if len(t.params) == 0 {
		return nil, errors.New("no parameter is trained: all are frozen")
	}
	perEpoch := (train.NumBatches() + o.GradientAccumulationSteps - 1) / o.GradientAccumulationSteps
	t.totalSteps = o.Epochs * perEpoch
	if o.MaxSteps > 0 {
		t.totalSteps = min(t.totalSteps, o.MaxSteps)
	}
	var err error
	if t.Optimizer, err = o.newOptimizer(t.params, t.totalSteps); err != nil {
		return nil, err
	}
	if len(trained(model.Encoder)) == 0 {
		t.cache = [2]*states{newStates(o.CacheBytes), newStates(o.CacheBytes)}
	}
	return t, nil
}

// TotalSteps is the number of updates of the whole run.
func (t *Trainer[In]) TotalSteps() int { return t.totalSteps }

// StepsDone is the number of updates made.
func (t *Trainer[In]) StepsDone() int { return t.step }

// Run trains to the end, from the beginning or from where a loaded state left
// off. It returns ctx's error when cancelled, between two updates, and one
// that wraps [ErrNotFinite], before the weights are touched, when the loss or
// a gradient is not finite.
func (t *Trainer[In]) Run(ctx context.Context) error {
	for t.epoch < t.options.Epochs && t.step < t.totalSteps {
		start := time.Now()
		if err := t.runEpoch(ctx); err != nil {
			return err
		}
		e := Epoch{Epoch: t.epoch + 1, Step: t.step, TrainLoss: t.lossSum / float64(t.tokens), ValLoss: math.NaN()}
		if t.val != nil {
			var err error
			if e.ValLoss, err = t.Validate(ctx); err != nil {
				return err
			}
		}
		t.epoch, t.batch, t.lossSum, t.tokens = t.epoch+1, 0, 0, 0
		e.Duration = time.Since(start)
		if t.Hooks.Epoch != nil {
			if err := t.Hooks.Epoch(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Trainer[In]) runEpoch(ctx context.Context) error {
	var parts []Batch[In] // of one update
	batches := t.train.NumBatches()
	for b, err := range t.train.Epoch(ctx, t.epoch, t.batch, t.need(0)) {
		if err != nil {
			return err
		}
		parts = append(parts, b)
		if len(parts) < t.options.GradientAccumulationSteps && t.batch+len(parts) < batches {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		t.batch += len(parts)
		if err := t.update(parts); err != nil {
			return err
		}
		parts = parts[:0]
		if t.step == t.totalSteps {
			break
		}
	}
	return ctx.Err()
}

// update makes one step of the optimiser on one or more batches, which count
// as one big batch.
func (t *Trainer[In]) update(parts []Batch[In]) error {
	start := time.Now()
	s := Step{Epoch: t.epoch + 1, Step: t.step + 1, TotalSteps: t.totalSteps, LearningRate: t.Optimizer.Groups()[0].Rate(t.step)}
	for _, b := range parts {
		s.Pairs += len(b.Sequences)
		for _, seq := range b.Sequences {
			s.Tokens += len(seq) - 1
		}
	}
	random := t.random.Derive(uint64(t.step))
	t.Optimizer.ZeroGrad()
	for _, b := range parts {
		loss, err := t.backward(b, s.Tokens, random)
		if err != nil {
			return fmt.Errorf("step %d: %w", s.Step, err)
		}
		s.Loss += loss
	}
	if math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0) {
		return fmt.Errorf("step %d (learning rate %.3g): the loss, %v, %w", s.Step, s.LearningRate, s.Loss, ErrNotFinite)
	}
	var err error
	if s.GradNorm, err = optim.ClipGradNorm(t.params, t.options.MaxGradNorm); err != nil {
		if errors.Is(err, optim.ErrNotFinite) {
			return fmt.Errorf("step %d (learning rate %.3g, loss %.4g): %v: the gradient %w", s.Step, s.LearningRate, s.Loss, err, ErrNotFinite)
		}
		return err
	}
	if err := t.Optimizer.Step(); err != nil {
		return err
	}
	t.step++
	t.lossSum += s.Loss * float64(s.Tokens)
	t.tokens += s.Tokens
	s.Duration = time.Since(start)
	if t.Hooks.Step != nil {
		return t.Hooks.Step(s)
	}
	return nil
}

// backward adds the gradients of a batch's part of the loss.
func (t *Trainer[In]) backward(b Batch[In], tokens int, random *layers.Random) (float64, error) {
	o := t.options.loss()
	o.Normalizer = tokens
	r, err := t.loss(b, t.cache[0], o, random)
	if err != nil {
		return 0, err
	}
	// A loss that is not finite has no gradients worth computing.
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return r.Value, nil
	}
	return r.Value, ag.Backward(r.Loss)
}

func (t *Trainer[In]) loss(b Batch[In], cache *states, o losses.Options, random *layers.Random) (losses.Result, error) {
	tokens, labels, err := seq2seq.Shift(b.Sequences)
	if err != nil {
		return losses.Result{}, err
	}
	states, err := t.encode(b, cache, random)
	if err != nil {
		return losses.Result{}, err
	}
	return t.Model.Loss(layers.Source{Packed: states, Of: b.Of}, tokens, labels, o, random)
}

// encode returns the encoder's states of a batch's inputs, from the cache
// where they are kept. A frozen encoder runs without dropout.
func (t *Trainer[In]) encode(b Batch[In], cache *states, random *layers.Random) (layers.Packed, error) {
	if cache == nil {
		return t.Model.Encode(b.Inputs, random)
	}
	items := make([][]float32, len(b.Indices))
	var inputs []In
	var missing []int
	for i, index := range b.Indices {
		if items[i] = cache.get(index); items[i] == nil {
			inputs, missing = append(inputs, b.Inputs[i]), append(missing, i)
		}
	}
	if len(missing) > 0 {
		states, err := t.Model.Encoder.Encode(inputs, nil)
		if err != nil {
			return layers.Packed{}, err
		}
		for n, item := range split(states) {
			items[missing[n]] = item
			cache.put(b.Indices[missing[n]], item)
		}
	}
	return t.Model.Project(pack(items, t.Model.Encoder.Dim())), nil
}

// need tells the data which inputs are still to be encoded.
func (t *Trainer[In]) need(part int) func(int) bool {
	if t.cache[part] == nil {
		return nil
	}
	return t.cache[part].lacks
}

// Validate returns the mean loss over all labelled tokens of the validation
// data.
func (t *Trainer[In]) Validate(ctx context.Context) (float64, error) {
	sum, tokens, done := 0.0, 0, 0
	err := layers.WithoutGradients(t.Model, func() error {
		for b, err := range t.val.Epoch(ctx, 0, 0, t.need(1)) {
			if err != nil {
				return err
			}
			r, err := t.loss(b, t.cache[1], losses.Options{}, nil)
			if err != nil {
				return fmt.Errorf("validation: %w", err)
			}
			sum += r.Value * float64(r.Counted)
			tokens += r.Counted
			if done++; t.Hooks.Validating != nil {
				t.Hooks.Validating(done, t.val.NumBatches())
			}
		}
		return ctx.Err()
	})
	if err == nil && tokens == 0 {
		err = errors.New("validation: there is nothing to validate on")
	}
	return sum / float64(tokens), err
}
