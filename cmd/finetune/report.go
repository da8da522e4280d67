package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/internal/system"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

type batch = train.Batch[vision.Pixels]

// describe says what will be done.
func (j *job) describe() {
	total, trained := layers.Count(j.model)
	w := tabwriter.NewWriter(os.Stderr, 0, 8, 2, ' ', 0)
	validation := "none"
	if j.data.val != nil {
		validation = fmt.Sprintf("%s pictures", comma(j.data.val.Dataset().Len()))
	}
	fmt.Fprintf(w, "data\t%s: %s pictures to train on, validation: %s\n", j.Data, comma(j.data.train.Dataset().Len()), validation)
	fmt.Fprintf(w, "model\t%s\n", j.modelName())
	patterns := j.trainable(j.model)
	if _, _, stage := j.trainer.Stage(); len(stage.Train) > 0 {
		patterns = stage.Train
	}
	fmt.Fprintf(w, "parameters\t%s trained (%s), %s frozen\n", comma(trained), strings.Join(patterns, ", "), comma(total-trained))
	for i, s := range j.Training.Stages {
		fmt.Fprintf(w, "stage %d\t%s\n", i+1, s)
	}
	t := j.Training
	fmt.Fprintf(w, "training\t%s, %s updates of %d pictures, %s at %g, %s after %d warm-up updates, gradients clipped at %g\n",
		j.epochs(), comma(j.trainer.TotalSteps()), j.pairsPerStep(), t.Optimizer, t.LearningRate, t.LRScheduler, t.WarmupSteps, t.MaxGradNorm)
	if t.EMADecay > 0 {
		fmt.Fprintf(w, "weights\tan exponential moving average of those trained, of which %g stays in each update\n", t.EMADecay)
	}
	if j.EncoderCache != "" {
		fmt.Fprintf(w, "encoder cache\t%s: %s pictures\n", j.EncoderCache, comma(j.task.CacheLen()))
	}
	fmt.Fprintf(w, "run folder\t%s\n", j.Out)
	if n := j.trainer.StepsDone(); n > 0 {
		fmt.Fprintf(w, "resumed\tafter update %s\n", comma(n))
	}
	w.Flush()
}

func comma(n int) string { return humanize.Comma(int64(n)) }

func (j *job) modelName() string {
	switch {
	case j.Model != "":
		return j.Model
	case j.Encoder != "":
		return j.Encoder + " joined with " + j.Decoder
	}
	return "the embedded ViT and GPT-2, joined"
}

// epochs says how often the data is gone through.
func (j *job) epochs() string {
	if n := len(j.Training.Stages); n > 0 {
		return fmt.Sprintf("%d stages", n)
	}
	if j.Training.MaxSteps > 0 {
		return fmt.Sprintf("at most %d epochs", j.Training.Epochs)
	}
	return fmt.Sprintf("%d epochs", j.Training.Epochs)
}

func (j *job) pairsPerStep() int { return j.BatchSize * j.Training.GradientAccumulationSteps }

// pairsAfter is the number of pictures seen after so many updates; the last
// update of an epoch sees what is left.
func (j *job) pairsAfter(steps int) int {
	each, all := j.pairsPerStep(), j.data.train.Dataset().Len()
	perEpoch := (all + each - 1) / each
	return steps/perEpoch*all + steps%perEpoch*each
}

// captioned is a validation picture with what it shows and what the model says.
type captioned struct {
	Image     string `json:"image"`
	Actual    string `json:"actual"`
	Generated string `json:"generated"`

	example datasets.Example
}

// samples captions the first validation pictures, or else training pictures.
func (j *job) samples() ([]captioned, error) {
	if len(j.said) > 0 { // they are there already
		return j.said[:min(j.Samples, len(j.said))], nil
	}
	return j.caption(context.Background(), j.data.shown, j.Samples, nil)
}

// caption generates for the first n pictures of data; visit, if not nil, is
// called with how many are done.
func (j *job) caption(ctx context.Context, data *train.PictureData, n int, visit func(done int)) ([]captioned, error) {
	var out []captioned
	o := j.model.Generation
	o.DoSample, o.NumReturnSequences, o.MaxNewTokens = false, 1, j.maxNewTokens(j.model)
	for b, err := range data.Epoch(ctx, 0, 0) {
		if err != nil || len(out) >= n {
			return out, err
		}
		k := min(n-len(out), len(b.IDs))
		captions, err := j.task.Generate(ctx, j.model.Tokenizer, b, k, o)
		if err != nil {
			return nil, err
		}
		for i, c := range captions {
			example, err := data.Dataset().Example(b.Keys[i].Index)
			if err != nil {
				return nil, err
			}
			out = append(out, captioned{b.IDs[i], b.References[i][0], c, example})
		}
		if visit != nil {
			visit(len(out))
		}
	}
	return out, nil
}

func (j *job) report(e train.Epoch, samples []captioned) {
	of := fmt.Sprintf(" of %d", j.Training.Epochs)
	if number, stages, _ := j.trainer.Stage(); len(j.Training.Stages) > 0 {
		of = fmt.Sprintf(" (stage %d of %d)", number, stages)
	}
	fmt.Fprintf(os.Stderr, "\nepoch %d%s: training loss %.3f", e.Epoch, of, e.TrainLoss)
	if !math.IsNaN(e.ValLoss) {
		fmt.Fprintf(os.Stderr, ", validation loss %.3f", e.ValLoss)
	}
	if e.Score != nil {
		fmt.Fprintf(os.Stderr, ", CIDEr %.3f", *e.Score)
	}
	if e.ImageGain != nil {
		fmt.Fprintf(os.Stderr, ", image gain %.3f", *e.ImageGain)
	}
	if e.Best {
		fmt.Fprint(os.Stderr, ", the best so far")
	}
	fmt.Fprintf(os.Stderr, "  (%.1f s, %.0f pairs/s)\n", e.Duration.Seconds(), float64(j.pairsAfter(e.Step)-j.pairsAfter(j.reported))/e.Duration.Seconds())
	j.reported = e.Step
	w := tabwriter.NewWriter(j.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "  picture\tactual\tgenerated")
	for _, s := range samples {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", shorten(s.Image, 28), shorten(s.Actual, 48), shorten(s.Generated, 48))
	}
	w.Flush()
	_ = j.printJSON(map[string]any{"epoch": e.Epoch, "step": e.Step, "train_loss": e.TrainLoss, "validation_loss": nullable(e.ValLoss), "image_gain": e.ImageGain, "cider": e.Score, "best": e.Best, "samples": samples})
}

func nullable(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// record keeps the samples with the files of the run, and writes its report.
func (j *job) record(e train.Epoch, samples []captioned) error {
	shown := make([]train.Sample, len(samples))
	for i, s := range samples {
		picture, err := s.example.Image()
		if err != nil {
			return err
		}
		shown[i] = train.Sample{ID: s.Image, Picture: picture, Actual: s.example.Captions, Generated: s.Generated}
	}
	if err := j.folder.Samples(e, shown); err != nil {
		return err
	}
	return j.folder.Report()
}

// conclude says what came of it and what to do next.
func (j *job) conclude(ctx context.Context) error {
	result := map[string]any{"run": j.Out, "steps": j.reported}
	if j.Data == "emoji" && j.data.val != nil {
		name, tone, both, n, err := j.scoreEmoji(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\nof %d held-out pictures: right name %.0f%%, right skin tone %.0f%%, both %.0f%%\n", n, 100*name, 100*tone, 100*both)
		result["name"], result["tone"], result["both"] = name, tone, both
	}
	skipped := j.data.train.Skipped()
	if j.data.val != nil {
		skipped = append(skipped, j.data.val.Skipped()...)
	}
	if len(skipped) > 0 {
		fmt.Fprintf(os.Stderr, "\n%d pictures could not be read and were passed over:\n", len(skipped))
		for _, s := range skipped {
			fmt.Fprintf(os.Stderr, "  %v\n", s.Err)
		}
	}
	if peak := system.PeakMemory(); peak > 0 {
		fmt.Fprintf(os.Stderr, "\nmemory at the peak: %s\n", humanize.Bytes(uint64(peak)))
		result["peak_memory"] = peak
	}
	fmt.Fprintf(os.Stderr, "\nThe model is in %s, the report in %s. See what the model says of a picture:\n\n  go run ./cmd/caption PICTURE\n\n",
		filepath.Join(j.Out, train.ModelDir), filepath.Join(j.Out, train.ReportFile))
	return j.printJSON(result)
}

// scoreEmoji tells how many of the held-out emoji are named rightly: the
// things, their skin tones, and both.
func (j *job) scoreEmoji(ctx context.Context) (name, tone, both float64, n int, err error) {
	samples, err := j.caption(ctx, j.data.val, j.data.val.Dataset().Len(), nil)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	for _, s := range samples {
		rightName, rightTone := emoji.Score(s.Generated, s.Actual)
		if rightName {
			name++
		}
		if rightTone {
			tone++
		}
		if rightName && rightTone {
			both++
		}
	}
	total := float64(len(samples))
	return name / total, tone / total, both / total, len(samples), nil
}
