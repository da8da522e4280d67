package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// A run is short: enough to see whether it learns, and most explosions come
// early.
const (
	steps     = 300
	batchSize = 8
	seed      = 1
)

var learningRates = []float64{1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2}

// cure is a way to train; the page says what each does.
type cure struct {
	name     string
	variants gpt2.Variants
	change   func(*train.Options)
}

// plainly is a constant learning rate from the first update on, with nothing
// to hold it back.
func plainly() train.Options {
	o := train.DefaultOptions()
	o.LRScheduler, o.WarmupSteps, o.MaxGradNorm = "constant", 0, 0
	o.Guard = train.GuardOptions{}
	return o
}

func defaults(o *train.Options) { *o = train.DefaultOptions() }

func cures() []cure {
	alone := func(v gpt2.Variant) gpt2.Variants { return gpt2.Variants{v} }
	return []cure{
		{name: "plain"},
		{name: "clipping", change: func(o *train.Options) { o.MaxGradNorm = 1 }},
		{name: "warm-up", change: func(o *train.Options) { o.WarmupSteps = 100 }},
		{name: "guard", change: func(o *train.Options) { o.Guard = train.DefaultGuard() }},
		{name: "gated", variants: alone(gpt2.Gated)},
		{name: "layer_scale", variants: alone(gpt2.LayerScale)},
		{name: "qk_norm", variants: alone(gpt2.QKNorm)},
		{name: "default", change: defaults},
		{name: "default, layer_scale", variants: alone(gpt2.LayerScale), change: defaults},
		{name: "default, qk_norm+layer_scale", variants: gpt2.Variants{gpt2.QKNorm, gpt2.LayerScale}, change: defaults},
	}
}

// Results are all runs.
type Results struct {
	Steps     int     `json:"steps"`
	BatchSize int     `json:"batch_size"`
	Before    float64 `json:"validation_loss_before"` // of the untrained cross-attention of Hugging Face's kind
	Runs      []Run   `json:"runs"`
}

// Run is what came of one way to train at one learning rate.
type Run struct {
	Cure         string  `json:"cure"`
	LearningRate float64 `json:"learning_rate"`
	Steps        int     `json:"steps"`           // updates made
	ValLoss      *number `json:"validation_loss"` // nil if it was not finite
	GradNorm     *number `json:"largest_gradient_norm"`
	Weight       *number `json:"largest_weight"`
	Stopped      string  `json:"stopped,omitempty"` // why before the end
	Seconds      float64 `json:"seconds"`
}

// number is written with four digits, so that the file can be read.
type number float64

func (n number) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%.4g", float64(n)), nil }

func finite(x float64) *number {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	n := number(x)
	return &n
}

// of finds a run.
func (r Results) of(cure string, rate float64) (Run, bool) {
	for _, run := range r.Runs {
		if run.Cure == cure && run.LearningRate == rate {
			return run, true
		}
	}
	return Run{}, false
}

// exploded tells whether the run ended worse than it began, or did not end.
func (r Results) exploded(run Run) bool {
	return run.Stopped != "" || run.ValLoss == nil || float64(*run.ValLoss) > r.Before
}

// measure adds the runs that are missing, and saves after each.
func measure(ctx context.Context, r *Results, save func() error) error {
	l, err := newLab()
	if err != nil {
		return err
	}
	for _, c := range cures() {
		for _, rate := range learningRates {
			if _, done := r.of(c.name, rate); done {
				continue
			}
			run, before, err := l.run(ctx, c, rate, steps)
			if err != nil {
				return fmt.Errorf("%s at %g: %w", c.name, rate, err)
			}
			if c.variants == nil {
				r.Before = before
			}
			r.Runs = append(r.Runs, run)
			fmt.Fprintf(os.Stderr, "%-30s %-7g loss %s, gradient %s, weight %s, %d updates in %.0f s %s\n", c.name, rate,
				text(run.ValLoss, "%.3f"), text(run.GradNorm, "%.3g"), text(run.Weight, "%.3g"), run.Steps, run.Seconds, run.Stopped)
			if err := save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// lab has what all runs share: the pictures, and what the frozen encoder says
// of them.
type lab struct {
	model    *seq2seq.VisionEncoderDecoder
	task     *train.Captioning[vision.Pixels]
	training *train.PictureData
	held     *train.PictureData
}

func newLab() (*lab, error) {
	m, err := sample.Base(layers.NewRandom(seed))
	if err != nil {
		return nil, err
	}
	l := &lab{model: m, task: train.NewCaptioning(&m.EncoderDecoder, 2<<30)}
	o := train.PictureOptions{BatchSize: batchSize, Shuffle: true, Seed: seed, MaxLength: 48, Need: l.task.Lacks}
	if l.training, err = train.Pictures(emoji.Train(), m.Processor, m.Tokenizer, o); err != nil {
		return nil, err
	}
	o.Shuffle, o.Caption = false, datasets.FirstCaption
	l.held, err = train.Pictures(emoji.Validation(), m.Processor, m.Tokenizer, o)
	return l, err
}

// run trains a new cross-attention for a number of updates, and returns the
// validation loss before too.
func (l *lab) run(ctx context.Context, c cure, rate float64, steps int) (run Run, before float64, err error) {
	fresh, err := sample.Base(layers.NewRandom(seed), c.variants...)
	if err != nil {
		return run, 0, err
	}
	l.model.Decoder = fresh.Decoder
	if err := layers.Trainable(l.model, "crossattention"); err != nil {
		return run, 0, err
	}
	o := plainly()
	if c.change != nil {
		c.change(&o)
	}
	o.Epochs, o.MaxSteps, o.LearningRate, o.Seed = steps, steps, rate, seed
	t, err := train.New(l.task, train.Data[train.Batch[vision.Pixels]](l.training), l.held, o)
	if err != nil {
		return run, 0, err
	}
	if before, err = t.Validate(ctx); err != nil {
		return run, 0, err
	}
	run = Run{Cure: c.name, LearningRate: rate}
	var norm, weight float64
	t.Hooks.Step = func(s train.Step) error {
		run.Steps, norm, weight = s.Step, math.Max(norm, s.GradNorm), math.Max(weight, largestWeight(l.model))
		return nil
	}
	t.Hooks.Epoch = func(e train.Epoch) error {
		run.ValLoss = finite(e.ValLoss)
		return nil
	}
	start := time.Now()
	switch err = t.Run(ctx); {
	case errors.Is(err, train.ErrNotFinite):
		run.ValLoss, run.Stopped, norm, err = nil, "not finite", math.Inf(1), nil
	case errors.Is(err, train.ErrHuge): // too often for the guard
		run.ValLoss, run.Stopped, err = nil, "huge", nil
	}
	run.Seconds = math.Round(time.Since(start).Seconds())
	run.GradNorm, run.Weight = finite(norm), finite(weight)
	return run, before, err
}

func largestWeight(model any) float64 {
	largest := 0.0
	for _, p := range layers.Parameters(model) {
		if !p.Value.RequiresGrad() {
			continue
		}
		for _, w := range mat.Data[float32](p.Value.Value()) {
			largest = math.Max(largest, math.Abs(float64(w)))
		}
	}
	return largest
}
