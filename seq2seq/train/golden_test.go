package train_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/mat/float"
)

// run is the meta.json of a golden training run.
type run struct {
	Options   json.RawMessage
	BatchSize int `json:"batch_size"`
	History   struct {
		Loss          []float64
		LossFloor     []float64 `json:"loss_floor"`
		GradNorm      []float64 `json:"grad_norm"`
		GradNormFloor []float64 `json:"grad_norm_floor"`
		LearningRate  []float64 `json:"learning_rate"`
	}
}

// Ours is one float32 run more, so it may be about as far from float64 as PyTorch's are.
func TestTrainingTakesTheStepsOfPyTorch(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		compareRun[float32](t, c, func(floor float64) float64 { return 10 * floor })
	})
}

func TestTrainingInFloat64TakesTheStepsOfPyTorch(t *testing.T) {
	reference.EachDrawn(t, "testdata/*", func(t *testing.T, c *reference.Case) {
		// The states of a frozen encoder are kept in float32.
		if len(c.Names("final.encoder.")) > 0 {
			compareRun[float64](t, c, func(float64) float64 { return 1e-9 })
		}
	})
}

func compareRun[T float.DType](t *testing.T, c *reference.Case, within func(floor float64) float64) {
	t.Helper()
	var r run
	reference.ReadJSON(t, filepath.Join(c.Dir, "meta.json"), &r)
	options := train.DefaultOptions()
	var trainable struct{ Trainable string }
	for _, into := range []any{&options, &trainable} {
		if err := json.Unmarshal(r.Options, into); err != nil {
			t.Fatal(err)
		}
	}
	options.Epochs = options.MaxSteps // more than enough
	if options.MaxSteps != len(r.History.Loss) || options.MaxSteps < 50 {
		t.Fatalf("%d steps in the history of %d", len(r.History.Loss), options.MaxSteps)
	}

	model := newModel[T](t, c)
	if err := layers.Trainable(model, strings.Split(trainable.Trainable, ",")...); err != nil {
		t.Fatal(err)
	}
	trainer, err := train.New(train.NewCaptioning(model, 1<<20), train.Data[train.Batch[vision.Pixels]](newBatches(t, c, r.BatchSize)), nil, options)
	if err != nil {
		t.Fatal(err)
	}
	check := func(step int, what string, got, want, floor float64) {
		d, tolerance := math.Abs(got/want-1), within(floor)
		if !(d <= tolerance) {
			t.Errorf("step %d: %s is %v, want %v: off by %.2g of it, allowed are %.2g", step, what, got, want, d, tolerance)
		}
		reference.Measured(t, what, d, 1, tolerance, floor)
	}
	trainer.Hooks.Step = func(s train.Step) error {
		i := s.Step - 1
		check(s.Step, "loss", s.Loss, r.History.Loss[i], r.History.LossFloor[i])
		check(s.Step, "grad_norm", s.GradNorm, r.History.GradNorm[i], r.History.GradNormFloor[i])
		if want := r.History.LearningRate[i]; math.Abs(s.LearningRate-want) > 1e-12*want {
			t.Errorf("step %d: learning rate %v, want %v", s.Step, s.LearningRate, want)
		}
		if t.Failed() {
			return fmt.Errorf("stopped after the first difference, at step %d", s.Step)
		}
		return nil
	}
	if err := trainer.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := trainer.StepsDone(); got != options.MaxSteps {
		t.Errorf("%d steps done, want %d", got, options.MaxSteps)
	}
	compared := 0
	for _, p := range layers.Parameters(model) {
		if name := "final." + p.Name; c.Has(name) {
			compared++
			// Golden numbers are rounded to float32.
			reference.Compare(t, c, name, reference.Float64s(p.Value), within(c.Meta.Floor["final"])+1e-7)
		}
	}
	if want := len(c.Names("final.")); compared != want || want == 0 {
		t.Errorf("%d final weights compared, want %d", compared, want)
	}
}

func newModel[T float.DType](t *testing.T, c *reference.Case) *seq2seq.EncoderDecoder[vision.Pixels] {
	t.Helper()
	var config struct {
		Encoder vit.Config
		Decoder gpt2.Config
	}
	c.Config(t, &config)
	encoder, err := vit.New[T](config.Encoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	encoder.Pooler = nil // transformers made none
	decoder, err := gpt2.New[T](config.Decoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	m := seq2seq.NewEncoderDecoder[T](seq2seq.Encoder[vision.Pixels](encoder), decoder, layers.NewRandom(0))
	reference.Draw[T](t, c, m)
	return m
}

func TestTheLanguageModelHasTheLossOfTransformers(t *testing.T) {
	c := reference.Open(t, "../gpt2/testdata/language_model")
	var config gpt2.Config
	c.Config(t, &config)
	m, err := gpt2.New[float32](config, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	reference.Draw[float32](t, c, m)
	var meta struct {
		Loss float64 `json:"language_model_loss"`
	}
	reference.ReadJSON(t, filepath.Join(c.Dir, "meta.json"), &meta)
	var batch train.Batch[vision.Pixels]
	ids, offsets := c.Ints(t, "input_ids"), c.Ints(t, "offsets")
	for i := range len(offsets) - 1 {
		batch.Sequences = append(batch.Sequences, ids[offsets[i]:offsets[i+1]])
	}
	task := &train.LanguageModel[vision.Pixels]{Decoder: m}
	result, err := task.Loss(batch, losses.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(result.Value/meta.Loss - 1); !(d <= 1e-6) {
		t.Errorf("loss %v, want %v", result.Value, meta.Loss)
	}
}

// batches are the same in every epoch.
type batches []train.Batch[vision.Pixels]

func newBatches(t *testing.T, c *reference.Case, size int) batches {
	t.Helper()
	shape, values := c.Shape(t, "pixel_values"), c.Floats(t, "pixel_values")
	n := len(values) / shape[0]
	out := make(batches, (shape[0]+size-1)/size)
	for i := range shape[0] {
		b := &out[i/size]
		b.Of = append(b.Of, len(b.Inputs))
		b.Keys = append(b.Keys, train.Key{Index: i})
		b.Inputs = append(b.Inputs, vision.Pixels{Height: shape[2], Width: shape[3], Data: values[i*n : (i+1)*n]})
		b.Sequences = append(b.Sequences, c.Ints(t, fmt.Sprintf("caption.%d", i)))
	}
	return out
}

func (b batches) NumBatches() int { return len(b) }

func (b batches) Epoch(_ context.Context, _, first int) iter.Seq2[train.Batch[vision.Pixels], error] {
	return func(yield func(train.Batch[vision.Pixels], error) bool) {
		for _, batch := range b[first:] {
			if !yield(batch, nil) {
				return
			}
		}
	}
}
