package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// experiment is a run that can be made again: 13 pictures in batches of 4, two
// batches an update, three epochs: six updates.
type experiment struct {
	optimizer string
	patterns  []string
	data      string
}

func (e experiment) trainer(t *testing.T) (*seq2seq.VisionEncoderDecoder, *trainer) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{Dropout: 0.1})
	if err := layers.Trainable(m, e.patterns...); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(e.data, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	task := train.NewCaptioning(&m.EncoderDecoder, 1<<20)
	data, err := train.Pictures(d, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 4, Shuffle: true, Need: task.Lacks})
	if err != nil {
		t.Fatal(err)
	}
	o := train.DefaultOptions()
	o.Epochs, o.WarmupSteps, o.GradientAccumulationSteps, o.Optimizer = 3, 2, 2, e.optimizer
	tr, err := train.New(task, train.Data[pixelBatch](data), train.Data[pixelBatch](data), o)
	if err != nil {
		t.Fatal(err)
	}
	return m, tr
}

var errStop = errors.New("stopped by the test")

func TestARunGoesOnToTheBitFromWhereverItStopped(t *testing.T) {
	for _, e := range []experiment{
		{"adamw", []string{"*"}, ""}, {"adam", []string{"crossattention"}, ""}, {"sgd", []string{"decoder"}, ""},
	} {
		t.Run(e.optimizer, func(t *testing.T) {
			e.data = tiny.Data(t, 13)
			var want []string
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
			whole, tr := e.trainer(t)
			record(tr, &want, -1)
			mustRun(t, tr)
			if len(want) != 9 {
				t.Fatalf("a run of %d lines, want 6 steps and 3 epochs: %q", len(want), want)
			}
			for stop := 1; stop <= 6; stop++ {
				dir := t.TempDir()
				var got []string
				_, tr := e.trainer(t)
				record(tr, &got, stop)
				if err := tr.Run(context.Background()); !errors.Is(err, errStop) {
					t.Fatal(err)
				}
				if err := tr.SaveState(dir, 2); err != nil {
					t.Fatal(err)
				}
				m, tr := e.trainer(t)
				record(tr, &got, -1)
				states, err := train.States(dir)
				if err != nil || len(states) != 1 {
					t.Fatal(states, err)
				}
				if err := tr.LoadState(states[0]); err != nil {
					t.Fatal(err)
				}
				mustRun(t, tr)
				if !slices.Equal(got, want) {
					t.Errorf("stopped after step %d:\n%s\nwithout a stop:\n%s", stop, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				wantWeights := weightsOf(whole)
				for name, w := range weightsOf(m) {
					if !sameBits(w, wantWeights[name]) {
						t.Errorf("stopped after step %d: %s differs", stop, name)
					}
				}
			}
		})
	}
}

func TestAStateHoldsWhatIsTrainedAndNothingElse(t *testing.T) {
	e := experiment{"adamw", []string{"h.0.crossattention"}, tiny.Data(t, 13)}
	m, tr := e.trainer(t)
	mustRun(t, tr)
	dir := t.TempDir()
	if err := tr.SaveState(dir, 1); err != nil {
		t.Fatal(err)
	}
	states, err := train.States(dir)
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	_, trained := layers.Count(m)
	for _, part := range []struct {
		folder string
		floats int
	}{{"weights", trained}, {"moments", 2 * trained}} {
		info, err := os.Stat(filepath.Join(states[0], part.folder, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Size()); got < 4*part.floats || got > 4*part.floats+4096 {
			t.Errorf("%s: %d bytes for %d floats", part.folder, got, part.floats)
		}
	}
}

func TestOnlyTheNewestStatesAreKept(t *testing.T) {
	e := experiment{"sgd", []string{"crossattention"}, tiny.Data(t, 13)}
	_, tr := e.trainer(t)
	dir := t.TempDir()
	// What a run that was killed left behind is no state.
	if err := os.Mkdir(filepath.Join(dir, ".unfinished-123"), 0o777); err != nil {
		t.Fatal(err)
	}
	tr.Hooks.Step = func(train.Step) error { return tr.SaveState(dir, 3) }
	mustRun(t, tr)
	states, err := train.States(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range states {
		names = append(names, filepath.Base(s))
	}
	if want := []string{"state-0000004-0001", "state-0000005-0002", "state-0000006-0002"}; !slices.Equal(names, want) {
		t.Errorf("states %v, want %v", names, want)
	}
}

func TestAStateOfAnotherRunIsRefused(t *testing.T) {
	e := experiment{"adamw", []string{"crossattention"}, tiny.Data(t, 13)}
	_, tr := e.trainer(t)
	mustRun(t, tr)
	dir := t.TempDir()
	if err := tr.SaveState(dir, 1); err != nil {
		t.Fatal(err)
	}
	states, err := train.States(dir)
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	other := func(change func(*experiment)) *trainer {
		o := e
		change(&o)
		_, tr := o.trainer(t)
		return tr
	}
	_, changed := e.trainer(t)
	mat.Data[float32](layers.Parameters(changed.Model)[0].Value.Value())[0]++ // a frozen weight

	damaged := t.TempDir()
	if err := os.CopyFS(damaged, os.DirFS(states[0])); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(damaged, "weights", "model.safetensors"), 1000); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tr    *trainer
		state string
		want  string
	}{
		"another optimiser":     {other(func(e *experiment) { e.optimizer = "sgd" }), states[0], "other options"},
		"other trained weights": {other(func(e *experiment) { e.patterns = []string{"decoder"} }), states[0], "frozen weights differ"},
		"other frozen weights":  {changed, states[0], "frozen weights differ"},
		"other data":            {other(func(e *experiment) { e.data = tiny.Data(t, 20) }), states[0], "other data"},
		"no state":              {tr, t.TempDir(), "state.json"},
		"a truncated state":     {tr, damaged, "model.safetensors"},
	} {
		if err := c.tr.LoadState(c.state); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.state) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// spoiled is a data set in which some pictures cannot be read.
type spoiled struct {
	datasets.Dataset
	bad []int
}

func (s spoiled) Example(i int) (datasets.Example, error) {
	e, err := s.Dataset.Example(i)
	if slices.Contains(s.bad, i) {
		e.Image = func() (vision.Image, error) { return vision.Image{}, fmt.Errorf("%s: spoiled", e.ID) }
	}
	return e, err
}

func TestUnreadablePicturesArePassedOverAndListed(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	d, err := datasets.Open(tiny.Data(t, 8), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                   string
		bad                    []int
		max, batch, accumulate int
		steps                  int // of two epochs
	}{
		{"one of a batch", []int{3}, 1, 4, 1, 4},
		{"a whole batch", []int{4, 5}, 2, 2, 1, 6},
		{"the last batch", []int{6, 7}, 2, 2, 1, 6},
		{"the last batch of an update", []int{6, 7}, 2, 2, 2, 4},
		{"a whole update", []int{4, 5, 6, 7}, 4, 2, 2, 2},
		{"all but the last", []int{0, 1, 2, 3, 4, 5, 6}, 7, 1, 8, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := train.Pictures(spoiled{d, c.bad}, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: c.batch, MaxSkipped: c.max})
			if err != nil {
				t.Fatal(err)
			}
			o := options(2, 1e-3)
			o.GradientAccumulationSteps = c.accumulate
			tr := newTrainer(t, m, data, data, o)
			var validated float64
			tr.Hooks.Epoch = func(e train.Epoch) error { validated = e.ValLoss; return nil }
			mustRun(t, tr)
			if tr.StepsDone() != c.steps || !(validated > 0) {
				t.Errorf("%d updates and validation loss %v, want %d updates", tr.StepsDone(), validated, c.steps)
			}
			var listed []int
			for _, s := range data.Skipped() {
				listed = append(listed, s.Index)
			}
			slices.Sort(listed)
			if !slices.Equal(listed, c.bad) {
				t.Errorf("skipped %v, want %v", listed, c.bad)
			}
		})
	}
	t.Run("one too many", func(t *testing.T) {
		data, err := train.Pictures(spoiled{d, []int{2, 5}}, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 2, MaxSkipped: 1})
		if err != nil {
			t.Fatal(err)
		}
		err = newTrainer(t, m, data, nil, options(1, 1e-3)).Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "02.png") || !strings.Contains(err.Error(), "05.png") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("all", func(t *testing.T) {
		data, err := train.Pictures(spoiled{d, []int{0, 1, 2, 3, 4, 5, 6, 7}}, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 2, MaxSkipped: 8})
		if err != nil {
			t.Fatal(err)
		}
		err = newTrainer(t, m, data, nil, options(1, 1e-3)).Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), "nothing to learn from") {
			t.Errorf("error %v", err)
		}
	})
}

// A run whose second batch could not be read stops after the third: it must
// go on with the fourth.
func TestBatchesThatCouldNotBeReadKeepTheirPlaceInAState(t *testing.T) {
	d, err := datasets.Open(tiny.Data(t, 4), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	history := func(stop bool) (out []float64) {
		dir, stopAt := t.TempDir(), 2
		if !stop {
			stopAt = -1
		}
		for range 2 {
			m := tiny.Captioner(t, tiny.Options{})
			data, err := train.Pictures(spoiled{d, []int{1}}, m.Processor, m.Tokenizer, train.PictureOptions{MaxSkipped: 1})
			if err != nil {
				t.Fatal(err)
			}
			tr := newTrainer(t, m, data, nil, options(1, 1e-3))
			if states, _ := train.States(dir); len(states) > 0 {
				if err := tr.LoadState(states[0]); err != nil {
					t.Fatal(err)
				}
			}
			tr.Hooks.Step = func(s train.Step) error {
				if out = append(out, s.Loss); s.Step == stopAt {
					return errStop
				}
				return nil
			}
			if err := tr.Run(context.Background()); err == nil {
				return out
			}
			if err := tr.SaveState(dir, 1); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	want, got := history(false), history(true)
	if len(want) != 3 || !slices.Equal(got, want) {
		t.Errorf("losses %v, without a stop %v", got, want)
	}
}

func TestARunFolderIsNotOverwritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "a")
	f, err := train.NewFolder(dir, map[string]int{"epochs": 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := train.NewFolder(dir, nil); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	var run struct{ Epochs int }
	if err := train.ReadRun(dir, &run); err != nil || run.Epochs != 3 {
		t.Errorf("run %+v, %v", run, err)
	}
	if err := train.ReadRun(t.TempDir(), &run); err == nil || !strings.Contains(err.Error(), train.RunFile) {
		t.Errorf("a folder without a run: error %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := train.NewFolder(filepath.Join(file, "run"), nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder below a file: error %v", err)
	}
}

func TestAResumedFolderKeepsTheLinesOfWhatWasDone(t *testing.T) {
	line := func(split string, epoch, step int) string {
		return fmt.Sprintf(`{"split":%q,"epoch":%d,"step":%d,"loss":1.5}`, split, epoch, step) + "\n"
	}
	all := []string{
		line("train", 1, 1), line("train", 1, 2), line("train_epoch", 1, 2), line("validation", 1, 2),
		line("train", 2, 3), line("train", 2, 4), line("train_epoch", 2, 4), line("validation", 2, 4), line("train", 3, 5), `{"split":"tr`,
	}
	for _, c := range []struct{ steps, epochs, lines int }{
		{0, 0, 0}, {1, 0, 1}, {2, 0, 2}, {2, 1, 4}, {3, 1, 5}, {4, 1, 6}, {4, 2, 8}, {5, 2, 9},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, train.MetricsFile)
		if err := os.WriteFile(path, []byte(strings.Join(all, "")), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := train.ResumeFolder(dir, c.steps, c.epochs)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Step(train.Step{Epoch: 9, Step: 9, Loss: 0.1 + 0.2}), f.Close()); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept, added := bytes.CutPrefix(data, []byte(strings.Join(all[:c.lines], "")))
		var m train.Metric
		if !added || json.Unmarshal(kept, &m) != nil || m.Step != 9 || *m.Loss != 0.1+0.2 {
			t.Errorf("after %d steps and %d epochs the file is\n%s", c.steps, c.epochs, data)
		}
	}
}

func TestTheNewestModelOfAllRunsIsFound(t *testing.T) {
	runs := t.TempDir()
	if got, err := train.NewestModel(filepath.Join(runs, "none")); got != "" || err != nil {
		t.Errorf("without runs: %q, %v", got, err)
	}
	m := tiny.Captioner(t, tiny.Options{})
	for _, name := range []string{"z", "a"} { // a is the newer one
		if err := m.Save(filepath.Join(runs, name, train.ModelDir), seq2seq.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(runs, "b", train.ModelDir), 0o777); err != nil { // without a model
		t.Fatal(err)
	}
	if got, err := train.NewestModel(runs); got != filepath.Join(runs, "a", train.ModelDir) || err != nil {
		t.Errorf("newest is %q, %v", got, err)
	}
}
