package train_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// A learning rate that is far too high makes validation loss rise soon.
func stoppingEarly(t *testing.T, epochs *[]train.Epoch) *trainer {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	if err := layers.Trainable(m, "crossattention"); err != nil {
		t.Fatal(err)
	}
	data := pictures(t, m, 8, train.PictureOptions{BatchSize: 4})
	o := options(200, 1)
	o.EarlyStoppingPatience = 3
	tr := newTrainer(t, m, data, data, o)
	tr.Hooks.Epoch = func(e train.Epoch) error { *epochs = append(*epochs, e); return nil }
	return tr
}

func TestARunStopsWhenValidationLossHasNotFallenForSeveralEpochs(t *testing.T) {
	var epochs []train.Epoch
	tr := stoppingEarly(t, &epochs)
	mustRun(t, tr)
	best := 0
	for i, e := range epochs {
		if better := i == 0 || e.ValLoss < epochs[best].ValLoss; better != e.Best {
			t.Errorf("epoch %d: best %v, want %v", e.Epoch, e.Best, better)
		} else if better {
			best = i
		}
	}
	if len(epochs) >= 200 || len(epochs) != best+1+3 {
		t.Fatalf("%d epochs, of which the best was number %d", len(epochs), best+1)
	}

	dir := t.TempDir()
	must(t, tr.SaveState(dir, 1))
	states, err := train.States(dir)
	must(t, err)
	again := stoppingEarly(t, &epochs)
	must(t, again.LoadState(states[0]))
	mustRun(t, again)
	if again.EpochsDone() != best+4 {
		t.Errorf("resumed after it had stopped, it went on to epoch %d", again.EpochsDone())
	}
	if err := again.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStoppingEarlyNeedsValidationData(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	must(t, layers.Trainable(m, "crossattention"))
	o := options(1, 1e-3)
	o.EarlyStoppingPatience = 1
	_, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 0), train.Data[pixelBatch](pictures(t, m, 4, train.PictureOptions{})), nil, o)
	var option *train.OptionError
	if !errors.As(err, &option) || option.Option != "early_stopping_patience" {
		t.Errorf("error %v", err)
	}
}

// scored trains for seven epochs that are as good as scores say.
func scored(t *testing.T, scores []float64, patience int) (*trainer, *[]train.Epoch) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	must(t, layers.Trainable(m, "crossattention"))
	o := options(7, 1e-3)
	o.MetricForBestModel, o.EarlyStoppingPatience = "applause", patience
	tr := newTrainer(t, m, pictures(t, m, 8, train.PictureOptions{BatchSize: 4}), nil, o)
	tr.Score = func(context.Context) (float64, error) { return scores[tr.EpochsDone()], nil }
	epochs := new([]train.Epoch)
	tr.Hooks.Epoch = func(e train.Epoch) error { *epochs = append(*epochs, e); return nil }
	return tr, epochs
}

var applause = []float64{math.NaN(), 2, 1, 5, 5, 4, 3}

func TestTheBestEpochIsThatWithTheHighestScore(t *testing.T) {
	tr, epochs := scored(t, applause, 0)
	mustRun(t, tr)
	for i, e := range *epochs {
		if want := i == 1 || i == 3; e.Best != want || e.Metric != "applause" || *e.Score != applause[i] && i > 0 {
			t.Errorf("epoch %d: %+v, want best %v", e.Epoch, e, want)
		}
	}
	if epoch, value := tr.Best(); epoch != 4 || value != 5 {
		t.Errorf("the best is epoch %d with %v", epoch, value)
	}
	tr, epochs = scored(t, applause, 2)
	mustRun(t, tr)
	if len(*epochs) != 6 {
		t.Errorf("%d epochs, want 6: the best and two that were not", len(*epochs))
	}
	tr, _ = scored(t, applause, 0)
	tr.Score = nil
	var option *train.OptionError
	if err := tr.Run(context.Background()); !errors.As(err, &option) || option.Option != "metric_for_best_model" {
		t.Errorf("without a score: error %v", err)
	}
}

func TestTheStateOfTheBestEpochStaysAndHasItsWeights(t *testing.T) {
	for _, stop := range []int{0, 3, 5} { // epochs before the run is resumed
		dir := t.TempDir()
		var want map[string][]float32
		hook := func(tr *trainer) func(train.Epoch) error {
			return func(e train.Epoch) error {
				if e.Best {
					want = weightsOf(tr.Model)
				}
				must(t, tr.SaveState(dir, 1))
				if e.Epoch == stop {
					return errStop
				}
				return nil
			}
		}
		tr, _ := scored(t, applause, 0)
		if _, err := tr.BestState(dir); err == nil {
			t.Error("a run that has not begun has a best state")
		}
		tr.Hooks.Epoch = hook(tr)
		if err := tr.Run(context.Background()); stop > 0 {
			if !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			states, err := train.States(dir)
			must(t, err)
			tr, _ = scored(t, applause, 0)
			must(t, tr.LoadState(states[len(states)-1]))
			tr.Hooks.Epoch = hook(tr)
			mustRun(t, tr)
		} else {
			must(t, err)
		}
		states, err := train.States(dir)
		must(t, err)
		best, err := tr.BestState(dir)
		must(t, err)
		if len(states) != 2 || states[0] != best || filepath.Base(best) != "state-0000008-0004" {
			t.Errorf("states %v, the best is %s", states, best)
		}
		must(t, tr.LoadState(best))
		for name, w := range weightsOf(tr.Model) {
			if !sameBits(w, want[name]) {
				t.Errorf("%s is not as it was after the best epoch", name)
			}
		}
		must(t, os.RemoveAll(best))
		if _, err := tr.BestState(dir); err == nil || !strings.Contains(err.Error(), best) {
			t.Errorf("a best state that is gone: error %v", err)
		}
	}
}
