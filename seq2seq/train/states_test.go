package train_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// cached is a run of a tiny model on ten pictures, whose states a cache keeps.
type cached struct {
	cache  train.EncoderCache[vision.Pixels]
	change func(*seq2seq.VisionEncoderDecoder)
}

// run trains and validates, and returns the losses and on how many pictures
// the encoder ran.
func (c cached) run(t *testing.T) (history []float64, encoded int) {
	t.Helper()
	task, data := c.task(t)
	tr, err := train.New(task, train.Data[pixelBatch](data), train.Data[pixelBatch](data), options(3, 1e-3))
	if err != nil {
		t.Fatal(err)
	}
	tr.Hooks.Step = func(s train.Step) error { history = append(history, s.Loss, s.GradNorm); return nil }
	tr.Hooks.Epoch = func(e train.Epoch) error { history = append(history, e.TrainLoss, e.ValLoss); return nil }
	mustRun(t, tr)
	if err := task.CloseCache(); err != nil {
		t.Error(err)
	}
	return history, task.Encoded()
}

func (c cached) task(t *testing.T) (*train.Captioning[vision.Pixels], *train.PictureData) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1})
	if c.change != nil {
		c.change(m)
	}
	if err := layers.Trainable(m, "crossattention", "enc_to_dec_proj"); err != nil {
		t.Fatal(err)
	}
	task := train.NewCaptioning(&m.EncoderDecoder, 0)
	c.cache.Digest = train.PixelsDigest
	if c.cache.Warn == nil {
		c.cache.Warn = func(message string) { t.Error(message) }
	}
	if err := task.UseCache(c.cache); err != nil {
		t.Fatal(err)
	}
	return task, pictures(t, m, 10, train.PictureOptions{BatchSize: 3, Shuffle: true, Need: task.Lacks})
}

func TestStatesInAFolderChangeNothingAndServeLaterRuns(t *testing.T) {
	want, all := cached{}.run(t)
	if all <= 10 {
		t.Fatalf("without room, the encoder ran on %d pictures", all)
	}
	in := cached{cache: train.EncoderCache[vision.Pixels]{Dir: t.TempDir()}}
	for run, pictures := range []int{10, 0, 0} {
		got, encoded := in.run(t)
		if !slices.Equal(got, want) {
			t.Errorf("run %d is %v, without a cache %v", run, got, want)
		}
		if encoded != pictures {
			t.Errorf("run %d: the encoder ran on %d pictures, want %d", run, encoded, pictures)
		}
	}
}

func TestStatesInBFloat16AreTheSameInEveryRunAndNearlyThoseInFloat32(t *testing.T) {
	exact, _ := cached{}.run(t)
	memory := cached{cache: train.EncoderCache[vision.Pixels]{Bytes: 1 << 20, Precision: layers.BFloat16}}
	want, encoded := memory.run(t)
	if encoded != 10 {
		t.Errorf("in memory, the encoder ran on %d pictures", encoded)
	}
	for i := range want {
		if d := math.Abs(want[i]/exact[i] - 1); d > 1e-2 {
			t.Errorf("value %d is %v, in float32 %v", i, want[i], exact[i])
		}
	}
	if slices.Equal(want, exact) {
		t.Error("nothing was rounded")
	}
	folder := cached{cache: train.EncoderCache[vision.Pixels]{Dir: t.TempDir(), Precision: layers.BFloat16}}
	for run, pictures := range []int{10, 0} {
		if got, encoded := folder.run(t); !slices.Equal(got, want) || encoded != pictures {
			t.Errorf("run %d: the encoder ran on %d pictures, the losses are %v, want %v", run, encoded, got, want)
		}
	}
}

func TestStatesOfAnotherEncoderAreNeverServed(t *testing.T) {
	dir := t.TempDir()
	cached{cache: train.EncoderCache[vision.Pixels]{Dir: dir}}.run(t)
	for _, c := range []struct {
		name    string
		change  func(*seq2seq.VisionEncoderDecoder)
		encoded int
	}{
		{"the same", func(*seq2seq.VisionEncoderDecoder) {}, 0},
		{"another weight", func(m *seq2seq.VisionEncoderDecoder) {
			mat.Data[float32](layers.Parameters(m.Encoder)[3].Value.Value())[0] += 1e-6
		}, 10},
		{"products in bfloat16", func(m *seq2seq.VisionEncoderDecoder) { m.SetPrecision(layers.BFloat16) }, 10},
		{"other pixels", func(m *seq2seq.VisionEncoderDecoder) { m.Processor.ImageStd[2] *= 1.001 }, 10},
		{"another decoder", func(m *seq2seq.VisionEncoderDecoder) {
			mat.Data[float32](layers.Parameters(m.Decoder)[0].Value.Value())[0]++
		}, 0},
	} {
		if _, encoded := (cached{cache: train.EncoderCache[vision.Pixels]{Dir: dir}, change: c.change}).run(t); encoded != c.encoded {
			t.Errorf("%s: the encoder ran on %d pictures, want %d", c.name, encoded, c.encoded)
		}
	}
}

func TestStatesThatCannotBeWrittenAreKeptInMemory(t *testing.T) {
	want, _ := cached{}.run(t)
	for _, precision := range []layers.Precision{layers.Float32, layers.BFloat16} {
		dir, warnings := t.TempDir(), 0
		c := cached{
			cache: train.EncoderCache[vision.Pixels]{Dir: dir, Precision: precision, Bytes: 1 << 20, Warn: func(string) { warnings++ }},
		}
		task, data := c.task(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		tr, err := train.New(task, train.Data[pixelBatch](data), nil, options(3, 1e-3))
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		tr.Hooks.Step = func(s train.Step) error { got = append(got, s.Loss); return nil }
		mustRun(t, tr)
		if warnings != 1 || task.Encoded() != 10 || task.CacheLen() != 0 {
			t.Errorf("%v: %d warnings, the encoder ran on %d pictures", precision, warnings, task.Encoded())
		}
		if precision == layers.Float32 && got[0] != want[0] {
			t.Errorf("the first loss is %v, want %v", got[0], want[0])
		}
	}
}

func TestDamageWhileInUseIsMendedOrSaidToBeFatal(t *testing.T) {
	dir := t.TempDir()
	cached{cache: train.EncoderCache[vision.Pixels]{Dir: dir}}.run(t)
	warnings := 0
	task, data := cached{cache: train.EncoderCache[vision.Pixels]{Dir: dir, Warn: func(string) { warnings++ }}}.task(t)
	defer func() {
		if err := task.CloseCache(); err != nil {
			t.Error(err)
		}
	}()
	var first pixelBatch
	for b, err := range data.Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		first = b
		break
	}
	want, err := task.Loss(first, losses.Options{}, nil)
	if err != nil || task.Encoded() != 0 {
		t.Fatalf("%d encoded, %v", task.Encoded(), err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("files %v, %v", paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 64; i < len(content); i++ {
		content[i] ^= 0x55
	}
	if err := os.WriteFile(paths[0], content, 0o666); err != nil {
		t.Fatal(err)
	}
	unread := first
	unread.Inputs = make([]vision.Pixels, len(first.Inputs))
	if _, err := task.Loss(unread, losses.Options{}, nil); err == nil || !strings.Contains(err.Error(), "encoder cache was damaged") {
		t.Errorf("error %v", err)
	}
	got, err := task.Loss(first, losses.Options{}, nil)
	if err != nil || got.Value != want.Value || task.Encoded() != len(first.Keys) {
		t.Errorf("%d encoded, %v", task.Encoded(), err)
	}
	if warnings != 1 {
		t.Errorf("%d warnings", warnings)
	}
}

func TestATrainedEncoderHasNoCache(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	err := train.NewCaptioning(&m.EncoderDecoder, 0).UseCache(train.EncoderCache[vision.Pixels]{Dir: t.TempDir(), Digest: train.PixelsDigest})
	if err == nil || !strings.Contains(err.Error(), "encoder is trained") {
		t.Errorf("error %v", err)
	}
}
