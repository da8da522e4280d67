package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// A rate that is far too high makes the first epochs the best.
var tooFast = []string{"--epochs", "3", "--learning-rate", "0.1", "--trainable", "decoder", "--warmup-steps", "0", "--lr-scheduler", "constant", "--val-fraction", "0.2", "--save-total-limit", "1"}

func TestTheModelOfTheBestEpochIsKept(t *testing.T) {
	model, data := tiny.Folder(t, tiny.Options{}), tiny.Data(t, 20)
	for _, metric := range []string{"loss", "cider"} {
		t.Run(metric, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			args := quick(model, data, out, append(tooFast, "--metric-for-best-model", metric)...)
			finetune.Run(t, "", args...).Want(t, 0, "the best epoch was", "validation "+metric, "the best so far")
			last := read(t, modelFile(out))
			best := 0
			var values []float64
			for _, m := range metricsOf(t, out) {
				if m.Split != "validation" {
					continue
				}
				value := -*m.Loss
				if metric == "cider" {
					value = *m.Score
				}
				if values = append(values, value); value > values[best] {
					best = len(values) - 1
				}
			}
			if len(values) != 3 || best == 2 {
				t.Fatalf("values %v: the last is the best, so the test shows nothing", values)
			}
			states, err := train.States(filepath.Join(out, train.StateDir))
			if err != nil || len(states) != 2 {
				t.Fatalf("states %v, %v, want the best and the last", states, err)
			}

			// The same run again, told to keep the best, and the run that is done.
			again := filepath.Join(t.TempDir(), "run")
			finetune.Run(t, "", quick(model, data, again, append(tooFast, "--metric-for-best-model", metric, "--load-best-model-at-end")...)...).Want(t, 0)
			finetune.Run(t, "", "--resume", out, "--load-best-model-at-end").Want(t, 0)
			kept := read(t, modelFile(out))
			if kept == last || kept != read(t, modelFile(again)) {
				t.Error("the best model is not what is kept")
			}
			if got := measure(t, out, data, metric); !near(got, values[best]) {
				t.Errorf("the model that is kept has %v, want %v of epoch %d", got, values[best], best+1)
			}
			finetune.Run(t, "", "--resume", out, "--load-best-model-at-end=false").Want(t, 0)
			if read(t, modelFile(out)) != last {
				t.Error("the last model is not what is kept")
			}
		})
	}
	out := filepath.Join(t.TempDir(), "run")
	for _, flags := range [][]string{{"--metric-for-best-model", "cider"}, {"--load-best-model-at-end"}} {
		finetune.Run(t, "", quick(model, data, out, append(flags, "--val-fraction", "0")...)...).Want(t, 2, flags[0], "validation data")
	}
}

func near(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }

// measure gives a saved model's negative loss, or CIDEr, on what a run
// validates on.
func measure(t *testing.T, run, data, metric string) float64 {
	t.Helper()
	m, err := seq2seq.Load(context.Background(), filepath.Join(run, train.ModelDir), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(data, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, validation := datasets.Split(d, 0.2, 42)
	o := evaluate.DefaultOptions(m)
	o.Caption = datasets.FirstCaption
	o.Generation.MaxNewTokens = min(16, m.Decoder.MaxLength()-1)
	r, err := evaluate.Model(context.Background(), m, validation, o)
	if err != nil {
		t.Fatal(err)
	}
	if metric == "cider" {
		return r.Scores.CIDEr
	}
	return -r.Likelihood.Loss
}
