package train_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

func stages(t *testing.T, texts ...string) []train.Stage {
	t.Helper()
	out, err := train.ReadStages(strings.NewReader(strings.Join(texts, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// staged is a run over 13 pictures in batches of 4: four updates an epoch.
func staged(t *testing.T, data string, texts ...string) (*seq2seq.VisionEncoderDecoder, *trainer, error) {
	t.Helper()
	return stagedWith(t, data, func(*train.Options) {}, texts...)
}

// stagedWith changes the options.
func stagedWith(t *testing.T, data string, change func(*train.Options), texts ...string) (*seq2seq.VisionEncoderDecoder, *trainer, error) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1})
	if err := layers.Trainable(m, "crossattention"); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(data, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	task := train.NewCaptioning(&m.EncoderDecoder, 1<<20)
	pictures, err := train.Pictures(d, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 4, Shuffle: true, Need: task.Lacks})
	if err != nil {
		t.Fatal(err)
	}
	o := train.DefaultOptions()
	o.Stages, o.WarmupSteps, o.LRScheduler = stages(t, texts...), 0, "constant"
	change(&o)
	tr, err := train.New(task, train.Data[pixelBatch](pictures), train.Data[pixelBatch](pictures), o)
	return m, tr, err
}

var threeStages = []string{"epochs=1", "steps=6 train=* lr=1e-4 lr.wte=1e-5 schedule=linear warmup=2", "epochs=1 train=h.0 lr=2e-4"}

func TestEachStageTrainsWhatItNamesAtItsOwnRates(t *testing.T) {
	m, tr, err := staged(t, tiny.Data(t, 13), threeStages...)
	if err != nil {
		t.Fatal(err)
	}
	if tr.TotalSteps() != 4+6+4 {
		t.Errorf("%d updates in all, want 14", tr.TotalSteps())
	}
	before := weightsOf(m)
	var begun, rates []string
	changed := map[int]map[string]bool{}
	tr.Hooks.Stage = func(s train.StageStart) error {
		begun = append(begun, fmt.Sprintf("%d of %d: epoch %d, step %d, %d updates", s.Number, s.Of, s.Epoch, s.Step, s.Steps))
		return nil
	}
	tr.Hooks.Step = func(s train.Step) error {
		rates = append(rates, fmt.Sprintf("%.3g", s.LearningRate))
		if changed[s.Stage] == nil {
			changed[s.Stage] = map[string]bool{}
		}
		now := weightsOf(m)
		for name, w := range now {
			if !sameBits(w, before[name]) {
				changed[s.Stage][name] = true
			}
		}
		before = now
		// What stays trained keeps its moments, what joins begins with none.
		for name, n := range tr.Optimizer.State().Updates {
			want := s.Step
			if s.Stage > 1 && !strings.Contains(name, "crossattention") {
				want -= 4
			}
			if n != want {
				t.Errorf("step %d: %s has had %d updates, want %d", s.Step, name, n, want)
			}
		}
		return nil
	}
	mustRun(t, tr)
	if want := []string{"1 of 3: epoch 1, step 1, 4 updates", "2 of 3: epoch 2, step 5, 6 updates", "3 of 3: epoch 4, step 11, 4 updates"}; !slices.Equal(begun, want) {
		t.Errorf("stages %q, want %q", begun, want)
	}
	want := strings.Fields("0.001 0.001 0.001 0.001  0 5e-05 0.0001 7.5e-05 5e-05 2.5e-05  0.0002 0.0002 0.0002 0.0002")
	if !slices.Equal(rates, want) {
		t.Errorf("learning rates %q, want %q", rates, want)
	}
	for stage, pattern := range map[int]string{1: "crossattention", 2: "*", 3: "h.0"} {
		params := layers.Parameters(m)
		matched, err := layers.Match(params, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range params {
			if changed[stage][p.Name] && !matched[i] {
				t.Errorf("stage %d changed %s, which it does not train", stage, p.Name)
			}
		}
		if len(changed[stage]) == 0 {
			t.Errorf("stage %d changed nothing", stage)
		}
	}
	encoder := false
	for name := range changed[2] {
		encoder = encoder || strings.HasPrefix(name, "encoder.")
	}
	if !encoder {
		t.Error("the encoder was not trained in the stage that names it")
	}
}

func TestARunGoesOnToTheBitInTheMiddleOfAStage(t *testing.T) {
	data := tiny.Data(t, 13)
	record := func(tr *trainer, to *[]string, stopAt int) {
		tr.Hooks.Step = func(s train.Step) error {
			*to = append(*to, fmt.Sprintf("step %d %v %v %v", s.Step, s.Loss, s.GradNorm, s.LearningRate))
			if s.Step == stopAt {
				return errStop
			}
			return nil
		}
		tr.Hooks.Epoch = func(e train.Epoch) error {
			*to = append(*to, fmt.Sprintf("epoch %d %v %v", e.Epoch, e.TrainLoss, e.ValLoss))
			return nil
		}
	}
	var want []string
	whole, tr, err := staged(t, data, threeStages...)
	if err != nil {
		t.Fatal(err)
	}
	record(tr, &want, -1)
	mustRun(t, tr)
	wantWeights := weightsOf(whole)
	for stop := 1; stop <= 14; stop++ {
		dir := t.TempDir()
		var got []string
		_, tr, _ := staged(t, data, threeStages...)
		record(tr, &got, stop)
		if err := tr.Run(context.Background()); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		if err := tr.SaveState(dir, 2); err != nil {
			t.Fatal(err)
		}
		states, err := train.States(dir)
		if err != nil || len(states) != 1 {
			t.Fatal(states, err)
		}
		m, tr, _ := staged(t, data, threeStages...)
		record(tr, &got, -1)
		if err := tr.LoadState(states[0]); err != nil {
			t.Fatal(err)
		}
		mustRun(t, tr)
		if !slices.Equal(got, want) {
			t.Errorf("stopped after step %d:\n%s\nwithout a stop:\n%s", stop, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for name, w := range weightsOf(m) {
			if !sameBits(w, wantWeights[name]) {
				t.Errorf("stopped after step %d: %s differs", stop, name)
			}
		}
	}
}

func TestAStageIsWrittenAsItIsRead(t *testing.T) {
	for _, text := range append(threeStages[:2:2], "epochs=2 steps=3 train=a.*,b lr=0.5 lr.wte=1e-06 lr.*.bias=2 schedule=cosine warmup=0") {
		s, err := train.ParseStage(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := train.ParseStage(s.String())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%q is read as %+v, written as %q, and read as %+v, %v", text, s, s.String(), again, err)
		}
	}
	listed := stages(t, `[{"epochs": 1, "train": ["h.1"], "rates": [{"pattern": "wte", "lr": 1e-6}]}]`)
	lines := stages(t, "# comment", "", "epochs=1 train=h.1 lr.wte=1e-6")
	if !reflect.DeepEqual(listed, lines) {
		t.Errorf("as JSON %+v, as a line %+v", listed, lines)
	}
}

func TestAStageThatMakesNoSenseIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"epochs":                  "NAME=VALUE",
		"epochs=":                 "NAME=VALUE",
		"epochs=one":              "not a number",
		"epochs=1 epochs=2":       "given twice",
		"epochs=1 rate=2":         "no such setting",
		"epochs=1 lr.=2":          "no such setting",
		"epochs=1 lr=0":           "positive",
		"epochs=1 lr=NaN":         "positive",
		"epochs=1 lr=-1":          "positive",
		"lr=1":                    "epochs or steps",
		"epochs=-1":               "negative",
		"epochs=1 warmup=-1":      "negative",
		"epochs=1 lr.wte=0":       "lr.wte must be positive",
		"epochs=1 schedule=steps": "constant, linear or cosine",
		"epochs=1 train=nothing":  `"nothing" matches none`,
		"epochs=1 lr.wte=1e-3":    `"wte" matches none`, // it is not trained
	} {
		s, err := train.ParseStage(text)
		if err == nil {
			o := train.DefaultOptions()
			o.Stages = []train.Stage{s}
			if err = o.Check(); err == nil {
				_, _, err = staged(t, tiny.Data(t, 4), text)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
	if _, err := train.ReadStages(strings.NewReader("# nothing\n")); err == nil {
		t.Error("a file without stages is read")
	}
}

func TestTheReportMarksWhereStagesBegin(t *testing.T) {
	for _, c := range []struct {
		stages []string
		want   string
	}{{threeStages, `"stages":[1,5,11]`}, {threeStages[:1], `"stages":[]`}} {
		_, tr, err := staged(t, tiny.Data(t, 13), c.stages...)
		must(t, err)
		dir := t.TempDir()
		f, err := train.NewFolder(dir, map[string]int{})
		must(t, err)
		tr.Hooks.Stage, tr.Hooks.Step = f.Stage, f.Step
		mustRun(t, tr)
		must(t, f.Report())
		must(t, f.Close())
		page, err := os.ReadFile(filepath.Join(dir, train.ReportFile))
		must(t, err)
		if !strings.Contains(string(page), c.want) {
			t.Errorf("the report of %d stages lacks %s", len(c.stages), c.want)
		}
	}
}
