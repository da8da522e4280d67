//go:build unix

package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// reach waits until a run's metrics have some lines; it reports false if the
// run ends before.
func reach(t *testing.T, p *exec.Cmd, out string, lines int) bool {
	t.Helper()
	for range 60_000 {
		data, err := os.ReadFile(filepath.Join(out, train.MetricsFile))
		if err == nil && strings.Count(string(data), "\n") >= lines {
			return true
		}
		if strings.Contains(string(data), `"validation","epoch":3`) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("the run does not get to line %d", lines)
	return false
}

func TestAnAugmentedRunGoesOnToTheBit(t *testing.T) {
	model, data := tiny.Folder(t, tiny.Options{}), tiny.Data(t, 32)
	run := func(more ...string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "run")
		finetune.Run(t, "", quick(model, data, out, more...)...).Want(t, 0)
		return out
	}
	losses := func(out string) (all []float64) {
		for _, m := range metricsOf(t, out) {
			all = append(all, *m.Loss)
		}
		return all
	}
	augment := []string{"--augment", "random_resized_crop=0.4,random_horizontal_flip,color_jitter"}
	whole, plain := losses(run(augment...)), losses(run())
	if slices.Equal(whole, plain) {
		t.Error("augmentation changes nothing")
	}
	out := filepath.Join(t.TempDir(), "run")
	p := finetune.Start(t, "", quick(model, data, out, augment...)...)
	reach(t, p, out, 5)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	tiny.Finish(t, p)
	finetune.Run(t, "", "--resume", out, "--threads", "1").Want(t, 0)
	if got := losses(out); !slices.Equal(got, whole) {
		t.Errorf("resumed %v, whole %v", got, whole)
	}
	finetune.Run(t, "", quick(model, data, out+"2", "--augment", "crop")...).Want(t, 2, "--augment", "random_resized_crop")
}

func TestAKilledRunGoesOnToTheBit(t *testing.T) { killed(t, newTrial(t)) }

func TestAKilledRunOfStagesWithAveragesAndAnEncoderCacheGoesOnToTheBit(t *testing.T) {
	c := newTrialOf(t, "--stage", "epochs=1 train=crossattention,enc_to_dec_proj", "--stage", "steps=8 train=* lr=1e-4 lr.wte=1e-5",
		"--stage", "epochs=1 train=h.1", "--ema-decay", "0.95", "--trainable", "crossattention", "--load-best-model-at-end",
		"--encoder-cache", filepath.Join(t.TempDir(), "cache"))
	killed(t, c)
}

// killed kills runs at random moments, and lets them go on with other threads.
func killed(t *testing.T, c trial) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("random moments from seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for range 3 {
		out := filepath.Join(t.TempDir(), "run")
		args := append(c.args, "--out", out)
		for _, threads := range []string{"1", "2", "3"} {
			p := finetune.Start(t, "", append(args, "--threads", threads)...)
			if reach(t, p, out, 1+random.IntN(28)) {
				time.Sleep(time.Duration(random.IntN(20_000)) * time.Microsecond)
			}
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if tiny.Finish(t, p).Code == -1 {
				kills++
			}
			args = []string{"--resume", out}
		}
		finetune.Run(t, "", "--resume", out, "--threads", "2").Want(t, 0, "run folder")
		c.check(t, out)
	}
	if kills < 3 {
		t.Errorf("only %d runs were killed before their end", kills)
	}
}

func TestAnInterruptedRunSaysHowToGoOn(t *testing.T) {
	c := newTrial(t)
	out := filepath.Join(t.TempDir(), "run")
	p := finetune.Start(t, "", append(c.args, "--out", out, "--save-steps", "0", "--epochs", "3")...)
	reach(t, p, out, 5)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r := tiny.Finish(t, p)
	r.Want(t, 1, "stopped after step", "--resume "+out)
	states, err := train.States(filepath.Join(out, train.StateDir))
	if err != nil || len(states) == 0 {
		t.Fatalf("states %v, %v", states, err)
	}
	finetune.Run(t, "", "--resume", out, "--epochs", "9").Want(t, 2, "--epochs")
	finetune.Run(t, "", "--resume", out).Want(t, 0, "after update")
	c.check(t, out)
	// What is finished stays as it is.
	finetune.Run(t, "", "--resume", out).Want(t, 0)
	c.check(t, out)
}

// A limit on the size of files stands in for a full disk: the metrics still
// fit, a model does not.
func TestAFullDiskDestroysNothing(t *testing.T) {
	c := newTrial(t)
	out := filepath.Join(t.TempDir(), "run")
	p := finetune.Start(t, "", append(c.args, "--out", out)...)
	reach(t, p, out, 4)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	tiny.Finish(t, p).Want(t, 1)
	full := tiny.Command("/bin/sh").Run(t, "", "-c", `ulimit -f 40; exec "$0" "$@"`, string(finetune), "--resume", out)
	full.Want(t, 1, out, "after update")
	if strings.Contains(full.Stderr, "goroutine") {
		t.Errorf("a crash:\n%s", full.Stderr)
	}
	finetune.Run(t, "", "--resume", out).Want(t, 0)
	c.check(t, out)
}
