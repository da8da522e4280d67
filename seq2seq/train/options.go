package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
)

// Options of a run, with Hugging Face's names and meanings.
type Options struct {
	// Stages of the run, in place of Epochs. None: there is one, of that many
	// epochs and what is trained when the run is made.
	Stages                    []Stage `json:"stages,omitempty"`
	Epochs                    int     `json:"num_train_epochs"`
	MaxSteps                  int     `json:"max_steps"` // stop after so many updates; 0: after the epochs
	Optimizer                 string  `json:"optim"`     // adamw, adam or sgd
	LearningRate              float64 `json:"learning_rate"`
	WeightDecay               float64 `json:"weight_decay"`
	LRScheduler               string  `json:"lr_scheduler_type"` // constant, linear or cosine
	WarmupSteps               int     `json:"warmup_steps"`
	MaxGradNorm               float64 `json:"max_grad_norm"` // 0: gradients are not clipped
	GradientAccumulationSteps int     `json:"gradient_accumulation_steps"`
	LabelSmoothing            float64 `json:"label_smoothing_factor"`
	// EMADecay is how much of an exponential moving average of the trained
	// weights stays in each update: 0.999, say; 0: there is none. The first
	// updates keep less, (1+n)/(10+n) after n of them, so that what the weights
	// were at first is soon forgotten. The averages, not the weights, are
	// validated and seen by the hook of an epoch: see [Trainer.Averaged]. What a
	// stage does not train has no average.
	EMADecay float64 `json:"ema_decay,omitempty"`
	// MetricForBestModel says which epoch is the best: "" or "loss", that with
	// the least validation loss; any other name, such as "cider", that with the
	// highest [Trainer].Score.
	MetricForBestModel string `json:"metric_for_best_model,omitempty"`
	// EarlyStoppingPatience ends the run when so many epochs in a row have not
	// been the best so far; 0: never.
	EarlyStoppingPatience int          `json:"early_stopping_patience,omitempty"`
	Guard                 GuardOptions `json:"guard,omitzero"`
	Seed                  uint64       `json:"seed"` // of dropout; the data has its own
}

// DefaultOptions are a learning rate of 1e-3 with AdamW, warmed up over 100
// steps and then falling along a cosine, gradients clipped at norm 1, and
// [DefaultGuard].
func DefaultOptions() Options {
	return Options{
		Epochs: 3, Optimizer: "adamw", LearningRate: 1e-3, WeightDecay: 0.01, LRScheduler: "cosine",
		WarmupSteps: 100, MaxGradNorm: 1, GradientAccumulationSteps: 1,
		Guard: DefaultGuard(),
	}
}

// OptionError says which option makes no sense, and why.
type OptionError struct {
	Option string // as Hugging Face names it
	What   string
}

// Error gives the option and what is wrong with it.
func (e *OptionError) Error() string { return e.Option + " " + e.What }

// Check returns an [*OptionError] for the first option that makes no sense.
func (o Options) Check() error {
	for _, f := range []struct {
		name string
		bad  bool
		what string
	}{
		{"num_train_epochs", o.Epochs < 1 && len(o.Stages) == 0, "must be at least 1"},
		{"max_steps", o.MaxSteps < 0, "must not be negative"},
		{"learning_rate", !(o.LearningRate > 0) || math.IsInf(o.LearningRate, 1), "must be positive and finite"},
		{"weight_decay", !(o.WeightDecay >= 0) || math.IsInf(o.WeightDecay, 1), "must be finite and not negative"},
		{"warmup_steps", o.WarmupSteps < 0, "must not be negative"},
		{"max_grad_norm", !(o.MaxGradNorm >= 0), "must not be negative"},
		{"gradient_accumulation_steps", o.GradientAccumulationSteps < 1, "must be at least 1"},
		{"label_smoothing_factor", !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1), "must be in [0, 1)"},
		{"ema_decay", !(o.EMADecay >= 0 && o.EMADecay < 1), "must be in [0, 1)"},
		{"early_stopping_patience", o.EarlyStoppingPatience < 0, "must not be negative"},
		{"guard.max_skipped", o.Guard.MaxSkipped < 0, "must not be negative"},
		{"guard.patience", o.Guard.Patience < 0, "must not be negative"},
		{"guard.spike", o.Guard.Spike != 0 && !(o.Guard.Spike > 1), "must be 0 or above 1"},
		{"optim", !slices.Contains([]string{"adamw", "adam", "sgd"}, o.Optimizer), "must be adamw, adam or sgd"},
		{"lr_scheduler_type", !slices.Contains([]string{"constant", "linear", "cosine"}, o.LRScheduler), "must be constant, linear or cosine"},
	} {
		if f.bad {
			return &OptionError{f.name, f.what}
		}
	}
	for i, s := range o.Stages {
		if err := s.check(); err != nil {
			return &OptionError{"stage", fmt.Sprintf("%d: %v", i+1, err)}
		}
	}
	return nil
}

// byLoss tells whether the best epoch is that with the least loss.
func (o Options) byLoss() bool { return o.MetricForBestModel == "" || o.MetricForBestModel == "loss" }

func (o Options) loss() losses.Options { return losses.Options{LabelSmoothing: o.LabelSmoothing} }

func (o Options) newOptimizer(groups []*optim.Group) (optim.Optimizer, error) {
	switch o.Optimizer {
	case "sgd":
		return optim.NewSGD(groups, optim.SGDOptions{})
	case "adam":
		return optim.NewAdam(groups, optim.DefaultAdam())
	}
	return optim.NewAdamW(groups, optim.DefaultAdam())
}

// trained lists the parameters of model that require a gradient.
func trained(model any) []optim.Param {
	var out []optim.Param
	for _, p := range layers.Parameters(model) {
		if p.Value.RequiresGrad() {
			out = append(out, optim.Param{Name: p.Name, Value: p.Value})
		}
	}
	return out
}
