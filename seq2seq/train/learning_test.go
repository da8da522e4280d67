package train_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

type (
	pixelBatch = train.Batch[vision.Pixels]
	trainer    = train.Trainer[pixelBatch]
)

// options train tiny models at a steady rate.
func options(epochs int, rate float64) train.Options {
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.LRScheduler, o.WarmupSteps, o.WeightDecay = epochs, rate, "constant", 0, 0
	return o
}

// pictures are the first n tiny pictures as batches.
func pictures(t *testing.T, m *seq2seq.VisionEncoderDecoder, n int, o train.PictureOptions) *train.PictureData {
	t.Helper()
	d, err := datasets.Open(tiny.Data(t, n), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := train.Pictures(d, m.Processor, m.Tokenizer, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newTrainer(t *testing.T, m *seq2seq.VisionEncoderDecoder, data, val train.Data[pixelBatch], o train.Options) *trainer {
	t.Helper()
	tr, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 1<<30), data, val, o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func mustRun(t *testing.T, tr *trainer) {
	t.Helper()
	if err := tr.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// weightsOf copies the parameters of a model.
func weightsOf(m any) map[string][]float32 {
	w := map[string][]float32{}
	for _, p := range layers.Parameters(m) {
		w[p.Name] = slices.Clone(mat.Data[float32](p.Value.Value()))
	}
	return w
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestATinyModelSaysTheRightThingForEachOf32Pictures(t *testing.T) {
	for _, c := range []struct {
		name     string
		patterns []string
		rate     float64
		epochs   int
	}{
		{"all parameters trained", []string{"*"}, 3e-3, 100},
		{"the encoder frozen", []string{"decoder"}, 4e-3, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tiny.Captioner(t, tiny.Options{})
			if err := layers.Trainable(m, c.patterns...); err != nil {
				t.Fatal(err)
			}
			data := pictures(t, m, tiny.NumPictures(), train.PictureOptions{BatchSize: 8, Shuffle: true, Caption: datasets.FirstCaption})
			o := options(c.epochs, c.rate)
			o.LRScheduler = "cosine"
			tr := newTrainer(t, m, data, data, o)
			var last train.Epoch
			right := 0 // of what the task itself says after an epoch
			tr.Hooks.Epoch = func(e train.Epoch) error {
				last, right = e, 0
				if e.Epoch%20 > 3 {
					return nil
				}
				for b, err := range data.Epoch(context.Background(), 0, 0) {
					if err != nil {
						return err
					}
					captions, err := tr.Model.(*train.Captioning[vision.Pixels]).Generate(context.Background(), m.Tokenizer, b, len(b.IDs), m.Generation)
					if err != nil {
						return err
					}
					for i, c := range captions {
						if c == b.References[i][0] {
							right++
						}
					}
				}
				return nil
			}
			mustRun(t, tr)
			if right != 32 {
				t.Errorf("the task says the right thing for %d pictures, want 32", right)
			}
			if !(last.TrainLoss < 0.05 && last.ValLoss < 0.05) {
				t.Errorf("loss %.3f, in evaluation %.3f; want below 0.05", last.TrainLoss, last.ValLoss)
			}
			said := 0
			for i := range tiny.NumPictures() {
				img, want := tiny.Picture(i)
				captions, err := m.Generate(context.Background(), []vision.Image{vision.FromImage(img)}, m.Generation)
				if err != nil {
					t.Fatal(err)
				}
				if captions[0].Text != want {
					t.Errorf("picture %d: %q, want %q", i, captions[0].Text, want)
				}
				said++
			}
			if said != 32 {
				t.Errorf("%d pictures, want 32", said)
			}
		})
	}
}

func TestAFrozenWeightDoesNotChange(t *testing.T) {
	for _, patterns := range [][]string{
		{"crossattention"}, {"enc_to_dec_proj", "h.1"}, {"decoder"}, {"encoder"}, {"re:bias$"}, {"*ln_?.weight"},
	} {
		t.Run(strings.Join(patterns, ","), func(t *testing.T) {
			m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1})
			if err := layers.Trainable(m, patterns...); err != nil {
				t.Fatal(err)
			}
			params := layers.Parameters(m)
			matched, err := layers.Match(params, patterns...)
			if err != nil {
				t.Fatal(err)
			}
			before := weightsOf(m)
			o := options(2, 1e-3)
			o.WeightDecay = 0.01
			tr := newTrainer(t, m, pictures(t, m, 8, train.PictureOptions{BatchSize: 4}), nil, o)
			tr.Hooks.Step = func(train.Step) error {
				for i, p := range params {
					if p.Value.HasGrad() && !matched[i] {
						t.Errorf("%s is frozen and has a gradient", p.Name)
					}
				}
				return nil
			}
			mustRun(t, tr)
			state := tr.Optimizer.State()
			changed := 0
			for i, p := range params {
				same := sameBits(before[p.Name], mat.Data[float32](p.Value.Value()))
				if !matched[i] && !same {
					t.Errorf("%s is frozen and has changed", p.Name)
				}
				if matched[i] && !same {
					changed++
				}
				_, updated := state.Updates[p.Name]
				_, hasMoment := state.Moments[p.Name+".exp_avg"]
				if !matched[i] && (updated || hasMoment) {
					t.Errorf("%s is frozen and has optimiser state", p.Name)
				}
				if matched[i] && !same && !hasMoment {
					t.Errorf("%s was trained without optimiser state", p.Name)
				}
			}
			if trained := count(matched); changed == 0 || changed < trained/2 {
				t.Errorf("only %d of %d trained parameters changed", changed, trained)
			}
		})
	}
}

func count(b []bool) int {
	n := 0
	for _, x := range b {
		if x {
			n++
		}
	}
	return n
}

// gradients of the mean loss over pictures, as one batch or in parts.
func gradients(t *testing.T, batchSize, accumulate int) (train.Step, map[string][]float32) {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48})
	o := options(1, 1e-3)
	o.GradientAccumulationSteps, o.MaxGradNorm = accumulate, 0
	tr := newTrainer(t, m, pictures(t, m, 12, train.PictureOptions{BatchSize: batchSize, Caption: datasets.FirstCaption}), nil, o)
	var step train.Step
	got := map[string][]float32{}
	tr.Hooks.Step = func(s train.Step) error {
		step = s
		for _, p := range layers.Parameters(m) {
			if p.Value.HasGrad() {
				got[p.Name] = slices.Clone(mat.Data[float32](p.Value.Grad()))
			}
		}
		return nil
	}
	mustRun(t, tr)
	if step.Step != 1 || len(got) == 0 {
		t.Fatalf("%d updates and %d gradients, want one update", step.Step, len(got))
	}
	return step, got
}

func TestAccumulatedGradientsEqualThoseOfTheBigBatch(t *testing.T) {
	wantStep, want := gradients(t, 12, 1)
	for _, c := range [][2]int{{6, 2}, {4, 3}, {5, 3}, {1, 12}} {
		step, got := gradients(t, c[0], c[1])
		if d := math.Abs(step.Loss/wantStep.Loss - 1); d > 1e-6 || step.Labels != wantStep.Labels {
			t.Errorf("%d batches of %d: loss %v over %d labels, want %v over %d", c[1], c[0], step.Loss, step.Labels, wantStep.Loss, wantStep.Labels)
		}
		if len(got) != len(want) {
			t.Errorf("%d gradients, want %d", len(got), len(want))
		}
		for name, g := range got {
			if d := distance(g, want[name]); !(d < 1e-5) {
				t.Errorf("%d batches of %d: gradient of %s is off by %.2g of its norm", c[1], c[0], name, d)
			}
		}
	}
}

// distance is |a-b|/|b|, of vectors that may be all but zero.
func distance(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d) / (math.Sqrt(n) + 1e-4)
}

// The copy task: what the decoder has to say is which of the patches stand
// out, in order. It can be learned only if labels are shifted once: shifted
// twice, the token before last is never seen.
func TestACopyTaskIsLearned(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	random := layers.NewRandom(5)
	end := m.Tokenizer.EOS()
	var b pixelBatch
	for i := range 24 {
		pixels := vision.Pixels{Height: 16, Width: 16, Data: make([]float32, 3*16*16)}
		sequence := []int{end}
		for j := range 3 + i%3 {
			patch := int(random.Derive(uint64(100*i+j)).Next() % 15)
			for y := range 4 {
				for x := range 4 {
					pixels.Data[(j%3)*256+(patch/4*4+y)*16+patch%4*4+x] = float32(1 + j/3)
				}
			}
			sequence = append(sequence, 40+patch)
		}
		b.Keys, b.Inputs, b.Of = append(b.Keys, train.Key{Index: i}), append(b.Inputs, pixels), append(b.Of, i)
		b.Sequences = append(b.Sequences, append(sequence, end))
	}
	o := options(450, 3e-3)
	o.LRScheduler = "cosine" // settles at the end, whatever the last bits are
	tr := newTrainer(t, m, batches{b}, batches{b}, o)
	mustRun(t, tr)
	if loss, err := tr.Validate(context.Background()); err != nil || !(loss < 0.05) {
		t.Errorf("loss %v (%v), want below 0.05", loss, err)
	}
	captions, err := m.GenerateFromPixels(context.Background(), b.Inputs, m.Generation)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range captions {
		if want := b.Sequences[i][1 : len(b.Sequences[i])-1]; !slices.Equal(c.TokenIDs, want) {
			t.Errorf("picture %d: tokens %v, want %v and the end", i, c.TokenIDs, want)
		}
	}
}

func TestTheDataOfARunDependOnItsSeedAlone(t *testing.T) {
	losses := func(seed uint64, workers int) (out []float64) {
		m := tiny.Captioner(t, tiny.Options{Dropout: 0.2})
		o := options(2, 1e-3)
		o.Seed = seed
		tr := newTrainer(t, m, pictures(t, m, 12, train.PictureOptions{BatchSize: 4, Shuffle: true, Seed: seed, Workers: workers}), nil, o)
		tr.Hooks.Step = func(s train.Step) error { out = append(out, s.Loss); return nil }
		mustRun(t, tr)
		return out
	}
	first := losses(1, 1)
	if again := losses(1, 4); !slices.Equal(first, again) {
		t.Errorf("with other workers the losses are %v, not %v", again, first)
	}
	if other := losses(2, 1); slices.Equal(first, other) {
		t.Errorf("another seed gives the same losses: %v", other)
	}
}

func TestALossThatIsNotFiniteStopsBeforeTheWeightsAreTouched(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	o := options(50, 1e12)
	tr := newTrainer(t, m, pictures(t, m, 8, train.PictureOptions{BatchSize: 8}), nil, o)
	var after map[string][]float32
	tr.Hooks.Step = func(train.Step) error { after = weightsOf(m); return nil }
	err := tr.Run(context.Background())
	if !errors.Is(err, train.ErrNotFinite) || !strings.Contains(err.Error(), "step ") || !strings.Contains(err.Error(), "lower the learning rate") {
		t.Fatalf("error %v", err)
	}
	if after == nil {
		t.Fatal("no step was taken")
	}
	for name, w := range weightsOf(m) {
		if !sameBits(w, after[name]) {
			t.Errorf("%s changed in the step that failed", name)
		}
	}
}

func TestValidationWeighsEveryTokenAlike(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{Dropout: 0.5})
	mean := func(size int) float64 {
		data := pictures(t, m, 10, train.PictureOptions{BatchSize: size, Caption: datasets.AllCaptions})
		tr := newTrainer(t, m, data, data, options(1, 1e-3))
		loss, err := tr.Validate(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return loss
	}
	want := mean(10)
	for _, size := range []int{1, 3, 7} {
		if got := mean(size); math.Abs(got/want-1) > 1e-6 {
			t.Errorf("in batches of %d the loss is %v, in one %v", size, got, want)
		}
	}
}

func TestOptionsThatMakeNoSenseAreNamed(t *testing.T) {
	for name, spoil := range map[string]func(*train.Options){
		"num_train_epochs":            func(o *train.Options) { o.Epochs = 0 },
		"max_steps":                   func(o *train.Options) { o.MaxSteps = -1 },
		"learning_rate":               func(o *train.Options) { o.LearningRate = math.Inf(1) },
		"weight_decay":                func(o *train.Options) { o.WeightDecay = math.NaN() },
		"warmup_steps":                func(o *train.Options) { o.WarmupSteps = -1 },
		"max_grad_norm":               func(o *train.Options) { o.MaxGradNorm = -1 },
		"guard.max_skipped":           func(o *train.Options) { o.Guard.MaxSkipped = -1 },
		"guard.patience":              func(o *train.Options) { o.Guard.Patience = -1 },
		"guard.spike":                 func(o *train.Options) { o.Guard.Spike = 0.5 },
		"gradient_accumulation_steps": func(o *train.Options) { o.GradientAccumulationSteps = 0 },
		"label_smoothing_factor":      func(o *train.Options) { o.LabelSmoothing = 1 },
		"optim":                       func(o *train.Options) { o.Optimizer = "lion" },
		"lr_scheduler_type":           func(o *train.Options) { o.LRScheduler = "step" },
	} {
		o := train.DefaultOptions()
		spoil(&o)
		var got *train.OptionError
		if err := o.Check(); !errors.As(err, &got) || got.Option != name {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := train.DefaultOptions().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestATrainerWithoutAnythingToTrainIsAnError(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	layers.Freeze(m)
	_, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 0), train.Data[pixelBatch](batches{}), nil, options(1, 1e-3))
	if err == nil || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("error %v", err)
	}
}

// A frozen encoder's states are the same from the cache as when there is no
// room to keep them.
func TestKeptStatesChangeNothing(t *testing.T) {
	history := func(cacheBytes int64) (out []float64) {
		m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48, Dropout: 0.1})
		if err := layers.Trainable(m, "crossattention", "enc_to_dec_proj"); err != nil {
			t.Fatal(err)
		}
		task := train.NewCaptioning(&m.EncoderDecoder, cacheBytes)
		data := pictures(t, m, 10, train.PictureOptions{BatchSize: 3, Shuffle: true, Need: task.Lacks})
		tr, err := train.New(task, train.Data[pixelBatch](data), train.Data[pixelBatch](data), options(3, 1e-3))
		if err != nil {
			t.Fatal(err)
		}
		tr.Hooks.Step = func(s train.Step) error { out = append(out, s.Loss, s.GradNorm); return nil }
		tr.Hooks.Epoch = func(e train.Epoch) error { out = append(out, e.TrainLoss, e.ValLoss); return nil }
		mustRun(t, tr)
		return out
	}
	want := history(0)
	for _, bytes := range []int64{1 << 20, 4 * 17 * 48 * 4} { // all, and four pictures
		if got := history(bytes); !slices.Equal(got, want) {
			t.Errorf("with %d bytes of cache the run is %v, without %v", bytes, got, want)
		}
	}
}

// Pictures that differ each epoch are encoded each epoch, whatever is kept of
// them as they are: here of the validation, whose data set is the same.
func TestStatesOfAugmentedPicturesAreNotKept(t *testing.T) {
	augment, err := vision.ParseAugmentation("random_resized_crop,random_horizontal_flip,color_jitter")
	if err != nil {
		t.Fatal(err)
	}
	history := func(cacheBytes int64, augment vision.Augmentation) (out []float64) {
		m := tiny.Captioner(t, tiny.Options{})
		if err := layers.Trainable(m, "crossattention"); err != nil {
			t.Fatal(err)
		}
		task := train.NewCaptioning(&m.EncoderDecoder, cacheBytes)
		data := pictures(t, m, 10, train.PictureOptions{BatchSize: 3, Shuffle: true, Augment: augment, Need: task.Lacks})
		val := pictures(t, m, 10, train.PictureOptions{BatchSize: 3, Need: task.Lacks})
		tr, err := train.New(task, train.Data[pixelBatch](data), train.Data[pixelBatch](val), options(3, 1e-3))
		if err != nil {
			t.Fatal(err)
		}
		tr.Hooks.Step = func(s train.Step) error { out = append(out, s.Loss, s.GradNorm); return nil }
		tr.Hooks.Epoch = func(e train.Epoch) error { out = append(out, e.TrainLoss, e.ValLoss); return nil }
		mustRun(t, tr)
		for i := range 10 {
			if !task.Lacks(train.Key{Data: data, Index: i}) && augment != (vision.Augmentation{}) {
				t.Errorf("states of augmented picture %d are kept", i)
			}
			if cacheBytes > 0 && task.Lacks(train.Key{Data: val, Index: i}) {
				t.Errorf("states of picture %d of the validation are not kept", i)
			}
		}
		for b, err := range data.WithoutAugmentation().Epoch(context.Background(), 0, 0) {
			if err != nil || b.Augmented {
				t.Errorf("without augmentation %v, %v", b.Augmented, err)
			}
		}
		return out
	}
	want := history(0, augment)
	if got := history(1<<20, augment); !slices.Equal(got, want) {
		t.Errorf("with a cache the run is %v, without %v", got, want)
	}
	if plain := history(0, vision.Augmentation{}); plain[0] == want[0] {
		t.Error("the pictures are not changed")
	}
}

func TestAnIDOutsideTheVocabularyIsAnError(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	task := train.NewCaptioning(&m.EncoderDecoder, 0)
	pixels := vision.Pixels{Height: 16, Width: 16, Data: make([]float32, 3*16*16)}
	for _, sequence := range [][]int{{1, tiny.VocabSize, 2}, {1, 2, tiny.VocabSize}, {-1, 2, 3}} {
		_, err := task.Loss(pixelBatch{Keys: make([]train.Key, 1), Inputs: []vision.Pixels{pixels}, Sequences: [][]int{sequence}, Of: []int{0}}, losses.Options{}, nil)
		if err == nil || !strings.Contains(err.Error(), "600") && !strings.Contains(err.Error(), "-1") {
			t.Errorf("%v: error %v", sequence, err)
		}
	}
}

func TestAFrozenEncoderKeepsNoGraph(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	if err := layers.Trainable(m, "crossattention"); err != nil {
		t.Fatal(err)
	}
	states, err := m.Encode([]vision.Pixels{{Height: 16, Width: 16, Data: make([]float32, 3*16*16)}}, layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, isNode := states.States.(*ag.Operator); isNode || states.States.RequiresGrad() {
		t.Errorf("the states are a %T that requires a gradient: %v", states.States, states.States.RequiresGrad())
	}
}
