package lines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

const batchSize = 32

// Train trains all weights of a model for a number of updates, each on new
// lines, and saves it. The saved model then reads held-out lines: the program
// prints the share of characters that are wrong, and lines.png shows some.
func Train(ctx context.Context, m *seq2seq.VisionEncoderDecoder, steps, heldOut int, out string) error {
	start := time.Now()
	data, err := train.Pictures(Dataset{N: steps * batchSize, Seed: 1}, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: batchSize})
	if err != nil {
		return err
	}
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.WarmupSteps = 1, 1.5e-3, 200
	t, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 0), data, nil, o)
	if err != nil {
		return err
	}
	sum, every := 0.0, max(1, steps/10)
	t.Hooks.Step = func(s train.Step) error {
		if sum += s.Loss; s.Step%every == 0 {
			fmt.Printf("update %4d: loss %.3f\n", s.Step, sum/float64(every))
			sum = 0
		}
		return nil
	}
	if err := t.Run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "trained in %.0f s\n", time.Since(start).Seconds())
	if err := m.Save(out, seq2seq.SaveOptions{}); err != nil {
		return err
	}
	saved, err := seq2seq.LoadFS(os.DirFS(out))
	if err != nil {
		return err
	}
	return read(ctx, saved, heldOut, filepath.Join(out, "lines.png"))
}

// read lets a model read the first n held-out lines.
func read(ctx context.Context, m *seq2seq.VisionEncoderDecoder, n int, png string) error {
	var pictures []vision.Image
	var actual, read []string
	for i := range n {
		e, err := Dataset{N: n, HeldOut: true}.Example(i)
		if err != nil {
			return err
		}
		picture, err := e.Image()
		if err != nil {
			return err
		}
		pictures, actual = append(pictures, picture), append(actual, e.Captions[0])
	}
	o := m.Generation
	o.MaxNewTokens = MaxLength + 1 // and the end
	captions, err := m.Generate(ctx, pictures, o)
	if err != nil {
		return err
	}
	for _, c := range captions {
		read = append(read, c.Text)
	}
	errorRate, err := metrics.CharacterErrorRate(read, actual)
	if err != nil {
		return err
	}
	fmt.Printf("%d held-out lines: %.2f%% of the characters are wrong\n", n, 100*errorRate)
	return saveSheet(png, pictures, actual, read)
}
