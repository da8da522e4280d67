package main

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// trial is a run with everything random in it, and what comes of it when it
// is not stopped: 31 pictures, 8 updates an epoch, 24 in all, and a state
// after every third.
type trial struct {
	args           []string
	metrics, model string // contents of the files
}

func newTrial(t *testing.T) trial {
	t.Helper()
	return newTrialOf(t, "--epochs", "3", "--trainable", "crossattention,enc_to_dec_proj,h.1")
}

// newTrialOf trains as more flags say, for as many updates and epochs.
func newTrialOf(t *testing.T, more ...string) trial {
	t.Helper()
	args := append([]string{"--model", tiny.Folder(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1}), "--data", tiny.Data(t, 32),
		"--batch-size", "4", "--warmup-steps", "5", "--val-fraction", "0.03", "--save-steps", "3",
		"--samples", "1", "--max-length", "12"}, more...)
	out := filepath.Join(t.TempDir(), "whole")
	finetune.Run(t, "", append(args, "--out", out, "--threads", "1")...).Want(t, 0)
	return trial{args, untimed(read(t, filepath.Join(out, train.MetricsFile))), read(t, modelFile(out))}
}

// untimed leaves out of metrics how long things took.
func untimed(metrics string) string {
	return regexp.MustCompile(`,"seconds":[^,}]*`).ReplaceAllString(metrics, "")
}

func modelFile(run string) string { return filepath.Join(run, train.ModelDir, "model.safetensors") }

func (c trial) check(t *testing.T, out string) {
	t.Helper()
	if got := untimed(read(t, filepath.Join(out, train.MetricsFile))); got != c.metrics {
		t.Errorf("metrics are\n%s\nof a run never stopped\n%s", got, c.metrics)
	}
	if read(t, modelFile(out)) != c.model {
		t.Error("the weights are not those of a run never stopped")
	}
}

func TestResultsDoNotDependOnTheThreads(t *testing.T) {
	c := newTrial(t)
	out := filepath.Join(t.TempDir(), "run")
	finetune.Run(t, "", append(c.args, "--out", out, "--threads", "3")...).Want(t, 0)
	c.check(t, out)
}
