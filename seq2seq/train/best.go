package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// bestEpoch is the one with the best value of the metric that
// [Options].MetricForBestModel names: kept in the state of a run.
type bestEpoch struct {
	Epoch int     `json:"epoch"` // from 1; 0: none yet
	Step  int     `json:"step"`  // updates until its end
	Value float64 `json:"value"`
}

// update tells whether an epoch is better than all before. A value that is not
// finite never is.
func (b *bestEpoch) update(value float64, lessIsBetter bool, epoch, step int) bool {
	if value-value != 0 || b.Epoch > 0 && (value == b.Value || value > b.Value == lessIsBetter) {
		return false
	}
	*b = bestEpoch{epoch, step, value}
	return true
}

// exhausted tells whether patience is at an end after so many epochs; those
// before the first finite value count too.
func (b bestEpoch) exhausted(epochs, patience int) bool {
	return patience > 0 && epochs-b.Epoch >= patience
}

// Best is the best epoch so far, from 1, and its validation loss or
// [Trainer].Score; 0 if there is none.
func (t *Trainer[B]) Best() (epoch int, value float64) { return t.best.Epoch, t.best.Value }

// BestState is the state in dir that was saved after the best epoch, for
// [Trainer.LoadState]. It is there if the epoch's hook saves a state, since
// [Trainer.SaveState] does not remove it.
func (t *Trainer[B]) BestState(dir string) (string, error) {
	if t.best.Epoch == 0 {
		return "", errors.New("no epoch is the best: none had a finite validation loss or score")
	}
	path := filepath.Join(dir, stateName(t.best.Step, t.best.Epoch))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the state of epoch %d, the best: %w", t.best.Epoch, err)
	}
	return path, nil
}

// judge gives an epoch its score, and tells whether it is the best so far.
func (t *Trainer[B]) judge(ctx context.Context, e *Epoch) error {
	value := e.ValLoss
	if !t.options.byLoss() {
		score, err := t.Score(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", t.options.MetricForBestModel, err)
		}
		e.Metric, e.Score, value = t.options.MetricForBestModel, &score, score
	}
	e.Best = t.best.update(value, t.options.byLoss(), e.Epoch, e.Step)
	return nil
}
