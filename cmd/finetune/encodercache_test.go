package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
)

// losses are those of a run, in order.
func losses(t *testing.T, run string) (out []float64) {
	t.Helper()
	for _, m := range metricsOf(t, run) {
		out = append(out, *m.Loss)
	}
	return out
}

func TestASecondRunOnAnEncoderCacheNeverRunsTheEncoder(t *testing.T) {
	model, data, dir := tiny.Folder(t, tiny.Options{Dropout: 0.1}), tiny.Data(t, 32), t.TempDir()
	plain := filepath.Join(dir, "plain")
	finetune.Run(t, "", quick(model, data, plain)...).Want(t, 0)
	want := losses(t, plain)
	for _, c := range []struct {
		run, precision, before, encoded string
	}{
		{"a", "fp32", "0 pictures", "ran on 32 pictures"},
		{"b", "fp32", "32 pictures", "ran on 0 pictures"},
		{"c", "bf16", "0 pictures", "ran on 32 pictures"},
		{"d", "bf16", "32 pictures", "ran on 0 pictures"},
	} {
		out, cache := filepath.Join(dir, c.run), filepath.Join(dir, "cache")
		r := finetune.Run(t, "", quick(model, data, out, "--encoder-cache", cache, "--encoder-cache-precision", c.precision)...)
		r.Want(t, 0, cache+": "+c.before, "the encoder "+c.encoded+"; "+cache+" has 32")
		if got := losses(t, out); slices.Equal(got, want) != (c.precision == "fp32") {
			t.Errorf("run %s: losses %v, without a cache %v", c.run, got, want)
		}
	}
}

func TestAKilledRunLeavesAnEncoderCacheThatTheNextUses(t *testing.T) {
	model, data, dir := tiny.Folder(t, tiny.Options{Dropout: 0.1}), tiny.Data(t, 32), t.TempDir()
	plain, out, cache := filepath.Join(dir, "plain"), filepath.Join(dir, "run"), filepath.Join(dir, "cache")
	finetune.Run(t, "", quick(model, data, plain)...).Want(t, 0)
	p := finetune.Start(t, "", quick(model, data, out, "--encoder-cache", cache, "--save-steps", "1")...)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if files, _ := filepath.Glob(filepath.Join(cache, "*", "*.states")); len(files) > 0 {
			if info, err := os.Stat(files[0]); err == nil && info.Size() > 10_000 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no states were written within a minute")
		}
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	tiny.Finish(t, p)
	finetune.Run(t, "", "--resume", out).Want(t, 0, cache+" has 32")
	if got, want := losses(t, out), losses(t, plain); !slices.Equal(got, want) {
		t.Errorf("losses %v, want %v", got, want)
	}
}
