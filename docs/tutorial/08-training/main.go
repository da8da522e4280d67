// Command training trains the captioner twice, once with enough pictures and
// once with too few, and draws the curves of both runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func main() {
	out := flag.String("out", "docs/tutorial/08-training", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	many, err := withTones(emoji.Train(), 192)
	if err != nil {
		return err
	}
	few, err := withTones(emoji.Train(), 16)
	if err != nil {
		return err
	}
	held, err := withTones(emoji.Validation(), 48)
	if err != nil {
		return err
	}
	fmt.Printf("%d pictures, the cross-attention is trained\n", many.Len())
	good, model, err := fit(ctx, many, held, 8, "crossattention")
	if err != nil {
		return err
	}
	if err := judge(ctx, model, held); err != nil {
		return err
	}
	fmt.Printf("\n%d pictures, the whole decoder is trained\n", few.Len())
	bad, _, err := fit(ctx, few, held, 12, "decoder.*")
	if err != nil {
		return err
	}
	return draw(good, bad).WriteFile(filepath.Join(out, "curves.svg"))
}

// withTones takes n of the pictures whose caption tells a skin tone, from all
// over the data set.
func withTones(d datasets.Dataset, n int) (datasets.Dataset, error) {
	var all []int
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			return nil, err
		}
		if _, tone := emoji.ParseName(e.Captions[0]); tone != "" {
			all = append(all, i)
		}
	}
	chosen := make([]int, n)
	for i := range chosen {
		chosen[i] = all[i*len(all)/n]
	}
	return datasets.Subset(d, chosen), nil
}

// curves are the numbers of a run.
type curves struct {
	steps  []train.Step
	epochs []train.Epoch
}

// fit trains the parameters that match a pattern.
func fit(ctx context.Context, training, held datasets.Dataset, epochs int, pattern string) (curves, *seq2seq.VisionEncoderDecoder, error) {
	var c curves
	model, err := sample.Base(layers.NewRandom(1))
	if err != nil {
		return c, nil, err
	}
	if err := layers.Trainable(model, pattern); err != nil {
		return c, nil, err
	}
	task := train.NewCaptioning(&model.EncoderDecoder, 1<<30)

	o := train.PictureOptions{BatchSize: 8, Shuffle: true, Seed: 1, Need: task.Lacks}
	data, err := train.Pictures(training, model.Processor, model.Tokenizer, o)
	if err != nil {
		return c, nil, err
	}
	o.Shuffle, o.Caption = false, datasets.FirstCaption
	validation, err := train.Pictures(held, model.Processor, model.Tokenizer, o)
	if err != nil {
		return c, nil, err
	}

	options := train.DefaultOptions()
	options.Epochs, options.WarmupSteps = epochs, 20
	trainer, err := train.New(task, data, validation, options)
	if err != nil {
		return c, nil, err
	}
	trainer.Hooks.Step = func(s train.Step) error {
		c.steps = append(c.steps, s)
		return nil
	}
	trainer.Hooks.Epoch = func(e train.Epoch) error {
		c.epochs = append(c.epochs, e)
		fmt.Printf("epoch %2d, update %3d: training loss %.2f, validation loss %.2f, image gain %.2f\n",
			e.Epoch, e.Step, e.TrainLoss, e.ValLoss, *e.ImageGain)
		return nil
	}
	return c, model, trainer.Run(ctx)
}

// judge lets the model caption the held-out pictures.
func judge(ctx context.Context, model *seq2seq.VisionEncoderDecoder, held datasets.Dataset) error {
	layers.Freeze(model)
	var pictures []vision.Image
	var actual []string
	for i := range held.Len() {
		e, err := held.Example(i)
		if err != nil {
			return err
		}
		picture, err := e.Image()
		if err != nil {
			return err
		}
		pictures, actual = append(pictures, picture), append(actual, e.Captions[0])
	}
	captions, err := model.Generate(ctx, pictures, model.Generation)
	if err != nil {
		return err
	}
	fmt.Println()
	names, tones := 0, 0
	for i, c := range captions {
		name, tone := emoji.Score(c.Text, actual[i])
		if name {
			names++
		}
		if tone {
			tones++
		}
		if i < 6 {
			fmt.Printf("%-46s %s\n", actual[i], c.Text)
		}
	}
	fmt.Printf("right name: %d of %d, right skin tone: %d\n", names, len(captions), tones)
	return nil
}
