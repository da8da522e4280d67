// Command explosions shows why gradients explode, and what the cures do
// against it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

func main() {
	out := flag.String("out", "docs/tutorial/09-explosions", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	loud, err := louder(ctx)
	if err != nil {
		return err
	}
	if err := drawLoud(loud).WriteFile(filepath.Join(out, "loud.svg")); err != nil {
		return err
	}
	if err := quieter(ctx); err != nil {
		return err
	}
	if err := firstSteps(); err != nil {
		return err
	}
	runs, err := compare(ctx)
	if err != nil {
		return err
	}
	if err := guarded(ctx); err != nil {
		return err
	}
	return drawRuns(runs).WriteFile(filepath.Join(out, "runs.svg"))
}

// level is what comes of a cross-attention that is factor times as loud.
type level struct{ factor, loss, norm float64 }

// louder makes the new cross-attention speak louder and louder, and looks at a
// batch's loss and its gradient.
func louder(ctx context.Context) (levels []level, err error) {
	p, err := newPupil()
	if err != nil {
		return nil, err
	}
	for factor := 0.25; factor <= 64; factor *= 2 {
		if err := p.renew(); err != nil {
			return nil, err
		}
		for _, block := range p.model.Decoder.(*gpt2.Model).Transformer.Blocks {
			weights := mat.Data[float32](block.CrossAttention.CProj.Weight.Value())
			for i := range weights {
				weights[i] *= float32(factor)
			}
		}
		loss, norm, err := p.gradient(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Printf("%5.2f times as loud: loss %.2f, gradient of norm %4.1f\n", factor, loss, norm)
		levels = append(levels, level{factor, loss, norm})
	}
	fmt.Println()
	return levels, nil
}

// quieter looks at the same of cross-attentions whose result is scaled down.
func quieter(ctx context.Context) error {
	p, err := newPupil()
	if err != nil {
		return err
	}
	for _, v := range []gpt2.Variant{gpt2.Plain, gpt2.LayerScale, gpt2.Gated} {
		if err := p.renew(v); err != nil {
			return err
		}
		loss, norm, err := p.gradient(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%-11s loss %.2f, gradient of norm %.2f\n", v, loss, norm)
	}
	fmt.Println()
	return nil
}

// pupil is a model that can be made new, and the pictures that it learns from.
type pupil struct {
	model *seq2seq.VisionEncoderDecoder
	task  *train.Captioning[vision.Pixels]
	data  *train.PictureData
}

func newPupil() (*pupil, error) {
	model, err := sample.Base(layers.NewRandom(1))
	if err != nil {
		return nil, err
	}
	p := &pupil{model: model, task: train.NewCaptioning(&model.EncoderDecoder, 1<<30)}
	_, part := datasets.Split(emoji.Train(), 0.04, 1)
	p.data, err = train.Pictures(part, model.Processor, model.Tokenizer, train.PictureOptions{BatchSize: 8, Shuffle: true, Seed: 1, Need: p.task.Lacks})
	return p, err
}

// renew gives the model a new cross-attention, which alone is trained.
func (p *pupil) renew(variants ...gpt2.Variant) error {
	fresh, err := sample.Base(layers.NewRandom(1), variants...)
	if err != nil {
		return err
	}
	p.model.Decoder = fresh.Decoder
	return layers.Trainable(p.model, "crossattention")
}

// gradient is the loss of the first batch, and how long its gradient is.
func (p *pupil) gradient(ctx context.Context) (loss, norm float64, err error) {
	for batch, err := range p.data.Epoch(ctx, 0, 0) {
		if err != nil {
			return 0, 0, err
		}
		result, err := p.task.Loss(batch, losses.Options{}, nil)
		if err != nil {
			return 0, 0, err
		}
		if err := ag.Backward(result.Loss); err != nil {
			return 0, 0, err
		}
		loss = result.Value
		break
	}
	var trained []optim.Param
	for _, q := range layers.Parameters(p.model) {
		if q.Value.RequiresGrad() {
			trained = append(trained, optim.Param{Name: q.Name, Value: q.Value})
		}
	}
	norm, err = optim.ClipGradNorm(trained, 0)
	return loss, norm, err
}

// firstSteps lets SGD and AdamW make a step along gradients of very different
// lengths.
func firstSteps() error {
	for _, gradient := range []float32{0.01, 1, 100} {
		var moved [2]float64
		for i := range moved {
			p := nn.NewParam(mat.NewDense[float32](mat.WithBacking([]float32{0}), mat.WithShape(1, 1)))
			p.AccGrad(mat.NewDense[float32](mat.WithBacking([]float32{gradient}), mat.WithShape(1, 1)))
			groups := []*optim.Group{{Params: []optim.Param{{Name: "p", Value: p}}, LearningRate: 1e-3}}
			o, err := optim.NewAdamW(groups, optim.DefaultAdam())
			if i == 0 {
				o, err = optim.NewSGD(groups, optim.SGDOptions{})
			}
			if err != nil {
				return err
			}
			if err := o.Step(); err != nil {
				return err
			}
			moved[i] = float64(mat.Data[float32](p.Value())[0])
		}
		fmt.Printf("gradient %6.2f: SGD moves by %.5f, AdamW by %.5f\n", gradient, -moved[0], -moved[1])
	}
	fmt.Println()
	return nil
}

// history is what a run came to, update by update.
type history struct {
	name                      string
	losses, norms, loudnesses []float64
}

// compare trains 60 updates in several ways.
func compare(ctx context.Context) ([]history, error) {
	p, err := newPupil()
	if err != nil {
		return nil, err
	}
	plain := train.DefaultOptions()
	plain.Epochs, plain.MaxSteps = 100, 60
	plain.LRScheduler, plain.WarmupSteps, plain.MaxGradNorm, plain.Guard = "constant", 0, 0, train.GuardOptions{}

	fast := plain
	fast.LearningRate = 3e-3

	careful := fast
	careful.LRScheduler, careful.WarmupSteps, careful.MaxGradNorm = "cosine", 20, 1

	var runs []history
	for _, r := range []struct {
		name     string
		options  train.Options
		variants []gpt2.Variant
	}{
		{"plain, 1e-3", plain, nil},
		{"plain, 3e-3", fast, nil},
		{"default, 3e-3", careful, nil},
		{"layer_scale, 3e-3", fast, []gpt2.Variant{gpt2.LayerScale}},
	} {
		if err := p.renew(r.variants...); err != nil {
			return nil, err
		}
		h := history{name: r.name}
		trainer, err := train.New(p.task, p.data, nil, r.options)
		if err != nil {
			return nil, err
		}
		trainer.Hooks.Step = func(s train.Step) error {
			h.losses, h.norms = append(h.losses, s.Loss), append(h.norms, s.GradNorm)
			h.loudnesses = append(h.loudnesses, p.loudness())
			return nil
		}
		before := p.loudness()
		if err := trainer.Run(ctx); err != nil {
			return nil, err
		}
		fmt.Printf("%-18s last ten losses %.1f, longest gradient %4.1f, factors from %.3f to %.3f\n",
			r.name, mean(h.losses[50:]), slices.Max(h.norms), before, h.loudnesses[59])
		runs = append(runs, h)
	}
	fmt.Println()
	return runs, nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// loudness is the root mean square of what the cross-attentions multiply their
// results with: c_proj, and the scale behind it.
func (p *pupil) loudness() float64 {
	sum, n := 0.0, 0
	for _, block := range p.model.Decoder.(*gpt2.Model).Transformer.Blocks {
		dim := p.model.Decoder.Dim()
		factors := slices.Repeat([]float64{1}, dim)
		if output := block.CrossAttention.Output; output != nil {
			factors = output.Factors(dim)
		}
		for i, w := range mat.Data[float32](block.CrossAttention.CProj.Weight.Value()) {
			x := float64(w) * factors[i%dim]
			sum, n = sum+x*x, n+1
		}
	}
	return math.Sqrt(sum / float64(n))
}

// guarded trains at an absurd learning rate.
func guarded(ctx context.Context) error {
	p, err := newPupil()
	if err != nil {
		return err
	}
	if err := p.renew(); err != nil {
		return err
	}
	options := train.DefaultOptions()
	options.Epochs, options.WarmupSteps, options.LearningRate = 10, 0, 1e20
	options.Guard.MaxSkipped = 6
	trainer, err := train.New(p.task, p.data, nil, options)
	if err != nil {
		return err
	}
	trainer.Hooks.Step = func(s train.Step) error {
		fmt.Printf("update %d: loss %.1f\n", s.Step, s.Loss)
		return nil
	}
	trainer.Hooks.Skip = func(s train.Skip) error {
		fmt.Printf("update %d: %s\n", s.Step, s.Why)
		return nil
	}
	err = trainer.Run(ctx)
	if !errors.Is(err, train.ErrNotFinite) {
		return fmt.Errorf("expected an explosion, got %w", err)
	}
	fmt.Println(err)
	return nil
}
