package train_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// sitting records the epochs first to last of two steps each, as a run does.
func sitting(t *testing.T, f *train.Folder, first, last int) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	if err := layers.Trainable(m, "*.h.0.crossattention.q_attn.*"); err != nil {
		t.Fatal(err)
	}
	for _, p := range layers.Parameters(m) {
		if p.Value.RequiresGrad() {
			p.Value.AccGrad(p.Value.Value().(mat.Matrix))
		}
	}
	for epoch := first; epoch <= last; epoch++ {
		for step := 2*epoch - 1; step <= 2*epoch; step++ {
			must(t, f.Step(train.Step{Epoch: epoch, Step: step, Loss: 8 / float64(step), GradNorm: 1, LearningRate: 1e-3}))
			must(t, f.Histograms(m, step))
		}
		e := train.Epoch{Epoch: epoch, Step: 2 * epoch, TrainLoss: 6 / float64(epoch), ValLoss: 7 / float64(epoch), Duration: 1500 * time.Millisecond}
		must(t, f.Epoch(e))
		must(t, f.Samples(e, []train.Sample{
			{ID: "0", Picture: picture(t, 0, 1), Actual: []string{"a red square", "Red!"}, Generated: fmt.Sprintf("thing %d", epoch)},
			{ID: "1", Picture: picture(t, 1, 20), Actual: []string{"a red bar"}, Generated: " A red bar"},
			{ID: "none", Actual: []string{"nothing"}, Generated: "red!"},
		}))
		must(t, f.Report())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func picture(t *testing.T, i, scale int) vision.Image {
	t.Helper()
	drawn, _ := tiny.Picture(i)
	img := vision.FromImage(drawn)
	return img.Resize(scale*img.Width, 2*scale*img.Height, vision.Nearest)
}

// shown is what the script of a report reads, and the page itself.
type shown struct {
	page  string
	Steps struct {
		Step []int
		Loss []*float64
	}
	Epochs struct {
		Step              []int
		Train, Validation []*float64
	}
	Tensors []struct {
		Name               string
		Weights, Gradients []struct{ Step int }
	}
}

func readReport(t *testing.T, dir string) (s shown) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(dir, train.ReportFile))
	must(t, err)
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(page)
	if data == nil {
		t.Fatal("the report has no data")
	}
	must(t, json.Unmarshal(data[1], &s))
	s.page = string(page)
	return s
}

func TestTheReportShowsWhatWasRecorded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "zebra")
	f, err := train.NewFolder(dir, map[string]any{"Seed": 42, "Training": map[string]any{"optim": "adamw"}, "Model": "", "Trainable": nil})
	must(t, err)
	sitting(t, f, 1, 2)
	must(t, f.Close())
	s := readReport(t, dir)
	for _, want := range []string{
		"<h1>zebra</h1>", "thing", `data-epoch="1"`, `data-epoch="2"`, "Epoch 2: 1 of 3 right", "3.000</td><td>3.500", "1.5 s",
		`<th scope="row">Seed</th><td>42</td>`, `<th scope="row">Training.optim</th><td>adamw</td>`, `<th scope="row">Go</th><td>go`,
	} {
		if !strings.Contains(s.page, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, empty := range []string{">Model<", ">Trainable<"} {
		if strings.Contains(s.page, empty) {
			t.Errorf("the report has the empty setting %s", empty)
		}
	}
	if got := fmt.Sprint(s.Steps.Step, *s.Steps.Loss[3], s.Epochs.Step, *s.Epochs.Train[1], *s.Epochs.Validation[1]); got != "[1 2 3 4] 2 [2 4] 3 3.5" {
		t.Errorf("curves %s", got)
	}
	if len(s.Tensors) != 2 || len(s.Tensors[0].Weights) != 4 || len(s.Tensors[0].Gradients) != 4 || !strings.HasSuffix(s.Tensors[0].Name, "h.0.crossattention.q_attn.weight") {
		t.Errorf("histograms %+v", s.Tensors)
	}
}

func TestTheReportOfAResumedRunIsWhole(t *testing.T) {
	whole, stopped := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	for _, dir := range []string{whole, stopped} {
		f, err := train.NewFolder(dir, nil)
		must(t, err)
		if dir == whole {
			sitting(t, f, 1, 4)
		} else {
			sitting(t, f, 1, 3) // of which the state of epoch 2 is the newest
			must(t, f.Close())
			f, err = train.ResumeFolder(dir, 4, 2)
			must(t, err)
			sitting(t, f, 3, 4)
		}
		must(t, f.Close())
	}
	// The pages are written at different times.
	written := regexp.MustCompile(`(?s)<p class="muted">Training report.*?</p>`)
	a, b := written.ReplaceAllString(readReport(t, whole).page, ""), written.ReplaceAllString(readReport(t, stopped).page, "")
	if a != b {
		t.Error("the report differs from that of a run never stopped")
	}
	for _, name := range []string{train.MetricsFile, train.SamplesFile, "histograms.jsonl"} {
		a, errA := os.ReadFile(filepath.Join(whole, name))
		b, errB := os.ReadFile(filepath.Join(stopped, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs from that of a run never stopped (%v, %v)", name, errA, errB)
		}
	}
}

func TestARunWithoutEpochsValidationOrSettingsHasAReport(t *testing.T) {
	dir := t.TempDir()
	f, err := train.NewFolder(dir, nil)
	must(t, err)
	must(t, f.Report())
	if s := readReport(t, dir); len(s.Steps.Step) != 0 || strings.Contains(s.page, "<section") && !strings.Contains(s.page, `id="settings"`) {
		t.Errorf("nothing happened, and the report shows %+v", s.Steps)
	}
	must(t, f.Step(train.Step{Epoch: 1, Step: 1, Loss: math.NaN(), GradNorm: math.Inf(1)}))
	must(t, f.Epoch(train.Epoch{Epoch: 1, Step: 1, TrainLoss: 2, ValLoss: math.NaN()}))
	must(t, f.Report())
	if s := readReport(t, dir); len(s.Steps.Loss) != 1 || s.Steps.Loss[0] != nil || s.Epochs.Validation[0] != nil || *s.Epochs.Train[0] != 2 {
		t.Errorf("the report shows %+v", s)
	}
	must(t, f.Close())
}

func TestPicturesAreKeptOnceAndSmall(t *testing.T) {
	dir := t.TempDir()
	f, err := train.NewFolder(dir, nil)
	must(t, err)
	sitting(t, f, 1, 3)
	must(t, f.Close())
	files, err := filepath.Glob(filepath.Join(dir, "samples", "*.png"))
	must(t, err)
	var sizes []string
	for _, name := range files {
		file, err := os.Open(name)
		must(t, err)
		img, err := png.Decode(file)
		must(t, err)
		must(t, file.Close())
		sizes = append(sizes, img.Bounds().Size().String())
		if r, g, _, _ := img.At(img.Bounds().Dx()/2, img.Bounds().Dy()/2).RGBA(); r>>8 < 200 || g>>8 > 40 {
			t.Errorf("the middle of %s is not red", name)
		}
	}
	slices.Sort(sizes)
	if got := fmt.Sprint(sizes); got != "[(16,32) (80,160)]" {
		t.Errorf("pictures of %s, want 16x32 as it is, and 320x640 as 80x160", got)
	}
}

func TestTensorBoardGetsPicturesAndCaptions(t *testing.T) {
	dir := t.TempDir()
	f, err := train.NewFolder(dir, nil)
	must(t, err)
	sitting(t, f, 1, 1)
	must(t, f.Close())
	files, err := filepath.Glob(filepath.Join(dir, "tensorboard", "*tfevents*"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%d event files", len(files))
	}
	content, err := os.ReadFile(files[0])
	must(t, err)
	for _, want := range []string{"samples/0", "samples/1", "\x89PNG", "captions", "| 0 | a red square | thing 1 |", "weights/decoder.", "gradients/decoder."} {
		if !bytes.Contains(content, []byte(want)) {
			t.Errorf("the events lack %q", want)
		}
	}
}

func TestALongRunShowsAChoiceOfItsHistograms(t *testing.T) {
	for _, n := range []int{1, 2, 59, 60, 61, 119, 120, 500} {
		dir := t.TempDir()
		f, err := train.NewFolder(dir, nil)
		must(t, err)
		var lines strings.Builder
		for i := range n {
			fmt.Fprintf(&lines, `{"step":%[1]d,"tensors":[{"step":%[1]d,"tensor":"w","of":"weights","low":0,"high":1,"counts":[1,2]}]}`+"\n", 50*(i+1))
		}
		must(t, os.WriteFile(filepath.Join(dir, "histograms.jsonl"), []byte(lines.String()), 0o666))
		must(t, f.Report())
		must(t, f.Close())
		shown := readReport(t, dir).Tensors[0].Weights
		steps := make([]int, len(shown))
		for i, w := range shown {
			steps[i] = w.Step
		}
		if len(steps) != min(n, 60) || steps[0] != 50 || steps[len(steps)-1] != 50*n || !slices.IsSorted(steps) || len(slices.Compact(steps)) != len(shown) {
			t.Errorf("of %d histograms the report shows those of %v", n, steps)
		}
	}
}

func TestADamagedLineIsAnErrorThatNamesTheFile(t *testing.T) {
	for _, name := range []string{train.MetricsFile, train.SamplesFile, "histograms.jsonl", train.RunFile} {
		dir := t.TempDir()
		f, err := train.NewFolder(dir, nil)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(`{"epoch": tru`), 0o666))
		if err := f.Report(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
		must(t, f.Close())
	}
}

func TestASampleWithoutAnActualCaptionIsAnError(t *testing.T) {
	f, err := train.NewFolder(t.TempDir(), nil)
	must(t, err)
	if err := f.Samples(train.Epoch{Epoch: 1}, []train.Sample{{ID: "zebra.jpg"}}); err == nil || !strings.Contains(err.Error(), "zebra.jpg") {
		t.Errorf("error %v", err)
	}
	must(t, f.Close())
}
