package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/spf13/pflag"
)

// settings are what a run is started with, and what run.json keeps of it.
type settings struct {
	cli.Common
	Model, Encoder, Decoder string
	Data, Images, ValData   string
	ValFraction             float64
	Out                     string
	BatchSize               int
	CrossAttention          gpt2.Variants
	Trainable               []string
	Caption                 string
	Shuffle                 bool
	Augment                 string  `json:"augment,omitempty"`
	Dropout                 float64 // negative: as the model's configuration says
	MaxLength               int
	MaxSkipped              int
	SaveSteps               int
	SaveMinutes             float64 `json:"save_minutes,omitempty"`
	SaveTotalLimit          int     `json:"save_total_limit"`
	LoadBestModelAtEnd      bool    `json:"load_best_model_at_end,omitempty"`
	Samples                 int
	CacheBytes              int64
	EncoderCache            string `json:"encoder_cache,omitempty"`
	EncoderCachePrecision   string `json:"encoder_cache_precision,omitempty"`
	Precision               string `json:"precision,omitempty"`
	Training                train.Options

	resume     string
	stages     []string // of the flag
	stagesFile string
}

const about = `
Teach a vision encoder-decoder to describe pictures. Without flags it joins the
small ViT and GPT-2 of the embedded sample, freezes both, and trains the
cross-attention between them on the sample's pictures. The run folder gets the
model (which Hugging Face transformers loads too), report.html to open in a
browser, metrics.jsonl, TensorBoard events, and a state from which an
interrupted run goes on.`

func parse(args []string) (settings, error) {
	s := settings{Training: train.DefaultOptions()}
	f := cli.Flags("finetune [flags]", about)
	s.define(f)
	if err := cli.Parse(f, args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, cli.Usagef("unexpected argument %q", f.Arg(0))
	}
	if err := s.Apply(); err != nil {
		return s, err
	}
	if s.resume != "" {
		return resumed(f, s)
	}
	s.Training.Seed = s.Seed
	if err := s.readStages(f); err != nil {
		return s, err
	}
	if s.Out == "" {
		s.Out = filepath.Join("runs", time.Now().Format("2006-01-02-150405"))
	}
	return s, s.check()
}

func (s *settings) define(f *pflag.FlagSet) {
	t := &s.Training
	f.StringVar(&s.Model, "model", "", "folder or hub name of a vision encoder-decoder to go on with")
	f.StringVar(&s.Encoder, "encoder", "", "folder or hub name of a ViT, to be joined with --decoder")
	f.StringVar(&s.Decoder, "decoder", "", "folder or hub name of a GPT-2")
	f.StringVar(&s.Data, "data", "emoji", "training data: emoji, a COCO file, .jsonl, .csv, or a folder; see the package datasets")
	f.StringVar(&s.Images, "images", "", "folder of the pictures that the data names")
	f.StringVar(&s.ValData, "val-data", "", "validation data, as --data")
	f.Float64Var(&s.ValFraction, "val-fraction", 0.05, "share of --data to validate on, if there is no --val-data")
	f.StringVar(&s.Out, "out", "", "run folder (default runs/DATE-TIME)")
	f.IntVar(&t.Epochs, "epochs", 12, "times to go through the data")
	f.StringArrayVar(&s.stages, "stage", nil, `a stage of the run, once for each: "epochs=1 train=decoder.* lr=1e-5 lr.wte=1e-6"; also steps, schedule, warmup; the rest is as the other flags say`)
	f.StringVar(&s.stagesFile, "stages", "", "file of stages, a line for each")
	f.IntVar(&t.MaxSteps, "max-steps", 0, "stop after so many updates; 0: after the epochs")
	f.IntVar(&s.BatchSize, "batch-size", 32, "pictures in a batch")
	f.IntVar(&t.GradientAccumulationSteps, "gradient-accumulation-steps", t.GradientAccumulationSteps, "batches that make one update")
	f.Float64Var(&t.LearningRate, "learning-rate", t.LearningRate, "peak learning rate")
	f.StringVar(&t.Optimizer, "optimizer", t.Optimizer, "adamw, adam or sgd")
	f.Float64Var(&t.WeightDecay, "weight-decay", t.WeightDecay, "weight decay")
	f.StringVar(&t.LRScheduler, "lr-scheduler", t.LRScheduler, "constant, linear or cosine")
	f.IntVar(&t.WarmupSteps, "warmup-steps", t.WarmupSteps, "updates during which the learning rate rises from 0")
	f.Float64Var(&t.MaxGradNorm, "max-grad-norm", t.MaxGradNorm, "clip gradients to this global norm; 0: do not")
	f.IntVar(&t.Guard.MaxSkipped, "guard-max-skipped", t.Guard.MaxSkipped, "skip up to so many updates in a row whose loss or gradient is not finite or huge; 0: stop at the first that is not finite")
	f.IntVar(&t.Guard.Patience, "guard-patience", t.Guard.Patience, "halve the learning rate after so many skipped updates in a row; 0: never")
	f.Float64Var(&t.Guard.Spike, "guard-spike", t.Guard.Spike, "a loss or gradient of so many times its running mean is huge; 0: none is")
	f.Float64Var(&t.EMADecay, "ema-decay", 0, "validate, show and save an exponential moving average of the trained weights, of which so much stays in each update, such as 0.999; 0: the weights themselves")
	f.Float64Var(&t.LabelSmoothing, "label-smoothing", t.LabelSmoothing, "label smoothing")
	f.Var(&s.CrossAttention, "cross-attention", "kind of the new cross-attention: plain, gated, layer_scale, qk_norm, or two joined by +; see docs/stability.md")
	f.StringSliceVar(&s.Trainable, "trainable", nil, "patterns of the parameters to train (default crossattention, and the projection if it is new)")
	f.StringVar(&s.Caption, "caption", "random", "which caption of a picture: random, first or all")
	f.BoolVar(&s.Shuffle, "shuffle", true, "go through the data in another order each epoch")
	f.StringVar(&s.Augment, "augment", "", "change pictures at random: random_resized_crop[=least share of the area], random_horizontal_flip[=probability], color_jitter[=strength], joined by commas; the encoder then runs in each epoch")
	f.Float64Var(&s.Dropout, "dropout", -1, "dropout of the decoder; negative: as its configuration says")
	f.IntVar(&s.MaxLength, "max-length", 64, "most tokens of a caption, BOS and EOS included; longer ones are cut")
	f.IntVar(&s.MaxSkipped, "max-skipped", 0, "unreadable pictures to pass over before giving up")
	f.IntVar(&s.SaveSteps, "save-steps", 0, "updates between two saved states, besides those after each epoch")
	f.Float64Var(&s.SaveMinutes, "save-minutes", 0, "minutes between two saved states, besides those after each epoch; 0: no others")
	f.IntVar(&s.SaveTotalLimit, "save-total-limit", 2, "newest states to keep; that of the best epoch stays besides")
	f.StringVar(&t.MetricForBestModel, "metric-for-best-model", "loss", "which epoch is the best: loss, the least of the validation data, or cider, the highest of captions generated for all of it")
	f.BoolVar(&s.LoadBestModelAtEnd, "load-best-model-at-end", false, "keep the model of the best epoch, not that of the last; also with --resume of a run that is done")
	f.IntVar(&t.EarlyStoppingPatience, "early-stopping-patience", 0, "end when for so many epochs none has been the best; 0: do not")
	f.StringVar(&s.Precision, "precision", "fp32", "of matrix products: fp32, or with more speed bf16 (sums, weights and what is saved stay float32)")
	f.IntVar(&s.Samples, "samples", 8, "validation pictures whose captions are shown after each epoch")
	f.Int64Var(&s.CacheBytes, "cache-bytes", 2<<30, "memory for what a frozen encoder says of each picture")
	f.StringVar(&s.EncoderCache, "encoder-cache", "", "folder to keep what a frozen encoder says of each picture, for later runs too; several may use it at once")
	f.StringVar(&s.EncoderCachePrecision, "encoder-cache-precision", "fp32", "of what is kept of a frozen encoder, in memory or in --encoder-cache: fp32, or in half the room bf16")
	f.StringVar(&s.resume, "resume", "", "run folder of a stopped run to go on with, with its own settings")
	s.Common.Add(f)
}

// readStages reads those of --stage or --stages.
func (s *settings) readStages(f *pflag.FlagSet) error {
	if len(s.stages) == 0 && s.stagesFile == "" {
		return nil
	}
	if len(s.stages) > 0 && s.stagesFile != "" {
		return cli.Usagef("--stage and --stages exclude each other")
	}
	if f.Changed("epochs") {
		return cli.Usagef("--epochs is of a run without stages; give each stage its own")
	}
	for _, text := range s.stages {
		stage, err := train.ParseStage(text)
		if err != nil {
			return cli.Usagef("--%w", err)
		}
		s.Training.Stages = append(s.Training.Stages, stage)
	}
	if s.stagesFile == "" {
		return nil
	}
	file, err := os.Open(s.stagesFile)
	if err != nil {
		return cli.Usagef("--stages: %w", err)
	}
	defer file.Close()
	if s.Training.Stages, err = train.ReadStages(file); err != nil {
		return cli.Usagef("--stages: %s: %w", s.stagesFile, err)
	}
	return nil
}

// resumed returns the settings of the run to go on with.
func resumed(f *pflag.FlagSet, now settings) (settings, error) {
	var extra []string
	f.Visit(func(g *pflag.Flag) {
		if !slices.Contains([]string{"resume", "threads", "json", "load-best-model-at-end"}, g.Name) {
			extra = append(extra, "--"+g.Name)
		}
	})
	if len(extra) > 0 {
		return now, cli.Usagef("--resume goes on with the settings of the stopped run; %s cannot be changed", strings.Join(extra, ", "))
	}
	var s settings
	if err := train.ReadRun(now.resume, &s); err != nil {
		return s, cli.Usagef("--resume: %w", err)
	}
	s.Threads, s.JSON, s.Out, s.resume = now.Threads, now.JSON, now.resume, now.resume
	if f.Changed("load-best-model-at-end") {
		s.LoadBestModelAtEnd = now.LoadBestModelAtEnd
	}
	return s, nil
}

func (s *settings) check() error {
	switch {
	case s.Model != "" && (s.Encoder != "" || s.Decoder != ""):
		return cli.Usagef("--model and --encoder/--decoder exclude each other")
	case s.Model != "" && s.CrossAttention != nil:
		return cli.Usagef("--cross-attention is for one that is new; --model has its own")
	case (s.Encoder == "") != (s.Decoder == ""):
		return cli.Usagef("--encoder and --decoder go together")
	case s.BatchSize < 1:
		return cli.Usagef("--batch-size is %d, must be at least 1", s.BatchSize)
	case !(s.Dropout < 1):
		return cli.Usagef("--dropout is %v, must be below 1", s.Dropout)
	case !(s.ValFraction >= 0 && s.ValFraction < 1):
		return cli.Usagef("--val-fraction is %v, must be in [0, 1)", s.ValFraction)
	case !slices.Contains(captionChoices, datasets.CaptionChoice(s.Caption)):
		return cli.Usagef("--caption is %q, must be one of %v", s.Caption, captionChoices)
	case s.MaxLength < 3:
		return cli.Usagef("--max-length is %d: BOS, a token and EOS make 3", s.MaxLength)
	case s.Samples < 0 || s.MaxSkipped < 0 || s.SaveSteps < 0 || s.CacheBytes < 0:
		return cli.Usagef("--samples, --max-skipped, --save-steps and --cache-bytes must not be negative")
	}
	if s.SaveTotalLimit < 1 {
		return cli.Usagef("--save-total-limit is %d, must be at least 1", s.SaveTotalLimit)
	}
	if m := s.Training.MetricForBestModel; m != "loss" && m != "cider" {
		return cli.Usagef("--metric-for-best-model is %q, must be loss or cider", m)
	}
	if !(s.SaveMinutes >= 0) {
		return cli.Usagef("--save-minutes is %v, must not be negative", s.SaveMinutes)
	}
	if p, err := layers.ParsePrecision(s.Precision); err != nil || p == layers.Int8 {
		return cli.Usagef("--precision is %q, must be fp32 or bf16", s.Precision)
	}
	if p, err := layers.ParsePrecision(s.EncoderCachePrecision); err != nil || p == layers.Int8 {
		return cli.Usagef("--encoder-cache-precision is %q, must be fp32 or bf16", s.EncoderCachePrecision)
	}
	if _, err := vision.ParseAugmentation(s.Augment); err != nil {
		return cli.Usagef("--augment: %w", err)
	}
	if err := s.Training.Check(); err != nil {
		return cli.Usage{Err: flagOf(err)}
	}
	if _, err := os.Stat(filepath.Join(s.Out, train.MetricsFile)); err == nil {
		return cli.Usagef("--out: %s already holds a run; choose another folder, or go on with --resume %s", s.Out, s.Out)
	}
	return nil
}

var captionChoices = []datasets.CaptionChoice{datasets.RandomCaption, datasets.FirstCaption, datasets.AllCaptions}

// flagOf names the flag in place of the option that an error is about.
func flagOf(err error) error {
	var o *train.OptionError
	if !errors.As(err, &o) {
		return err
	}
	flag, ok := map[string]string{
		"num_train_epochs": "epochs", "optim": "optimizer",
		"lr_scheduler_type": "lr-scheduler", "label_smoothing_factor": "label-smoothing",
	}[o.Option]
	if !ok {
		flag = strings.NewReplacer("_", "-", ".", "-").Replace(o.Option)
	}
	return fmt.Errorf("--%s %s", flag, o.What)
}

// loadModel reads or joins the model, which then multiplies as --precision
// says.
func (s *settings) loadModel(ctx context.Context) (*seq2seq.VisionEncoderDecoder, error) {
	precision, err := layers.ParsePrecision(cmp.Or(s.Precision, "fp32")) // runs of before have none
	if err != nil {
		return nil, err
	}
	m, err := s.readModel(ctx)
	if err == nil {
		m.SetPrecision(precision)
	}
	return m, err
}

func (s *settings) readModel(ctx context.Context) (*seq2seq.VisionEncoderDecoder, error) {
	random := layers.NewRandom(s.Seed)
	switch {
	case s.Model != "":
		return seq2seq.Load(ctx, s.Model, cli.Download())
	case s.Encoder != "":
		return seq2seq.LoadJoined(ctx, s.Encoder, s.Decoder, random, cli.Download(), s.CrossAttention...)
	}
	return sample.Base(random, s.CrossAttention...)
}

// setDropout replaces the decoder's dropout if the flag asks for it.
func (s *settings) setDropout(m *seq2seq.VisionEncoderDecoder) error {
	if s.Dropout < 0 {
		return nil
	}
	d, ok := m.Decoder.(interface{ SetDropout(float64) })
	if !ok {
		return cli.Usagef("--dropout: this decoder has none")
	}
	d.SetDropout(s.Dropout)
	return nil
}

// maxNewTokens is how long a caption may become: as long as those of the data,
// as far as the decoder has positions.
func (s *settings) maxNewTokens(m *seq2seq.VisionEncoderDecoder) int {
	return min(s.MaxLength, m.Decoder.MaxLength()-1)
}

// trainable returns the patterns of what is trained.
func (s *settings) trainable(m *seq2seq.VisionEncoderDecoder) []string {
	if len(s.Trainable) > 0 {
		return s.Trainable
	}
	patterns := []string{"crossattention"}
	if m.Projection != nil && s.Model == "" {
		patterns = append(patterns, "enc_to_dec_proj")
	}
	return patterns
}

// newTask makes the task of training the model, and opens the encoder's cache.
func (s *settings) newTask(m *seq2seq.VisionEncoderDecoder, warn func(string)) (*train.Captioning[vision.Pixels], error) {
	task := train.NewCaptioning(&m.EncoderDecoder, s.CacheBytes)
	precision, err := layers.ParsePrecision(cmp.Or(s.EncoderCachePrecision, "fp32"))
	if err != nil {
		return nil, err
	}
	if _, trained := layers.Count(m.Encoder); trained > 0 {
		if s.EncoderCache != "" || precision != layers.Float32 {
			return nil, cli.Usagef("--encoder-cache and --encoder-cache-precision are for a frozen encoder; --trainable %s trains it", strings.Join(s.Trainable, ","))
		}
		return task, nil
	}
	return task, task.UseCache(train.EncoderCache[vision.Pixels]{
		Bytes: s.CacheBytes, Precision: precision, Dir: s.EncoderCache, Digest: train.PixelsDigest, Warn: warn,
	})
}

// parts are the training and the validation data.
type parts struct {
	train, val *train.PictureData // val may be nil
	shown      *train.PictureData // whose first captions are shown
}

// validation avoids an interface that holds a nil pointer.
func (p parts) validation() train.Data[batch] {
	if p.val == nil {
		return nil
	}
	return p.val
}

func (s *settings) loadData(m *seq2seq.VisionEncoderDecoder, need func(train.Key) bool) (p parts, err error) {
	training, validation, err := s.openData(m.Processor.Decoder())
	if err != nil {
		return p, err
	}
	o := train.PictureOptions{
		BatchSize: s.BatchSize, Shuffle: s.Shuffle, Seed: s.Seed, Caption: datasets.CaptionChoice(s.Caption),
		MaxSkipped: s.MaxSkipped, MaxLength: min(s.MaxLength, m.Decoder.MaxLength()+1), Need: need,
	}
	if o.Augment, err = vision.ParseAugmentation(s.Augment); err != nil {
		return p, err
	}
	if p.train, err = train.Pictures(training, m.Processor, m.Tokenizer, o); err != nil {
		return p, fmt.Errorf("--data %s: %w", s.Data, err)
	}
	p.shown = p.train.WithoutAugmentation()
	if validation == nil {
		return p, nil
	}
	o.Shuffle, o.Caption, o.Augment = false, datasets.FirstCaption, vision.Augmentation{}
	if p.val, err = train.Pictures(validation, m.Processor, m.Tokenizer, o); err != nil {
		return p, fmt.Errorf("validation data: %w", err)
	}
	p.shown = p.val
	return p, nil
}

func (s *settings) openData(decoder vision.Decoder) (training, validation datasets.Dataset, err error) {
	o := datasets.Options{Images: s.Images, Decoder: decoder}
	if s.Data == "emoji" {
		o.Split = "train"
	}
	if training, err = datasets.Open(s.Data, o); err != nil {
		return nil, nil, fmt.Errorf("--data: %w", err)
	}
	switch {
	case s.ValData != "":
		if validation, err = datasets.Open(s.ValData, datasets.Options{Images: s.Images, Decoder: decoder}); err != nil {
			return nil, nil, fmt.Errorf("--val-data: %w", err)
		}
	case s.Data == "emoji":
		o.Split = "validation"
		if validation, err = datasets.Open(s.Data, o); err != nil {
			return nil, nil, err
		}
	case s.ValFraction > 0 && training.Len() > 1:
		training, validation = datasets.Split(training, s.ValFraction, s.Seed)
	}
	if training.Len() == 0 {
		return nil, nil, errors.New("--data: " + s.Data + " has no captioned pictures")
	}
	return training, validation, nil
}
