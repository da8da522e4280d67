// Command freezing chooses by name what is trained, and shows that the rest stays
// as it is, to the bit.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

func main() {
	out := flag.String("out", "docs/tutorial/07-freezing", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	model, err := sample.Base(layers.NewRandom(1))
	if err != nil {
		return err
	}
	if err := patterns(model); err != nil {
		return err
	}
	if err := layers.Trainable(model, "crossattention"); err != nil {
		return err
	}
	if err := draw(model).WriteFile(filepath.Join(out, "trained.svg")); err != nil {
		return err
	}
	task := train.NewCaptioning(&model.EncoderDecoder, 1<<30)
	_, part := datasets.Split(emoji.Train(), 0.02, 1)
	data, err := train.Pictures(part, model.Processor, model.Tokenizer, train.PictureOptions{BatchSize: 8, Shuffle: true, Seed: 1, Need: task.Lacks})
	if err != nil {
		return err
	}
	if err := gradients(ctx, model, task, data); err != nil {
		return err
	}
	if err := compare(ctx, model, task, data); err != nil {
		return err
	}
	return stages(ctx, model, task, data)
}

// patterns prints names, and what patterns select of them.
func patterns(model *seq2seq.VisionEncoderDecoder) error {
	for _, p := range layers.Parameters(model) {
		if strings.HasPrefix(p.Name, "decoder.transformer.h.0.") {
			fmt.Println(p.Name, p.Shape)
		}
	}
	fmt.Println()

	for _, pattern := range []string{"crossattention", "h.3", "decoder.*", "*.bias", `re:cross_?att`, "*"} {
		if err := layers.Trainable(model, pattern); err != nil {
			return err
		}
		total, trained := layers.Count(model)
		fmt.Printf("%-16s trains %7d of %d numbers\n", pattern, trained, total)
	}
	fmt.Println()

	err := layers.Trainable(model, "crosattention")
	fmt.Println(err)
	fmt.Println()
	return nil
}

// gradients prints how long the gradient of each block is.
func gradients(ctx context.Context, model *seq2seq.VisionEncoderDecoder, task *train.Captioning[vision.Pixels], data *train.PictureData) error {
	for batch, err := range data.Epoch(ctx, 0, 0) {
		if err != nil {
			return err
		}
		result, err := task.Loss(batch, losses.Options{}, nil)
		if err != nil {
			return err
		}
		if err := ag.Backward(result.Loss); err != nil {
			return err
		}
		break
	}
	for _, block := range []string{"h.3", "h.2", "h.1", "h.0"} {
		var frozen, trained []optim.Param
		for _, p := range layers.Parameters(model) {
			switch {
			case !strings.Contains(p.Name, "."+block+"."):
			case p.Value.HasGrad():
				trained = append(trained, optim.Param{Name: p.Name, Value: p.Value})
			default:
				frozen = append(frozen, optim.Param{Name: p.Name, Value: p.Value})
			}
		}
		norm, err := optim.ClipGradNorm(trained, 0) // 0: only measure
		if err != nil {
			return err
		}
		fmt.Printf("%s: %2d parameters without a gradient, %d with one, of norm %.1f\n", block, len(frozen), len(trained), norm)
	}
	fmt.Println()
	return nil
}

// sameBits tells whether all numbers are the same, to the bit.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// compare trains for three epochs and looks for changed bits.
func compare(ctx context.Context, model *seq2seq.VisionEncoderDecoder, task *train.Captioning[vision.Pixels], data *train.PictureData) error {
	before := map[string][]float32{}
	for _, p := range layers.Parameters(model) {
		before[p.Name] = slices.Clone(mat.Data[float32](p.Value.Value()))
	}

	options := train.DefaultOptions()
	options.Epochs, options.WarmupSteps = 3, 0
	trainer, err := train.New(task, data, nil, options)
	if err != nil {
		return err
	}
	if err := trainer.Run(ctx); err != nil {
		return err
	}

	var frozen, trained, frozenChanged, trainedChanged int
	for _, p := range layers.Parameters(model) {
		same := sameBits(mat.Data[float32](p.Value.Value()), before[p.Name])
		switch {
		case p.Value.RequiresGrad() && same:
			trained++
		case p.Value.RequiresGrad():
			trained, trainedChanged = trained+1, trainedChanged+1
		case same:
			frozen++
		default:
			frozen, frozenChanged = frozen+1, frozenChanged+1
		}
	}
	fmt.Printf("%d updates\n", trainer.StepsDone())
	fmt.Printf("%3d frozen parameters, %2d of them changed\n", frozen, frozenChanged)
	fmt.Printf("%3d trained parameters, %2d of them changed\n", trained, trainedChanged)
	fmt.Printf("%d pictures in each of 3 epochs, %d runs of the encoder\n", data.Dataset().Len(), task.Encoded())

	_, n := layers.Count(model)
	moments := 0
	for _, m := range trainer.Optimizer.State().Moments {
		moments += len(m)
	}
	fmt.Printf("the optimiser keeps %d numbers, %d for each trained one\n", moments, moments/n)
	fmt.Println()
	return nil
}

// stages trains the cross-attention first, and then the whole decoder with
// smaller steps.
func stages(ctx context.Context, model *seq2seq.VisionEncoderDecoder, task *train.Captioning[vision.Pixels], data *train.PictureData) error {
	options := train.DefaultOptions()
	options.WarmupSteps = 0
	options.Stages = []train.Stage{
		{Epochs: 1, Train: []string{"crossattention"}, LearningRate: 1e-3},
		{Epochs: 1, Train: []string{"decoder.*"}, LearningRate: 1e-4, Rates: []train.Rate{{Pattern: "wte", LearningRate: 1e-5}}},
	}
	trainer, err := train.New(task, data, nil, options)
	if err != nil {
		return err
	}
	trainer.Hooks.Stage = func(s train.StageStart) error {
		_, trained := layers.Count(model)
		fmt.Printf("stage %d of %d: %s (%d numbers trained)\n", s.Number, s.Of, s, trained)
		return nil
	}
	return trainer.Run(ctx)
}
