// Command caption puts pictures into words.
package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

const about = `
Print a caption for each picture: files (PNG, JPEG, GIF, WebP, BMP), folders,
patterns such as 'photos/*.jpg', or - for standard input. The model is the newest
run of finetune under ./runs, or else the embedded one, which knows emoji.
Settings that no flag names are the model's own, from its generation_config.json.
Pictures that cannot be read are reported and passed over; the exit code is then 1.`

type settings struct {
	cli.Common
	model      string
	background string
	batchSize  int
	output     string
	csv        bool
	resume     string
	shard      string
	attention  string
	precision  string
}

func main() { cli.Main("caption", run) }

func run(ctx context.Context, args []string) error {
	var s settings
	f := cli.Flags("caption [flags] PICTURE…", about)
	f.StringVar(&s.model, "model", "", "folder or hub name of the model")
	f.StringVar(&s.background, "background", "", "colour to lay transparent pictures on, as #rrggbb (default: as the model's preprocessor_config.json says)")
	f.IntVar(&s.batchSize, "batch-size", 8, "pictures to caption at once")
	f.StringVar(&s.output, "output", "", "file to write to, instead of standard output")
	f.BoolVar(&s.csv, "csv", false, "write CSV with a header: image, caption, score")
	f.StringVar(&s.resume, "resume", "", "JSON lines file to go on with: pictures that it has are left out, others are added to it")
	f.StringVar(&s.shard, "shard", "", "i/n: only every n-th picture, from the i-th on, for n processes that share a list")
	f.StringVar(&s.attention, "attention", "", "PNG file to draw one picture in, once a word, with what the model looked at")
	f.StringVar(&s.precision, "precision", "fp32", "of the weights: fp32, or with less memory and more speed bf16 or, in the decoder, int8")
	options := defineGeneration(f)
	s.Add(f)
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := s.check(f.Args()); err != nil {
		return err
	}
	precision, err := layers.ParsePrecision(s.precision)
	if err != nil {
		return cli.Usagef("--%v", err)
	}
	pictures, err := s.pictures(f.Args())
	if err != nil {
		return err
	}
	m, err := s.load(ctx)
	if err != nil {
		return err
	}
	o, err := options(m.Generation, m.Tokenizer, m.Decoder.MaxLength(), s.Seed)
	if err != nil {
		return err
	}
	if err := o.Check(m.Decoder.VocabSize(), m.Decoder.MaxLength()); err != nil {
		return cli.Usage{Err: err}
	}
	if s.attention == "" || precision != layers.Float32 { // looking at attention reads each weight once
		m.Hold(precision)
	}
	if s.attention != "" {
		return s.drawAttention(ctx, m, o, pictures[0])
	}
	out, err := s.open(len(pictures), o.NumReturnSequences)
	if err != nil {
		return err
	}
	return errors.Join(s.caption(ctx, m, o, out.left(pictures), out), out.close())
}

func (s *settings) check(args []string) error {
	switch {
	case len(args) == 0:
		return cli.Usagef("name at least one picture, or - for standard input")
	case s.batchSize < 1:
		return cli.Usagef("--batch-size is %d, must be at least 1", s.batchSize)
	case s.csv && (s.JSON || s.resume != ""):
		return cli.Usagef("--csv excludes --json and --resume, which write JSON lines")
	case s.output != "" && s.resume != "":
		return cli.Usagef("--resume names the file to write to; --output cannot name another")
	case s.attention != "" && (len(args) != 1 || s.output != "" || s.resume != "" || s.shard != ""):
		return cli.Usagef("--attention takes one picture, and no --output, --resume or --shard")
	}
	return s.Apply()
}

// load reads the model that the flags name.
func (s *settings) load(ctx context.Context) (*seq2seq.VisionEncoderDecoder, error) {
	name := s.model
	if name == "" {
		newest, err := train.NewestModel("runs")
		if err != nil {
			return nil, err
		}
		if name = newest; name == "" {
			fmt.Fprintln(os.Stderr, "model: the embedded sample's")
			return sample.Captioner()
		}
		fmt.Fprintf(os.Stderr, "model: %s\n", name)
	}
	return seq2seq.Load(ctx, name, cli.Download())
}

// decoder reads pictures as the model wants transparent ones to be read.
func (s *settings) decoder(m *seq2seq.VisionEncoderDecoder) (vision.Decoder, error) {
	if s.background == "" {
		return m.Processor.Decoder(), nil
	}
	var c color.RGBA
	if n, err := fmt.Sscanf(s.background, "#%02x%02x%02x", &c.R, &c.G, &c.B); n != 3 || err != nil || len(s.background) != 7 {
		return vision.Decoder{}, cli.Usagef("--background is %q, expected #rrggbb", s.background)
	}
	c.A = 255
	return vision.Decoder{Background: c}, nil
}
