package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// spoilt says that some of its losses are others than they are.
type spoilt struct {
	*train.Captioning[vision.Pixels] `param:""`
	calls                            int
	loss                             func(call int, loss float64) float64
}

func (s *spoilt) Loss(b pixelBatch, o losses.Options, random *layers.Random) (losses.Result, error) {
	r, err := s.Captioning.Loss(b, o, random)
	if random != nil { // not in evaluation
		s.calls++
		r.Value = s.loss(s.calls, r.Value)
	}
	return r, err
}

// guarded trains for 30 epochs of two updates.
func guarded(t *testing.T, g train.GuardOptions, loss func(call int, loss float64) float64) (*train.Trainer[pixelBatch], *[]train.Skip, *[]train.Step) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	if err := layers.Trainable(m, "crossattention"); err != nil {
		t.Fatal(err)
	}
	o := options(30, 1e-3)
	o.Guard = g
	data := pictures(t, m, 8, train.PictureOptions{BatchSize: 4})
	tr, err := train.New(train.Model[pixelBatch](&spoilt{Captioning: train.NewCaptioning(&m.EncoderDecoder, 1<<30), loss: loss}), train.Data[pixelBatch](data), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	var skips []train.Skip
	var steps []train.Step
	tr.Hooks.Skip = func(s train.Skip) error { skips = append(skips, s); return nil }
	tr.Hooks.Step = func(s train.Step) error { steps = append(steps, s); return nil }
	return tr, &skips, &steps
}

func during(first, last int, value float64) func(int, float64) float64 {
	return func(call int, loss float64) float64 {
		if call >= first && call <= last {
			return value
		}
		return loss
	}
}

func TestTheGuardSkipsBadUpdatesAndHalvesTheLearningRateAfterSeveral(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, last int
		value       float64
		why         string
		rate        float64 // at the end
	}{
		{"one that is not a number", 5, 5, math.NaN(), "the loss is NaN: the update was skipped", 1e-3},
		{"four infinite ones", 5, 8, math.Inf(1), "the loss is +Inf", 5e-4},
		{"a huge one", 40, 40, 1e4, "times its running mean", 1e-3},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, skips, steps := guarded(t, train.DefaultGuard(), during(c.first, c.last, c.value))
			mustRun(t, tr)
			n := c.last - c.first + 1
			if len(*skips) != n || len(*steps) != 60-n {
				t.Fatalf("%d updates skipped and %d made, want %d and %d", len(*skips), len(*steps), n, 60-n)
			}
			if s := (*skips)[0]; s.Step != c.first || !strings.Contains(s.Why, c.why) {
				t.Errorf("skipped %+v", s)
			}
			if got := (*steps)[len(*steps)-1].LearningRate; got != c.rate {
				t.Errorf("the last learning rate is %v, want %v", got, c.rate)
			}
		})
	}
}

func TestASkippedUpdateTouchesNoWeight(t *testing.T) {
	tr, _, _ := guarded(t, train.DefaultGuard(), during(3, 5, math.NaN()))
	var before map[string][]float32
	tr.Hooks.Step = func(train.Step) error { before = weightsOf(tr.Model); return nil }
	skipped := 0
	tr.Hooks.Skip = func(train.Skip) error {
		skipped++
		for name, w := range weightsOf(tr.Model) {
			if !sameBits(w, before[name]) {
				t.Errorf("%s changed in the update that was skipped", name)
			}
		}
		return nil
	}
	mustRun(t, tr)
	if skipped != 3 {
		t.Errorf("%d updates skipped, want 3", skipped)
	}
}

func TestTheGuardGivesUpAfterTooManyBadUpdatesInARow(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  error
	}{{math.NaN(), train.ErrNotFinite}, {1e5, train.ErrHuge}} {
		tr, skips, _ := guarded(t, train.DefaultGuard(), during(30, 60, c.value))
		err := tr.Run(context.Background())
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "after 10 updates in a row") || len(*skips) != 10 {
			t.Errorf("%d updates skipped, then %v", len(*skips), err)
		}
	}
}

func TestTheGuardGoesOnToTheBit(t *testing.T) {
	spoil := func(call int, loss float64) float64 {
		if call >= 30 && call < 35 {
			return math.NaN()
		}
		return loss
	}
	tell := func(steps []train.Step) (out []string) {
		for _, s := range steps {
			out = append(out, fmt.Sprint(s.Step, s.Loss, s.GradNorm, s.LearningRate))
		}
		return out
	}
	whole, _, all := guarded(t, train.DefaultGuard(), spoil)
	mustRun(t, whole)
	first, _, early := guarded(t, train.DefaultGuard(), spoil)
	record := first.Hooks.Step
	first.Hooks.Step = func(s train.Step) error {
		if err := record(s); err != nil || s.Step < 36 {
			return err
		}
		return errStop
	}
	if err := first.Run(context.Background()); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	dir := t.TempDir()
	must(t, first.SaveState(dir, 1))
	states, err := train.States(dir)
	must(t, err)
	second, _, late := guarded(t, train.DefaultGuard(), func(_ int, loss float64) float64 { return loss })
	must(t, second.LoadState(states[0]))
	mustRun(t, second)
	if got, want := append(tell(*early), tell(*late)...), tell(*all); !slices.Equal(got, want) {
		t.Errorf("stopped and resumed:\n%q\nwant\n%q", got, want)
	}
}

func TestTheRunFolderAndItsReportHaveWhatTheGuardDid(t *testing.T) {
	dir := t.TempDir()
	f, err := train.NewFolder(dir, map[string]int{})
	must(t, err)
	must(t, f.Skip(train.Skip{Epoch: 1, Step: 3, Loss: math.NaN(), GradNorm: math.NaN(), LearningRate: 1e-3, Why: "the loss is NaN: the update was skipped"}))
	must(t, f.Report())
	must(t, f.Close())
	for file, want := range map[string]string{train.MetricsFile: `"split":"guard"`, train.ReportFile: "the loss is NaN: the update was skipped"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		if !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %s", file, want)
		}
	}
}

func TestASkippedUpdateDoesNotAdvanceTheSchedule(t *testing.T) {
	tr, _, steps := guarded(t, train.GuardOptions{MaxSkipped: 10}, during(3, 5, math.NaN()))
	schedule, err := optim.NewSchedule("linear", 4, 60)
	must(t, err)
	tr.Optimizer.Groups()[0].Schedule = schedule
	mustRun(t, tr)
	for i, s := range *steps {
		if want := 1e-3 * schedule(i); s.Step != i+1 || s.LearningRate != want {
			t.Fatalf("update %d is number %d, with a learning rate of %v, want %v", i+1, s.Step, s.LearningRate, want)
		}
	}
	if len(*steps) != 57 {
		t.Errorf("%d updates made, want 57", len(*steps))
	}
}
