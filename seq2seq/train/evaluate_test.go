package train_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/nlpodyssey/spago/mat"
)

func evaluate(t *testing.T, m *seq2seq.VisionEncoderDecoder, data *train.PictureData) train.Evaluation {
	t.Helper()
	e, err := train.Evaluate(context.Background(), train.NewCaptioning(&m.EncoderDecoder, 1<<30), train.Data[pixelBatch](data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheImageGainIsTheLossWithThePicturesOfOthersMinusThatWithTheRightOnes(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	data := pictures(t, m, 6, train.PictureOptions{BatchSize: 4, Caption: datasets.FirstCaption})
	task := train.NewCaptioning(&m.EncoderDecoder, 1<<30)
	sums, labels := [2]float64{}, 0
	for b, err := range data.Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		others := map[int][]int{4: {2, 3, 0, 1}, 2: {1, 0}}[len(b.Keys)]
		for i, of := range [][]int{b.Of, others} {
			b.Of = of
			r, err := task.Loss(b, losses.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			sums[i] += r.Value * float64(task.Labels(b))
		}
		labels += task.Labels(b)
	}
	e := evaluate(t, m, data)
	if want := sums[0] / float64(labels); e.Labels != labels || math.Abs(e.Loss-want) > 1e-9 {
		t.Errorf("loss %v of %d labels, want %v of %d", e.Loss, e.Labels, want, labels)
	}
	if want := (sums[1] - sums[0]) / float64(labels); math.Abs(*e.ImageGain-want) > 1e-9 || want == 0 {
		t.Errorf("image gain %v, want %v", *e.ImageGain, want)
	}
}

func TestADecoderThatCannotSeeHasNoImageGain(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	for _, p := range layers.Parameters(m) {
		if strings.Contains(p.Name, "crossattention.c_proj.weight") {
			clear(mat.Data[float32](p.Value.Value()))
		}
	}
	data := pictures(t, m, 6, train.PictureOptions{BatchSize: 4, Caption: datasets.FirstCaption})
	if gain := *evaluate(t, m, data).ImageGain; gain != 0 {
		t.Errorf("image gain %v, want 0", gain)
	}
}

func TestTheImageGainOfEachEpochGrowsAsTheModelLearnsToLook(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	if err := layers.Trainable(m, "*"); err != nil {
		t.Fatal(err)
	}
	data := pictures(t, m, 16, train.PictureOptions{BatchSize: 8, Caption: datasets.FirstCaption})
	tr := newTrainer(t, m, data, data, options(40, 3e-3))
	var gains []float64
	tr.Hooks.Epoch = func(e train.Epoch) error { gains = append(gains, *e.ImageGain); return nil }
	mustRun(t, tr)
	if first, last := gains[0], gains[len(gains)-1]; !(last > 0.5 && last > 5*first) {
		t.Errorf("image gain %.3f after the first epoch, %.3f after the last", first, last)
	}
}

func TestWithOnePictureABatchThereIsNoImageGain(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	data := pictures(t, m, 3, train.PictureOptions{BatchSize: 1, Caption: datasets.FirstCaption})
	if e := evaluate(t, m, data); e.ImageGain != nil || !(e.Loss > 0) {
		t.Errorf("loss %v, image gain %v, want none", e.Loss, *e.ImageGain)
	}
}

func TestTheRunFolderAndItsReportHaveTheImageGain(t *testing.T) {
	dir := t.TempDir()
	f, err := train.NewFolder(dir, map[string]int{})
	must(t, err)
	gain := 0.625
	must(t, f.Epoch(train.Epoch{Epoch: 1, Step: 1, TrainLoss: 3, ValLoss: 2, ImageGain: &gain}))
	must(t, f.Report())
	must(t, f.Close())
	for file, want := range map[string]string{train.MetricsFile: `"image_gain":0.625`, train.ReportFile: "validation loss is higher by 0.625"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		if !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %s", file, want)
		}
	}
}
