package train_test

import (
	"context"
	"errors"
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
