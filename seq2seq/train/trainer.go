package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// ErrNotFinite says that a loss or gradient became infinite or not a number.
var ErrNotFinite = errors.New("is not finite: lower the learning rate, or clip gradients (max_grad_norm) and warm up longer")

// Step is what happened in one update.
type Step struct {
	Epoch        int     // from 1
	Stage        int     // from 1
	Step         int     // updates so far, from 1
	TotalSteps   int     // of the whole run
	Loss         float64 // mean over the labelled tokens
	GradNorm     float64 // before clipping
	LearningRate float64 // of the first group of the optimiser
	Labels       int     // labelled tokens in this update
	Duration     time.Duration
}

// Epoch is what happened in one epoch.
type Epoch struct {
	Epoch     int // from 1
	Step      int // updates so far
	TrainLoss float64
	// ValLoss is the mean over all labelled tokens of the validation data,
	// without dropout or label smoothing; NaN if there is none.
	ValLoss   float64
	ImageGain *float64 // of the validation data: see [Evaluation]
	Metric    string   // what Score is, such as "cider"
	Score     *float64 // see [Trainer].Score; nil if there is none
	Best      bool     // it is the best so far: see [Options].MetricForBestModel
	Duration  time.Duration
}

// Hooks are called by a run; an error stops it. Nil ones are left out.
type Hooks struct {
	Stage func(StageStart) error // before the first update of each stage
	Step  func(Step) error       // after each update
	Skip  func(Skip) error       // after each update that the guard did not make
	Epoch func(Epoch) error      // after each epoch and its validation
	// Validating is told how many batches of the validation data are done.
	Validating func(done, total int)
}

// Model is what a [Trainer] fits: something with parameters that can say how
// well it does on a batch of type B. It embeds [nn.Module].
type Model[B any] interface {
	nn.Model
	// Loss is the sum over the labelled rows of a batch divided by
	// o.Normalizer, or their mean if that is 0. random is the stream for
	// dropout, nil in evaluation. The memory of what its operators computed
	// is used again after the step, so the model must not keep any of it.
	Loss(batch B, o losses.Options, random *layers.Random) (losses.Result, error)
	// Labels is the number of labelled rows of a batch.
	Labels(batch B) int
}

// Trainer fits a model to data. Make one with [New].
type Trainer[B any] struct {
	Model Model[B]
	// Optimizer is that of the current stage. One of one's own may take its place
	// before the run, if there are no stages after the first: each of those
	// begins with the optimiser that [Options] name.
	Optimizer optim.Optimizer
	Hooks     Hooks
	// Score says how good the model is after an epoch, the more the better, for
	// an [Options].MetricForBestModel other than the loss.
	Score func(context.Context) (float64, error)

	train, val Data[B]
	options    Options
	plans      []*plan
	params     []optim.Param
	random     *layers.Random
	recycler   layers.Recycler
	totalSteps int

	// Where the run is: kept in its state.
	at                 position
	epoch, batch, step int     // epochs and, within this one, batches done; updates
	lossSum            float64 // of this epoch, over its labels
	labels             int
	guard              guard
	average            *average // nil without EMADecay
	best               bestEpoch
}

// New returns a trainer for those parameters of model that require a
// gradient (see [layers.Trainable]), or that o.Stages name: those of the first
// stage then require one, and no others. val may be nil.
func New[B any](model Model[B], train, val Data[B], o Options) (*Trainer[B], error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if val == nil && o.EarlyStoppingPatience > 0 && o.byLoss() {
		return nil, &OptionError{"early_stopping_patience", "needs validation data"}
	}
	t := &Trainer[B]{Model: model, train: train, val: val, options: o, random: layers.NewRandom(o.Seed)}
	var err error
	perEpoch := (train.NumBatches() + o.GradientAccumulationSteps - 1) / o.GradientAccumulationSteps
	if t.plans, err = o.plans(model, perEpoch); err != nil {
		return nil, err
	}
	for _, p := range t.plans {
		t.totalSteps += p.steps
	}
	return t, t.enter(position{})
}

// TotalSteps is the number of updates of the whole run.
func (t *Trainer[B]) TotalSteps() int { return t.totalSteps }

// StepsDone is the number of updates made.
func (t *Trainer[B]) StepsDone() int { return t.step }

// EpochsDone is the number of epochs completed, validation included.
func (t *Trainer[B]) EpochsDone() int { return t.epoch }

// Run trains to the end, from the beginning or from where a loaded state left
// off. It returns ctx's error when cancelled, between two updates, and one
// that wraps [ErrNotFinite] or [ErrHuge], before the weights are touched, when the
// loss or a gradient is bad more often in a row than [GuardOptions] allow.
func (t *Trainer[B]) Run(ctx context.Context) error {
	if !t.options.byLoss() && t.Score == nil {
		return &OptionError{"metric_for_best_model", fmt.Sprintf("is %q, which needs a Score", t.options.MetricForBestModel)}
	}
	told := -1 // the last stage that the hooks know of
	for !t.best.exhausted(t.epoch, t.options.EarlyStoppingPatience) {
		if more, err := t.next(); err != nil || !more {
			return err
		}
		if told != t.at.Stage && t.epoch == t.at.Epoch && t.step == t.at.Step {
			if err := t.begin(); err != nil {
				return err
			}
		}
		told = t.at.Stage
		start := time.Now()
		if err := t.runEpoch(ctx); err != nil {
			return err
		}
		if t.labels == 0 && t.guard.InRow == 0 {
			return fmt.Errorf("epoch %d: there was nothing to learn from", t.epoch+1)
		}
		if err := t.Averaged(func() error { return t.endEpoch(ctx, start) }); err != nil {
			return err
		}
	}
	return nil
}

// endEpoch validates and tells the hook, with the averaged weights if there are
// any.
func (t *Trainer[B]) endEpoch(ctx context.Context, start time.Time) error {
	e := Epoch{Epoch: t.epoch + 1, Step: t.step, TrainLoss: t.lossSum / float64(t.labels), ValLoss: math.NaN()}
	if t.val != nil {
		v, err := t.evaluate(ctx)
		if err != nil {
			return err
		}
		// Updates are being skipped, and it is the weights that are at fault.
		if t.guard.InRow > 0 && v.Loss-v.Loss != 0 {
			return fmt.Errorf("step %d (learning rate %.3g): %d updates in a row were skipped, and validation loss %w", t.step+1, t.plans[t.at.Stage].LearningRate, t.guard.InRow, ErrNotFinite)
		}
		e.ValLoss, e.ImageGain = v.Loss, v.ImageGain
	}
	if err := t.judge(ctx, &e); err != nil {
		return err
	}
	t.epoch, t.batch, t.lossSum, t.labels = t.epoch+1, 0, 0, 0
	e.Duration = time.Since(start)
	if t.Hooks.Epoch == nil {
		return nil
	}
	return t.Hooks.Epoch(e)
}

func (t *Trainer[B]) runEpoch(ctx context.Context) error {
	if t.step >= t.stageEnd() {
		return nil // stopped after the last update: what is left is to validate
	}
	var parts []B // of one update
	batches := t.train.NumBatches()
	for b, err := range t.train.Epoch(ctx, t.epoch, t.batch) {
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
		if t.step >= t.stageEnd() {
			break
		}
	}
	return ctx.Err()
}

// update makes one step of the optimiser on one or more batches, which count
// as one big batch.
func (t *Trainer[B]) update(parts []B) error {
	start := time.Now()
	s := Step{Epoch: t.epoch + 1, Stage: t.at.Stage + 1, Step: t.step + 1, TotalSteps: t.totalSteps, LearningRate: t.Optimizer.Groups()[0].Rate(t.step)}
	parts = slices.DeleteFunc(parts, func(b B) bool { return t.Model.Labels(b) == 0 })
	if len(parts) == 0 {
		return nil
	}
	for _, b := range parts {
		s.Labels += t.Model.Labels(b)
	}
	random := t.random.Derive(uint64(t.step))
	for _, p := range t.params {
		layers.DropGradient(p.Value)
	}
	var sums gradientSums
	for _, b := range parts {
		loss, err := t.backward(b, s.Labels, random)
		if err != nil {
			return fmt.Errorf("step %d: %w", s.Step, err)
		}
		s.Loss += loss
		if len(parts) > 1 {
			sums.take(t.params)
		}
	}
	sums.giveBack(t.params)
	s.GradNorm = math.NaN()
	if why := t.guard.badLoss(t.options, s.Loss); why != "" {
		return t.skip(s, why, s.Loss-s.Loss == 0)
	}
	var err error
	if s.GradNorm, err = optim.ClipGradNorm(t.params, 0); errors.Is(err, optim.ErrNotFinite) {
		return t.skip(s, fmt.Sprintf("the loss is %.4g, but %v", s.Loss, err), false)
	}
	if err != nil {
		return err
	}
	if why := t.guard.badNorm(t.options, s.GradNorm); why != "" {
		return t.skip(s, why, true)
	}
	if err := optim.StepClipped(t.Optimizer, t.params, s.GradNorm, t.options.MaxGradNorm); err != nil {
		return err
	}
	t.step++
	t.average.follow()
	t.guard.made(s.Loss, s.GradNorm)
	t.lossSum += s.Loss * float64(s.Labels)
	t.labels += s.Labels
	s.Duration = time.Since(start)
	if t.Hooks.Step != nil {
		return t.Hooks.Step(s)
	}
	return nil
}

// gradientSums adds up the gradients of the parts of an update. A parameter
// that is used twice gets its two gradients of a part in any order; added to
// those of an earlier part, their sum would depend on it.
type gradientSums []mat.Matrix

// take moves the parameters' gradients to the sums.
func (g *gradientSums) take(params []optim.Param) {
	if *g == nil {
		*g = make(gradientSums, len(params))
	}
	for i, p := range params {
		switch {
		case !p.Value.HasGrad():
		case (*g)[i] == nil:
			(*g)[i] = p.Value.Grad().(mat.Matrix)
		default:
			(*g)[i].AddInPlace(p.Value.Grad().(mat.Matrix))
		}
		p.Value.ZeroGrad()
	}
}

// giveBack makes the sums the parameters' gradients.
func (g gradientSums) giveBack(params []optim.Param) {
	for i, sum := range g {
		if sum != nil {
			params[i].Value.AccGrad(sum)
		}
	}
}

// backward adds the gradients of a batch's part of the loss.
func (t *Trainer[B]) backward(b B, labels int, random *layers.Random) (float64, error) {
	o := t.options.loss()
	o.Normalizer = labels
	var value float64
	err := t.recycler.Use(func() error {
		r, err := t.Model.Loss(b, o, random)
		if err != nil {
			return err
		}
		value = r.Value
		// A loss that is not finite has no gradients worth computing.
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil
		}
		return ag.Backward(r.Loss)
	})
	return value, err
}

// Validate returns the mean loss over all labelled tokens of the validation
// data, of the averaged weights if there are any.
func (t *Trainer[B]) Validate(ctx context.Context) (loss float64, err error) {
	err = t.Averaged(func() error {
		e, err := t.evaluate(ctx)
		loss = e.Loss
		return err
	})
	return loss, err
}

func (t *Trainer[B]) evaluate(ctx context.Context) (Evaluation, error) {
	e, err := Evaluate(ctx, t.Model, t.val, t.Hooks.Validating)
	if err != nil {
		err = fmt.Errorf("validation: %w", err)
	}
	return e, err
}
