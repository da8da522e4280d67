// Command captions draws docs/images/captions.png: held-out emoji with what
// they show and what a model says of them. Run it at the top of the repository:
//
//	go run ./docs/figures/captions
package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

const about = `
Draw a sheet of held-out emoji with their actual captions and those that a model
generates. The pictures are evenly spaced among the held-out ones, not chosen.`

// onSheet is the number of pictures on the sheet.
const onSheet = 12

func main() { cli.Main("captions", run) }

func run(ctx context.Context, args []string) error {
	var model, out string
	f := cli.Flags("captions [flags]", about)
	f.StringVar(&model, "model", "", "folder or hub name of the model (default: the embedded one)")
	f.StringVar(&out, "out", "docs/images/captions.png", "file to write")
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	m, err := load(ctx, model)
	if err != nil {
		return err
	}
	sheet, err := drawModel(ctx, m)
	if err != nil {
		return err
	}
	return write(out, sheet)
}

// drawModel draws what a model says of the held-out emoji.
func drawModel(ctx context.Context, m *seq2seq.VisionEncoderDecoder) (image.Image, error) {
	all, err := caption(ctx, m, emoji.Validation())
	if err != nil {
		return nil, err
	}
	return drawSheet(evenly(all, onSheet), summary(all))
}

func load(ctx context.Context, model string) (*seq2seq.VisionEncoderDecoder, error) {
	if model == "" {
		return sample.Captioner()
	}
	return seq2seq.Load(ctx, model, nil)
}

// captioned is a picture with what it shows and what a model says of it.
type captioned struct {
	picture           image.Image
	actual, generated string
}

func caption(ctx context.Context, m *seq2seq.VisionEncoderDecoder, data datasets.Dataset) ([]captioned, error) {
	var pictures []vision.Image
	var out []captioned
	for i := range data.Len() {
		e, err := data.Example(i)
		if err != nil {
			return nil, err
		}
		p, err := e.Image()
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, p)
		file, err := emoji.PNG(e.ID)
		if err != nil {
			return nil, err
		}
		shown, err := png.Decode(bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		out = append(out, captioned{picture: shown, actual: e.Captions[0]})
	}
	captions, err := m.Generate(ctx, pictures, m.Generation)
	if err != nil {
		return nil, err
	}
	for i, c := range captions {
		out[i].generated = c.Text
	}
	return out, nil
}

// evenly takes n of all, the first among them.
func evenly(all []captioned, n int) []captioned {
	n = min(n, len(all))
	out := make([]captioned, n)
	for i := range out {
		out[i] = all[i*len(all)/n]
	}
	return out
}

// summary scores all captions.
func summary(all []captioned) string {
	var name, tone, both int
	for _, c := range all {
		n, t := emoji.Score(c.generated, c.actual)
		name, tone, both = name+count(n), tone+count(t), both+count(n && t)
	}
	percent := func(k int) float64 { return 100 * float64(k) / float64(len(all)) }
	return fmt.Sprintf("Of %d held-out pictures: right name %.0f%%, right skin tone %.0f%%, both %.0f%%.", len(all), percent(name), percent(tone), percent(both))
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func write(name string, img image.Image) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(f, img); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
