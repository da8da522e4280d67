package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/events"
	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/report"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// Names inside a run folder.
const (
	MetricsFile = "metrics.jsonl" // a Metric a line
	RunFile     = "run.json"      // what the run was started with
	ModelDir    = "model"         // the trained model
	StateDir    = "state"         // what a resumed run goes on from
	eventsDir   = "tensorboard"
)

// Metric is a line of metrics.jsonl.
type Metric struct {
	Split        string   `json:"split"` // "train": an update; "guard": one that was skipped; "stage": one that begins; "train_epoch", "validation": an epoch
	Epoch        int      `json:"epoch"`
	Step         int      `json:"step"`
	Loss         *float64 `json:"loss"` // null if not finite
	GradNorm     *float64 `json:"grad_norm,omitempty"`
	LearningRate *float64 `json:"learning_rate,omitempty"`
	ImageGain    *float64 `json:"image_gain,omitempty"` // of the validation: see Evaluation
	Metric       string   `json:"metric,omitempty"`     // of the validation: what Score is
	Score        *float64 `json:"score,omitempty"`
	Event        string   `json:"event,omitempty"`   // what the guard saw and did; the stage
	Seconds      float64  `json:"seconds,omitempty"` // of an epoch with its validation
}

// Folder keeps the files of a run: metrics.jsonl, samples.jsonl, histograms,
// TensorBoard's events, and report.html, which shows it all.
type Folder struct {
	Dir     string
	metrics *os.File
	events  *events.Writer
}

// NewFolder starts the files of a run in dir, which is made, and writes run
// as run.json. A folder that already holds a run is an error.
func NewFolder(dir string, run any) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, MetricsFile)); err == nil {
		return nil, fmt.Errorf("%s already holds a run: choose another folder, or resume it", dir)
	}
	if err := hfconfig.Write(dir, RunFile, run); err != nil {
		return nil, err
	}
	return openFolder(dir, events.Create)
}

// ResumeFolder goes on with the files of a run after so many steps and whole
// epochs: what they say of later ones is dropped, since those will be made
// again.
func ResumeFolder(dir string, steps, epochs int) (*Folder, error) {
	for _, name := range []string{MetricsFile, SamplesFile, histogramsFile} {
		if err := dropAfter(filepath.Join(dir, name), steps, epochs); err != nil {
			return nil, err
		}
	}
	return openFolder(dir, func(folder string) (*events.Writer, error) { return events.Resume(folder, steps+1) })
}

// ReadRun reads back what [NewFolder] wrote to run.json.
func ReadRun(dir string, run any) error {
	fsys, err := hfconfig.FS(dir)
	if err != nil {
		return err
	}
	if err := hfconfig.Read(fsys, RunFile, run); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

func openFolder(dir string, open func(folder string) (*events.Writer, error)) (*Folder, error) {
	f := &Folder{Dir: dir}
	var err error
	if f.metrics, err = os.OpenFile(filepath.Join(dir, MetricsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666); err != nil {
		return nil, err
	}
	if f.events, err = open(filepath.Join(dir, eventsDir)); err != nil {
		f.metrics.Close()
		return nil, err
	}
	return f, nil
}

// dropAfter keeps the whole lines of a file up to a step, and of epochs those
// that are done.
func dropAfter(path string, steps, epochs int) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept bytes.Buffer
	lines := newScanner(bytes.NewReader(data))
	for lines.Scan() {
		var m Metric
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Step <= steps && (m.Split == "train" || m.Split == "guard" || m.Split == "stage" || m.Epoch <= epochs) {
			kept.Write(lines.Bytes())
			kept.WriteByte('\n')
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, kept.Bytes())
}

// newScanner reads lines, of which those of histograms are long.
func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<28)
	return s
}

// Step records an update.
func (f *Folder) Step(s Step) error {
	return errors.Join(
		f.write(Metric{Split: "train", Epoch: s.Epoch, Step: s.Step, Loss: finite(s.Loss), GradNorm: finite(s.GradNorm), LearningRate: finite(s.LearningRate)}),
		f.events.Scalar("train/loss", s.Step, s.Loss),
		f.events.Scalar("train/grad_norm", s.Step, s.GradNorm),
		f.events.Scalar("train/learning_rate", s.Step, s.LearningRate))
}

// Stage records that a stage begins, if there is more than one.
func (f *Folder) Stage(s StageStart) error {
	if s.Of == 1 {
		return nil
	}
	return errors.Join(
		f.write(Metric{Split: "stage", Epoch: s.Epoch, Step: s.Step, LearningRate: finite(s.LearningRate), Event: s.String()}),
		f.events.Text("stage", s.Step, fmt.Sprintf("%d of %d: %s", s.Number, s.Of, s)))
}

// Skip records an update that the guard did not make.
func (f *Folder) Skip(s Skip) error {
	return errors.Join(
		f.write(Metric{Split: "guard", Epoch: s.Epoch, Step: s.Step, Loss: finite(s.Loss), GradNorm: finite(s.GradNorm), LearningRate: finite(s.LearningRate), Event: s.Why}),
		f.events.Text("guard", s.Step, s.Why))
}

// Epoch records an epoch.
func (f *Folder) Epoch(e Epoch) error {
	err := errors.Join(
		f.write(Metric{Split: "train_epoch", Epoch: e.Epoch, Step: e.Step, Loss: finite(e.TrainLoss), Seconds: e.Duration.Seconds()}),
		f.events.Scalar("epoch/train_loss", e.Step, e.TrainLoss))
	if math.IsNaN(e.ValLoss) && e.Score == nil {
		return err
	}
	validation := Metric{Split: "validation", Epoch: e.Epoch, Step: e.Step, Loss: finite(e.ValLoss)}
	if e.Score != nil {
		validation.Metric, validation.Score = e.Metric, finite(*e.Score)
		err = errors.Join(err, f.events.Scalar("epoch/"+e.Metric, e.Step, *e.Score))
	}
	if e.ImageGain != nil {
		validation.ImageGain = finite(*e.ImageGain)
		err = errors.Join(err, f.events.Scalar("epoch/image_gain", e.Step, *e.ImageGain))
	}
	return errors.Join(err, f.write(validation), f.events.Scalar("epoch/validation_loss", e.Step, e.ValLoss))
}

// Histograms records the distribution of the trained weights of model and of
// their gradients.
func (f *Folder) Histograms(model any, step int) error {
	line := histogramLine{Step: step}
	add := func(of, name string, m mat.Tensor) error {
		values := mat.Data[float32](m)
		line.Tensors = append(line.Tensors, report.NewHistogram(step, name, of, values))
		return events.Histogram(f.events, of+"/"+name, step, values)
	}
	for _, p := range layers.Parameters(model) {
		if !p.Value.RequiresGrad() {
			continue
		}
		if err := add("weights", p.Name, p.Value.Value()); err != nil {
			return err
		}
		if p.Value.HasGrad() {
			if err := add("gradients", p.Name, p.Value.Grad()); err != nil {
				return err
			}
		}
	}
	return f.appendLine(histogramsFile, line)
}

// Close finishes the files.
func (f *Folder) Close() error { return errors.Join(f.metrics.Close(), f.events.Close()) }

func (f *Folder) write(m Metric) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = f.metrics.Write(append(line, '\n'))
	return err
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// NewestModel returns the model folder of the newest run in the folder runs,
// or "" if there is none.
func NewestModel(runs string) (string, error) {
	entries, err := os.ReadDir(runs)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	newest, at := "", int64(0)
	for _, e := range entries {
		dir := filepath.Join(runs, e.Name(), ModelDir)
		if info, err := os.Stat(filepath.Join(dir, "config.json")); err == nil && info.ModTime().UnixNano() > at {
			newest, at = dir, info.ModTime().UnixNano()
		}
	}
	return newest, nil
}
