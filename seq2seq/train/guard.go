package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/optim"
)

// GuardOptions say when an update is so bad that it is skipped, before it
// touches a weight. The zero value skips none: a loss or gradient that is not
// finite ends the run.
type GuardOptions struct {
	// MaxSkipped is how many updates in a row are skipped; one more ends the
	// run. 0: there is no guard.
	MaxSkipped int `json:"max_skipped,omitempty"`
	// Patience is how many updates in a row are skipped before the learning
	// rate is halved, and again after as many. 0: it never is.
	Patience int `json:"patience,omitempty"`
	// Spike is how many times its running mean makes a loss or a gradient norm
	// huge. A loss below Spike, and a norm below Spike times the norm that is
	// clipped to (1 if none is), never are. 0: only what is not finite is bad.
	Spike float64 `json:"spike,omitempty"`
}

// DefaultGuard skips up to 10 updates in a row whose loss or gradient is not
// finite or 20 times its running mean, and halves the learning rate after 3.
func DefaultGuard() GuardOptions { return GuardOptions{MaxSkipped: 10, Patience: 3, Spike: 20} }

// Skip is an update that the guard did not make. Its batch is lost to the
// epoch; schedules, moments and averages stay where they were.
type Skip struct {
	Epoch, Step    int     // from 1; Step has still to be made, with another batch
	Loss, GradNorm float64 // GradNorm is NaN if the loss was bad already
	LearningRate   float64 // of the update
	Why            string  // and what was done about it
}

// guard is what the guard remembers: kept in the state of a run.
type guard struct {
	Loss     float64 `json:"loss"`      // running mean
	GradNorm float64 `json:"grad_norm"` // running mean
	Seen     int     `json:"seen"`      // updates in the means
	InRow    int     `json:"in_row"`    // updates skipped since the last one made
	Halved   int     `json:"halved"`    // times that the learning rate was
}

const (
	guardDecay  = 0.98 // of the running means
	guardWarmup = 20   // updates before the means are trusted
)

// badLoss says what is wrong with a loss, "" if nothing is.
func (g *guard) badLoss(o Options, loss float64) string {
	if loss-loss != 0 {
		return fmt.Sprintf("the loss is %v", loss)
	}
	return g.huge(o, "the loss", loss, g.Loss, 1)
}

// badNorm says what is wrong with a gradient norm, "" if nothing is.
func (g *guard) badNorm(o Options, norm float64) string {
	least := o.MaxGradNorm
	if least == 0 || math.IsInf(least, 1) {
		least = 1
	}
	return g.huge(o, "the gradient norm", norm, g.GradNorm, least)
}

func (g *guard) huge(o Options, what string, x, mean, least float64) string {
	if o.Guard.MaxSkipped == 0 || o.Guard.Spike == 0 || g.Seen < guardWarmup || x <= o.Guard.Spike*math.Max(mean, least) {
		return ""
	}
	return fmt.Sprintf("%s, %.4g, is %.3g times its running mean", what, x, x/mean)
}

// made counts an update that was made.
func (g *guard) made(loss, norm float64) {
	decay := guardDecay
	if g.Seen == 0 {
		decay = 0
	}
	g.Loss, g.GradNorm = decay*g.Loss+(1-decay)*loss, decay*g.GradNorm+(1-decay)*norm
	g.Seen, g.InRow = g.Seen+1, 0
}

// skip passes over an update for a reason, or ends the run.
func (t *Trainer[B]) skip(s Step, why string, finite bool) error {
	o := t.options.Guard
	t.Optimizer.ZeroGrad()
	if t.guard.InRow >= o.MaxSkipped {
		err := fmt.Errorf("step %d (learning rate %.3g): %s", s.Step, s.LearningRate, why)
		if t.guard.InRow > 0 {
			err = fmt.Errorf("%w, after %d updates in a row that were skipped", err, t.guard.InRow)
		}
		if finite {
			return fmt.Errorf("%w: %w", err, ErrHuge)
		}
		return fmt.Errorf("%w: it %w", err, ErrNotFinite)
	}
	t.guard.InRow++
	did := "the update was skipped"
	if o.Patience > 0 && t.guard.InRow%o.Patience == 0 {
		t.guard.Halved++
		scaleRates(t.Optimizer, 0.5)
		did = fmt.Sprintf("the update was skipped, %d in a row now, and the learning rate halved", t.guard.InRow)
	}
	if t.Hooks.Skip == nil {
		return nil
	}
	return t.Hooks.Skip(Skip{Epoch: s.Epoch, Step: s.Step, Loss: s.Loss, GradNorm: s.GradNorm, LearningRate: s.LearningRate, Why: why + ": " + did})
}

// ErrHuge says that losses or gradients stayed far above what they had been.
var ErrHuge = errors.New("training has exploded: lower the learning rate, clip gradients (max_grad_norm) or warm up longer")

// scaleRates multiplies the learning rates; by a power of two, without
// rounding.
func scaleRates(o optim.Optimizer, by float64) {
	for _, g := range o.Groups() {
		g.LearningRate *= by
	}
}
