package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/nlpodyssey/spago/mat"
)

var finetune tiny.Command

func TestMain(m *testing.M) { finetune.Main(m) }

// quick are flags of a run of a second: 31 pictures to train on and 1 to
// validate on, four updates an epoch.
func quick(model, data, out string, more ...string) []string {
	return append([]string{"--model", model, "--data", data, "--out", out,
		"--epochs", "3", "--batch-size", "8", "--warmup-steps", "2", "--val-fraction", "0.03", "--max-length", "16"}, more...)
}

// metricsOf reads the lines of a run, which must all be well formed.
func metricsOf(t *testing.T, run string) []train.Metric {
	t.Helper()
	f, err := os.Open(filepath.Join(run, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []train.Metric
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var m train.Metric
		d := json.NewDecoder(strings.NewReader(lines.Text()))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		out = append(out, m)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestARunSaysWhatItDoesAndWritesItsFolder(t *testing.T) {
	model, out := tiny.Folder(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1}), filepath.Join(t.TempDir(), "runs", "a")
	r := finetune.Run(t, "", quick(model, tiny.Data(t, 32), out)...)
	before, err := seq2seq.Load(context.Background(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := layers.Trainable(before, "crossattention"); err != nil {
		t.Fatal(err)
	}
	total, trained := layers.Count(before)
	r.Want(t, 0, "31 pictures to train on, validation: 1 pictures", model, out,
		fmt.Sprintf("%s trained (crossattention), %s frozen", comma(trained), comma(total-trained)),
		"3 epochs, 12 updates of 8 pictures, adamw at 0.001, cosine after 2 warm-up updates",
		"epoch 1 of 3: training loss", "epoch 3 of 3: training loss", "validation loss")
	if strings.ContainsAny(r.Stderr, "\r\x1b") {
		t.Errorf("without a terminal there are control characters in %q", r.Stderr)
	}
	if strings.Count(r.Stdout, "picture") != 3 || !strings.Contains(r.Stdout, ".png  ") {
		t.Errorf("tables of captions:\n%s", r.Stdout)
	}

	var steps, epochs, validated []int
	var sum, labels float64
	for _, m := range metricsOf(t, out) {
		if m.Loss == nil || !(*m.Loss > 0) {
			t.Errorf("a line without loss: %+v", m)
		}
		switch m.Split {
		case "train":
			steps = append(steps, m.Step)
			if m.GradNorm == nil || m.LearningRate == nil || !(*m.GradNorm > 0) || m.Epoch != (m.Step+3)/4 {
				t.Errorf("step %d: %+v", m.Step, m)
			}
			sum, labels = sum+*m.Loss, labels+1
		case "train_epoch":
			epochs = append(epochs, m.Epoch)
			if d := *m.Loss - sum/labels; math.Abs(d) > 0.05 {
				t.Errorf("epoch %d: loss %v, the mean of its steps' is %v", m.Epoch, *m.Loss, sum/labels)
			}
			sum, labels = 0, 0
		case "validation":
			validated = append(validated, m.Epoch)
		default:
			t.Errorf("split %q", m.Split)
		}
	}
	if want := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	if want := []int{1, 2, 3}; !slices.Equal(epochs, want) || !slices.Equal(validated, want) {
		t.Errorf("epochs %v, validated %v, want %v", epochs, validated, want)
	}

	after, err := seq2seq.Load(context.Background(), filepath.Join(out, train.ModelDir), nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	old := layers.Parameters(before)
	for i, p := range layers.Parameters(after) {
		same := slices.Equal(mat.Data[float32](p.Value.Value()), mat.Data[float32](old[i].Value.Value()))
		if cross := strings.Contains(p.Name, ".crossattention."); !same && !cross {
			t.Errorf("%s is frozen and has changed", p.Name)
		} else if !same {
			changed++
		}
	}
	if changed == 0 {
		t.Error("nothing was trained")
	}
	if events, _ := filepath.Glob(filepath.Join(out, "tensorboard", "events.out.tfevents.*")); len(events) != 1 {
		t.Errorf("event files %v", events)
	}
	report := read(t, filepath.Join(out, train.ReportFile))
	for _, want := range []string{"<h1>a</h1>", `data-epoch="1"`, `data-epoch="3"`, `src="data:image/png;base64,`, "h.0.crossattention.c_attn.weight", "Training.learning_rate"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q", want)
		}
	}

	again := finetune.Run(t, "", quick(model, tiny.Data(t, 32), out)...)
	again.Want(t, 2, "--out", out, "--resume")
}

func TestWithJSONOnlyJSONLinesAreOnStandardOutput(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := finetune.Run(t, "", quick(tiny.Folder(t, tiny.Options{}), tiny.Data(t, 32), out, "--json", "--val-fraction", "0.1", "--samples", "2")...)
	r.Want(t, 0)
	lines := strings.Split(strings.TrimSpace(r.Stdout), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want one for each of 3 epochs and one for the run:\n%s", len(lines), r.Stdout)
	}
	for i, line := range lines[:3] {
		var e struct {
			Epoch, Step    int
			TrainLoss      float64 `json:"train_loss"`
			ValidationLoss float64 `json:"validation_loss"`
			Samples        []map[string]string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Epoch != i+1 || e.Step != 4*(i+1) || !(e.TrainLoss > 0) || !(e.ValidationLoss > 0) || len(e.Samples) != 2 {
			t.Errorf("line %d is %s", i+1, line)
		}
		for _, s := range e.Samples {
			if _, ok := s["generated"]; !ok || !strings.HasSuffix(s["image"], ".png") || !strings.Contains(s["actual"], "a ") {
				t.Errorf("sample %v", s)
			}
		}
	}
	var last struct {
		Run   string
		Steps int
	}
	if err := json.Unmarshal([]byte(lines[3]), &last); err != nil || last.Run != out || last.Steps != 12 {
		t.Errorf("last line %s (%v)", lines[3], err)
	}
}

func TestAViTAndAGPT2AreJoinedAndTheProjectionTrained(t *testing.T) {
	encoder, decoder := tiny.Parts(t, 48)
	out := filepath.Join(t.TempDir(), "run")
	r := finetune.Run(t, "", "--encoder", encoder, "--decoder", decoder, "--data", tiny.Data(t, 8), "--out", out, "--max-steps", "2", "--batch-size", "4", "--val-fraction", "0")
	r.Want(t, 0, "(crossattention, enc_to_dec_proj)", "validation: none", encoder+" joined with "+decoder)
	if _, err := seq2seq.Load(context.Background(), filepath.Join(out, train.ModelDir), nil); err != nil {
		t.Error(err)
	}
	if m := metricsOf(t, out); len(m) != 3 || m[1].Step != 2 || m[2].Split != "train_epoch" {
		t.Errorf("metrics %+v", m)
	}
}

func TestWrongUsageExitsWith2AndNamesTheFlag(t *testing.T) {
	model, data := tiny.Folder(t, tiny.Options{}), tiny.Data(t, 4)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--frobnicate", []string{"--frobnicate"}},
		{"spare", []string{`"spare"`}},
		{"--epochs many", []string{"--epochs", "many"}},
		{"--epochs 0", []string{"--epochs", "at least 1"}},
		{"--max-steps -1", []string{"--max-steps"}},
		{"--batch-size 0", []string{"--batch-size", "at least 1"}},
		{"--gradient-accumulation-steps 0", []string{"--gradient-accumulation-steps"}},
		{"--learning-rate 0", []string{"--learning-rate", "positive"}},
		{"--learning-rate NaN", []string{"--learning-rate"}},
		{"--learning-rate Inf", []string{"--learning-rate"}},
		{"--optimizer lion", []string{"--optimizer", "adamw"}},
		{"--weight-decay -1", []string{"--weight-decay"}},
		{"--lr-scheduler step", []string{"--lr-scheduler", "cosine"}},
		{"--warmup-steps -1", []string{"--warmup-steps"}},
		{"--max-grad-norm -1", []string{"--max-grad-norm"}},
		{"--ema-decay 1", []string{"--ema-decay"}},
		{"--ema-decay NaN", []string{"--ema-decay"}},
		{"--metric-for-best-model bleu", []string{"--metric-for-best-model", "cider"}},
		{"--label-smoothing 1", []string{"--label-smoothing"}},
		{"--caption longest", []string{"--caption", "longest", "random"}},
		{"--shuffle=perhaps", []string{"--shuffle"}},
		{"--dropout 1", []string{"--dropout"}},
		{"--dropout NaN", []string{"--dropout"}},
		{"--val-fraction 1", []string{"--val-fraction"}},
		{"--val-fraction NaN", []string{"--val-fraction"}},
		{"--max-length 2", []string{"--max-length"}},
		{"--max-skipped -1", []string{"--max-skipped"}},
		{"--save-steps -1", []string{"--save-steps"}},
		{"--samples -1", []string{"--samples"}},
		{"--cache-bytes -1", []string{"--cache-bytes"}},
		{"--encoder-cache-precision int8", []string{"--encoder-cache-precision", "bf16"}},
		{"--encoder-cache x --trainable *", []string{"--encoder-cache", "--trainable *"}},
		{"--threads -1", []string{"--threads"}},
		{"--seed -1", []string{"--seed"}},
		{"--encoder a --decoder b", []string{"--model", "--encoder"}},
		{"--trainable crosattention", []string{"--trainable", "crosattention", "crossattention"}},
		{"--trainable re:(", []string{"--trainable", "re:("}},
		{"--resume x", []string{"--resume", "--model", "--data"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			r := finetune.Run(t, "", append([]string{"--model", model, "--data", data, "--out", out}, strings.Fields(c.args)...)...)
			r.Want(t, 2, append(c.want, "-h for help")...)
			if r.Stdout != "" {
				t.Errorf("standard output %q", r.Stdout)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("the run folder was made")
			}
		})
	}
	finetune.Run(t, "", "--encoder", model).Want(t, 2, "--encoder", "--decoder")
	finetune.Run(t, "", "--resume", t.TempDir()).Want(t, 2, "--resume", train.RunFile)
}

func TestHelpExitsWith0AndListsTheFlags(t *testing.T) {
	r := finetune.Run(t, "", "-h")
	r.Want(t, 0)
	for _, want := range []string{"Usage: finetune", "--learning-rate float", "--trainable", "--resume", "(default 0.001)"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in the help", want)
		}
	}
	if r.Stderr != "" {
		t.Errorf("standard error %q", r.Stderr)
	}
}

func TestBadInputIsFoundAndNamed(t *testing.T) {
	model := tiny.Folder(t, tiny.Options{})
	write := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	truncated := tiny.Folder(t, tiny.Options{})
	if err := os.Truncate(filepath.Join(truncated, "model.safetensors"), 100_000); err != nil {
		t.Fatal(err)
	}
	file := write("file", "")
	good := tiny.Data(t, 4)
	for _, c := range []struct {
		name             string
		model, data, out string
		want             []string
	}{
		{"missing data", model, "no/such.jsonl", "", []string{"--data", "no/such.jsonl"}},
		{"an empty file", model, write("empty.jsonl", ""), "", []string{"--data", "empty.jsonl"}},
		{"an empty table", model, write("empty.csv", "image,caption\n"), "", []string{"--data", "empty.csv"}},
		{"a malformed line", model, write("bad.jsonl", `{"image":"a.png","caption":"a"}`+"\n"+`{"image":`+"\n"), "", []string{"--data", "bad.jsonl", "2"}},
		{"an empty caption", model, write("blank.jsonl", `{"image":"a.png","caption":" "}`+"\n"), "", []string{"--data", "blank.jsonl", "1"}},
		{"a missing model", "no/such/model", good, "", []string{"no/such/model"}},
		{"a truncated model", truncated, good, "", []string{truncated, "model.safetensors", "truncated"}},
		{"a run folder below a file", model, good, filepath.Join(file, "run"), []string{file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.out == "" {
				c.out = filepath.Join(t.TempDir(), "run")
			}
			r := finetune.Run(t, "", quick(c.model, c.data, c.out)...)
			r.Want(t, 1, c.want...)
			if strings.Contains(r.Stderr, "epoch 1 of") || strings.Contains(r.Stderr, "goroutine") {
				t.Errorf("found too late, or by a crash:\n%s", r.Stderr)
			}
		})
	}
}

func TestAnUnreadablePictureStopsTheRunOrIsPassedOver(t *testing.T) {
	model, data := tiny.Folder(t, tiny.Options{}), tiny.Data(t, 32)
	bad := filepath.Join(filepath.Dir(data), "07.png")
	if err := os.WriteFile(bad, []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "run")
	finetune.Run(t, "", quick(model, data, out)...).Want(t, 1, bad)

	out = filepath.Join(t.TempDir(), "run")
	r := finetune.Run(t, "", quick(model, data, out, "--max-skipped", "1")...)
	r.Want(t, 0, "1 pictures could not be read", bad)
	if m := metricsOf(t, out); len(m) != 18 {
		t.Errorf("%d lines, want those of 12 updates and 3 epochs", len(m))
	}
}

func TestALearningRateThatIsTooHighSaysSoAndLosesNothing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := finetune.Run(t, "", quick(tiny.Folder(t, tiny.Options{}), tiny.Data(t, 32), out,
		"--learning-rate", "1e12", "--warmup-steps", "0", "--lr-scheduler", "constant", "--trainable", "*", "--save-steps", "1")...)
	r.Want(t, 1, "step ", "learning rate 1e+12", "not finite", "lower the learning rate")
	done, skipped := 0, 0
	for _, m := range metricsOf(t, out) {
		switch m.Split {
		case "train":
			done = m.Step
		case "guard":
			skipped++
		}
	}
	if done == 0 || skipped == 0 {
		t.Fatalf("%d steps were taken and %d skipped", done, skipped)
	}
	again := finetune.Run(t, "", "--resume", out)
	again.Want(t, 1, fmt.Sprintf("after update %d", done), fmt.Sprintf("step %d ", done+1), "not finite")
}

func TestStagesTrainOneAfterTheOther(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	args := []string{"--model", tiny.Folder(t, tiny.Options{}), "--data", tiny.Data(t, 12), "--batch-size", "4", "--out", out}
	finetune.Run(t, "", append(args, "--stage", "epochs=1 lr=1e-4", "--epochs", "2")...).Want(t, 2, "--epochs")
	finetune.Run(t, "", append(args, "--stage", "lr=1e-4")...).Want(t, 2, "--stage 1: needs epochs or steps")
	finetune.Run(t, "", append(args, "--stage", "epochs=1", "--stage", "epochs=1 train=nothing")...).Want(t, 2, "--stage 2", "nothing")
	r := finetune.Run(t, "", append(args, "--stage", "epochs=1 lr=1e-4", "--stage", "steps=2 train=decoder.*,encoder.* lr=1e-5 lr.wte=1e-6")...)
	r.Want(t, 0, "stage 1 of 2 from update 1: epochs=1", "stage 2 of 2 from update 4: steps=2", "lr.wte=1e-06")
	if page := read(t, filepath.Join(out, train.ReportFile)); !strings.Contains(page, "<h2>Stages</h2>") || !strings.Contains(page, "lr.wte=1e-06") {
		t.Error("the report does not show the stages")
	}
}
