package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/report"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Names inside a run folder of what the report shows besides the metrics.
const (
	ReportFile     = "report.html"
	SamplesFile    = "samples.jsonl"    // a line an epoch
	histogramsFile = "histograms.jsonl" // a line an update that was looked at
	picturesDir    = "samples"
)

// Sample is a picture with its captions, to watch a run by.
type Sample struct {
	ID        string
	Picture   vision.Image // the zero Image: none is shown
	Actual    []string     // at least one
	Generated string
}

// Right reports whether the generated caption is one of the actual ones, but
// for case.
func (s Sample) Right() bool {
	return slices.ContainsFunc(s.Actual, func(a string) bool {
		return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(s.Generated))
	})
}

// sampled is a line of samples.jsonl.
type sampled struct {
	Epoch   int          `json:"epoch"`
	Step    int          `json:"step"`
	Samples []sampleLine `json:"samples"`
}

type sampleLine struct {
	ID        string   `json:"id"`
	Picture   string   `json:"picture,omitempty"` // file in the run folder
	Actual    []string `json:"actual"`
	Generated string   `json:"generated"`
	Right     bool     `json:"right"`
}

// histogramLine is a line of histograms.jsonl.
type histogramLine struct {
	Step    int                `json:"step"`
	Tensors []report.Histogram `json:"tensors"`
}

// Samples records what an epoch's model says of some pictures: in
// samples.jsonl, and as TensorBoard's images and a table.
func (f *Folder) Samples(e Epoch, samples []Sample) error {
	line := sampled{Epoch: e.Epoch, Step: e.Step}
	for _, s := range samples {
		if len(s.Actual) == 0 {
			return fmt.Errorf("sample %s has no actual caption", s.ID)
		}
		l := sampleLine{ID: s.ID, Actual: s.Actual, Generated: s.Generated, Right: s.Right()}
		if len(s.Picture.Pix) > 0 {
			small := thumbnail(s.Picture)
			var err error
			if l.Picture, err = f.keepPicture(small); err != nil {
				return err
			}
			if err := f.events.Image("samples/"+s.ID, e.Step, small); err != nil {
				return err
			}
		}
		line.Samples = append(line.Samples, l)
	}
	return errors.Join(f.appendLine(SamplesFile, line), f.events.Text("captions", e.Step, markdown(samples)))
}

// thumbnailSide is the longest side of a picture in the report, in pixels.
const thumbnailSide = 160

func thumbnail(m vision.Image) image.Image {
	if long := max(m.Width, m.Height); long > thumbnailSide {
		side := func(n int) int { return max(n*thumbnailSide/long, 1) }
		m = m.Resize(side(m.Width), side(m.Height), vision.Bicubic)
	}
	return m
}

// keepPicture writes a picture under a name made of its content, so that it is
// kept once, and returns the name.
func (f *Folder) keepPicture(m image.Image) (string, error) {
	var data bytes.Buffer
	if err := png.Encode(&data, m); err != nil {
		return "", err
	}
	sum := sha256.Sum256(data.Bytes())
	name := fmt.Sprintf("%s/%x.png", picturesDir, sum[:8])
	path := filepath.Join(f.Dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err == nil {
		return name, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	return name, atomicfile.WriteBytes(path, data.Bytes())
}

func (f *Folder) appendLine(name string, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(f.Dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

func markdown(samples []Sample) string {
	var b strings.Builder
	b.WriteString("| picture | actual | generated |\n| --- | --- | --- |\n")
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	for _, s := range samples {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell.Replace(s.ID), cell.Replace(s.Actual[0]), cell.Replace(s.Generated))
	}
	return b.String()
}

// Report writes report.html from the other files of the run, those of earlier
// sittings included.
func (f *Folder) Report() error {
	name, err := filepath.Abs(f.Dir)
	if err != nil {
		return err
	}
	r := report.Report{Title: filepath.Base(name), Written: time.Now(), Versions: versions()}
	for _, read := range []func(*report.Report) error{f.readMetrics, f.readSamples, f.readHistograms, f.readSettings} {
		if err := read(&r); err != nil {
			return err
		}
	}
	return report.Write(filepath.Join(f.Dir, ReportFile), r)
}

func (f *Folder) readMetrics(r *report.Report) error {
	for line, err := range f.lines(MetricsFile) {
		if err != nil {
			return err
		}
		var m Metric
		if err := decode(MetricsFile, line, &m); err != nil {
			return err
		}
		switch m.Split {
		case "train":
			r.Steps = append(r.Steps, report.Step{Step: m.Step, Loss: value(m.Loss), GradNorm: value(m.GradNorm), LearningRate: value(m.LearningRate)})
		case "guard":
			r.Events = append(r.Events, report.Event{Step: m.Step, What: m.Event})
		case "stage":
			r.Stages = append(r.Stages, report.Event{Step: m.Step, What: m.Event})
		case "train_epoch":
			r.Epochs = append(r.Epochs, report.Epoch{
				Epoch: m.Epoch, Step: m.Step, TrainLoss: value(m.Loss), ValLoss: math.NaN(),
				Duration: time.Duration(m.Seconds * float64(time.Second)),
			})
		case "validation":
			if e := epochOf(r, m.Epoch); e != nil {
				e.ValLoss, e.ImageGain, e.Score = value(m.Loss), m.ImageGain, m.Score
				r.Metric = cmp.Or(m.Metric, r.Metric)
			}
		}
	}
	return nil
}

func (f *Folder) readSamples(r *report.Report) error {
	for line, err := range f.lines(SamplesFile) {
		if err != nil {
			return err
		}
		var s sampled
		if err := decode(SamplesFile, line, &s); err != nil {
			return err
		}
		e := epochOf(r, s.Epoch)
		if e == nil {
			continue
		}
		for _, l := range s.Samples {
			shown := report.Sample{ID: l.ID, Generated: l.Generated, Right: l.Right}
			if len(l.Actual) > 0 {
				shown.Actual = l.Actual[0]
			}
			if l.Picture != "" {
				if shown.PNG, err = os.ReadFile(filepath.Join(f.Dir, filepath.FromSlash(l.Picture))); err != nil {
					return err
				}
			}
			e.Samples = append(e.Samples, shown)
		}
	}
	return nil
}

// maxHistograms keeps the page small: of more updates whose histograms were
// recorded, it shows a choice.
const maxHistograms = 60

func (f *Folder) readHistograms(r *report.Report) error {
	count := 0
	for _, err := range f.lines(histogramsFile) {
		if err != nil {
			return err
		}
		count++
	}
	shown := min(count, maxHistograms)
	i, taken := 0, 0
	for line, err := range f.lines(histogramsFile) {
		if err != nil {
			return err
		}
		// The first, the last, and others evenly between them.
		if taken < shown && i == taken*(count-1)/max(shown-1, 1) {
			var h histogramLine
			if err := decode(histogramsFile, line, &h); err != nil {
				return err
			}
			r.Histograms = append(r.Histograms, h.Tensors...)
			taken++
		}
		i++
	}
	return nil
}

func (f *Folder) readSettings(r *report.Report) error {
	data, err := os.ReadFile(filepath.Join(f.Dir, RunFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Settings, err = settings("", data)
	if err != nil {
		return fmt.Errorf("%s: %w", RunFile, err)
	}
	return nil
}

// settings lists what a JSON object says in its own order, but for what is
// empty; fields of an object within it are named outer.inner.
func settings(prefix string, object []byte) ([]report.Fact, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, err
	}
	var out []report.Fact
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		full := prefix + fmt.Sprint(name)
		if v[0] == '{' {
			inner, err := settings(full+".", v)
			if err != nil {
				return nil, err
			}
			out = append(out, inner...)
			continue
		}
		shown := string(v)
		var text string
		if json.Unmarshal(v, &text) == nil { // also of null
			shown = text
		}
		if shown != "" {
			out = append(out, report.Fact{Name: full, Value: shown})
		}
	}
	return out, nil
}

// versions are those of the program and the machine that write the report.
func versions() []report.Fact {
	const module = "github.com/ekphrasis-ml/ekphrasis"
	version, revision := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				version = m.Version
			}
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && info.Main.Path == module {
				revision = s.Value
			}
		}
	}
	out := []report.Fact{{Name: "Ekphrasis", Value: version}}
	if revision != "" {
		out = append(out, report.Fact{Name: "Revision", Value: revision})
	}
	out = append(out, report.Fact{Name: "Go", Value: runtime.Version()}, report.Fact{Name: "System", Value: runtime.GOOS + "/" + runtime.GOARCH})
	if name := processor(); name != "" {
		out = append(out, report.Fact{Name: "Processor", Value: name})
	}
	return append(out, report.Fact{Name: "Instructions", Value: kernel.CPU()}, report.Fact{Name: "Threads", Value: fmt.Sprint(kernel.Threads())})
}

// processor is the name of the processor where Linux tells it, else "".
func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// lines yields the lines of a file of the run folder; none if it is not there.
func (f *Folder) lines(name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		file, err := os.Open(filepath.Join(f.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		defer file.Close()
		s := newScanner(file)
		for s.Scan() {
			if !yield(s.Bytes(), nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, fmt.Errorf("%s: %w", name, err))
		}
	}
}

func decode(name string, line []byte, v any) error {
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%s: %q: %w", name, line[:min(len(line), 80)], err)
	}
	return nil
}

// epochOf returns the epoch of that number, nil if the report lacks it.
func epochOf(r *report.Report, number int) *report.Epoch {
	for i := range r.Epochs {
		if r.Epochs[i].Epoch == number {
			return &r.Epochs[i]
		}
	}
	return nil
}

func value(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}
