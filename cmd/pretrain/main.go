// Command pretrain makes the models of the embedded sample again: a ViT that
// learns the words of the pictures' names, a GPT-2 that learns the captions as
// a language, and the cross-attention between them, all from the training part
// only.
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

const about = `
Make the models of the embedded sample, from its training part: a ViT that
predicts the words of each picture's name, a GPT-2 that predicts the captions
without seeing the pictures, and the cross-attention that joins them. They are
written in Hugging Face's format, in half precision, to OUT/vit, OUT/gpt2 and
OUT/crossattention. How the embedded ones were made stands in seq2seq/sample.`

type settings struct {
	cli.Common
	out          string
	only         string
	from         string
	epochs       map[string]*int
	batchSize    int
	learningRate float64
	dropout      float64
	weightDecay  float64
	maxSteps     int
}

func main() { cli.Main("pretrain", run) }

func run(ctx context.Context, args []string) error {
	s := settings{}
	f := cli.Flags("pretrain [flags]", about)
	f.StringVar(&s.out, "out", filepath.Join("runs", "pretrain"), "folder for the models")
	f.StringVar(&s.only, "only", "", "make one of them: vit, gpt2, or crossattention between those that are in OUT")
	f.StringVar(&s.from, "from", "", "folder of a ViT to go on with, instead of random weights")
	s.epochs = map[string]*int{
		sample.Encoder:        f.Int("vit-epochs", 60, "times the ViT goes through the pictures"),
		sample.Decoder:        f.Int("gpt2-epochs", 20, "times the GPT-2 goes through the captions"),
		sample.CrossAttention: f.Int("crossattention-epochs", 40, "times the cross-attention goes through the pairs of both"),
	}
	f.IntVar(&s.batchSize, "batch-size", 64, "pictures or captions in a batch")
	f.Float64Var(&s.learningRate, "learning-rate", 1e-3, "peak learning rate, after a warm-up of 200 updates, before it falls along a cosine")
	f.Float64Var(&s.dropout, "dropout", 0.1, "dropout")
	f.Float64Var(&s.weightDecay, "weight-decay", 0.05, "weight decay")
	f.IntVar(&s.maxSteps, "max-steps", 0, "stop each after so many updates; 0: after the epochs")
	s.Add(f)
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o777); err != nil {
		return err
	}
	steps := []struct {
		name string
		make func(context.Context) error
	}{{sample.Encoder, s.pretrainViT}, {sample.Decoder, s.pretrainGPT2}, {sample.CrossAttention, s.joinBoth}}
	for _, step := range steps {
		if s.only != "" && s.only != step.name {
			continue
		}
		if err := step.make(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (s *settings) check() error {
	for name, n := range s.epochs {
		if *n < 1 {
			return cli.Usagef("--%s-epochs is %d, must be at least 1", name, *n)
		}
	}
	switch {
	case s.only != "" && s.epochs[s.only] == nil:
		return cli.Usagef("--only is %q; it may be vit, gpt2 or crossattention", s.only)
	case s.batchSize < 1:
		return cli.Usagef("--batch-size is %d, must be at least 1", s.batchSize)
	case !(s.learningRate > 0) || math.IsInf(s.learningRate, 1):
		return cli.Usagef("--learning-rate is %v, must be positive and finite", s.learningRate)
	case !(s.dropout >= 0 && s.dropout < 1):
		return cli.Usagef("--dropout is %v, must be in [0, 1)", s.dropout)
	case !(s.weightDecay >= 0) || math.IsInf(s.weightDecay, 1):
		return cli.Usagef("--weight-decay is %v, must be finite and not negative", s.weightDecay)
	case s.maxSteps < 0:
		return cli.Usagef("--max-steps is %d, must not be negative", s.maxSteps)
	}
	return s.Apply()
}

const (
	pictureSize    = 64
	vocabularySize = 4096
	maxLength      = 48
)

func (s *settings) pretrainViT(ctx context.Context) error {
	c := vit.DefaultConfig()
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 192, 6, 6, 768
	c.ImageSize, c.PatchSize = vit.Size{Height: pictureSize, Width: pictureSize}, vit.Size{Height: 8, Width: 8}
	c.HiddenDropout, c.AttentionDropout = s.dropout, s.dropout
	random := layers.NewRandom(s.Seed)
	m, err := vit.New[float32](c, random)
	if err != nil {
		return err
	}
	if s.from != "" {
		dir, err := hfconfig.FS(s.from)
		if err != nil {
			return err
		}
		if _, err := weights.Load(dir, m, nil); err != nil {
			return fmt.Errorf("--from %s: %w", s.from, err)
		}
	}
	captions, err := firstCaptions(emoji.Train())
	if err != nil {
		return err
	}
	task := train.NewWordPredictor[float32](m, captions, random)
	processor := vision.DefaultProcessor(pictureSize)
	processor.DoConvertRGB = true // transparent pictures are laid on white
	if err := s.fit(ctx, sample.Encoder, task, processor, tokenizer.GPT2(), train.PictureOptions{Caption: datasets.FirstCaption}); err != nil {
		return err
	}
	// What is saved is for use as it is, not for further pretraining.
	m.Config.HiddenDropout, m.Config.AttentionDropout = 0, 0
	dir := filepath.Join(s.out, sample.Encoder)
	if err := save(dir, layers.Parameters(m), m.Config); err != nil {
		return err
	}
	return processor.Save(dir)
}

func (s *settings) pretrainGPT2(ctx context.Context) error {
	tok, err := tokenizer.GPT2().Cut(vocabularySize)
	if err != nil {
		return err
	}
	end := tok.EOS()
	c := gpt2.DefaultConfig()
	c.VocabSize, c.NumPositions, c.Dim, c.NumLayers, c.NumHeads = vocabularySize, maxLength, 192, 4, 6
	c.BOSTokenID, c.EOSTokenID, c.PadTokenID = &end, &end, &end
	c.ResidualDropout, c.EmbeddingDropout, c.AttentionDropout = s.dropout, s.dropout, s.dropout
	m, err := gpt2.New[float32](c, layers.NewRandom(s.Seed))
	if err != nil {
		return err
	}
	task := &train.LanguageModel[vision.Pixels]{Decoder: m}
	if err := s.fit(ctx, sample.Decoder, task, vision.DefaultProcessor(pictureSize), tok, train.PictureOptions{Need: func(train.Key) bool { return false }}); err != nil {
		return err
	}
	dir := filepath.Join(s.out, sample.Decoder)
	if err := save(dir, layers.Parameters(m), m.Config); err != nil {
		return err
	}
	return tok.Save(dir)
}

// joinBoth trains the cross-attention between the two models in OUT, and saves
// it alone.
func (s *settings) joinBoth(ctx context.Context) error {
	random := layers.NewRandom(s.Seed)
	m, err := seq2seq.JoinFS(os.DirFS(filepath.Join(s.out, sample.Encoder)), os.DirFS(filepath.Join(s.out, sample.Decoder)), random)
	if err != nil {
		return err
	}
	if err := layers.Trainable(m, sample.CrossAttention); err != nil {
		return err
	}
	task := train.NewCaptioning(&m.EncoderDecoder, 1<<30)
	if err := s.fit(ctx, sample.CrossAttention, task, m.Processor, m.Tokenizer, train.PictureOptions{Need: task.Lacks}); err != nil {
		return err
	}
	var trained []layers.Parameter
	for _, p := range layers.Parameters(m) {
		if p.Value.RequiresGrad() {
			trained = append(trained, p)
		}
	}
	return save(filepath.Join(s.out, sample.CrossAttention), trained, nil)
}

// fit trains a task on the sample and says how it goes. The validation part
// is only looked at.
func (s *settings) fit(ctx context.Context, name string, task train.Model[train.Batch[vision.Pixels]], processor *vision.Processor,
	tok *tokenizer.Tokenizer, o train.PictureOptions) error {
	o.BatchSize, o.Shuffle, o.Seed, o.MaxLength = s.batchSize, true, s.Seed, maxLength
	data, err := train.Pictures(emoji.Train(), processor, tok, o)
	if err != nil {
		return err
	}
	o.Shuffle, o.Caption = false, datasets.FirstCaption
	val, err := train.Pictures(emoji.Validation(), processor, tok, o)
	if err != nil {
		return err
	}
	options := train.DefaultOptions()
	options.Epochs, options.MaxSteps, options.LearningRate, options.WeightDecay = *s.epochs[name], s.maxSteps, s.learningRate, s.weightDecay
	options.WarmupSteps, options.Seed = 200, s.Seed
	t, err := train.New(task, data, val, options)
	if err != nil {
		return err
	}
	progress := cli.NewProgress(name, "updates", t.TotalSteps())
	t.Hooks.Step = func(step train.Step) error {
		progress.Add(1, fmt.Sprintf("loss %.3f", step.Loss))
		return nil
	}
	t.Hooks.Epoch = func(e train.Epoch) error {
		progress.Clear()
		fmt.Fprintf(os.Stderr, "%s epoch %d: training loss %.3f, validation loss %.3f (%.1f s)\n", name, e.Epoch, e.TrainLoss, e.ValLoss, e.Duration.Seconds())
		return nil
	}
	err = t.Run(ctx)
	progress.Done()
	return err
}

// save writes a Hugging Face folder; half precision halves the repository.
func save(dir string, params []layers.Parameter, config any) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := checkpoint.Save(dir, weights.Params(params), checkpoint.SaveOptions{DType: safetensors.F16}); err != nil {
		return err
	}
	if config == nil {
		return nil
	}
	return hfconfig.Write(dir, "config.json", config)
}

func firstCaptions(d datasets.Dataset) ([]string, error) {
	var out []string
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			return nil, err
		}
		out = append(out, e.Captions[0])
	}
	return out, nil
}
