// Command caption puts pictures into words.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

const about = `
Print a caption for each picture (PNG, JPEG, GIF, WebP or BMP; - for standard
input). The model is the newest run of finetune under ./runs, or else the
embedded one, which knows emoji. Settings that no flag names are the model's own,
from its generation_config.json.`

type settings struct {
	cli.Common
	model      string
	background string
	batchSize  int
}

func main() { cli.Main("caption", run) }

func run(ctx context.Context, args []string) error {
	var s settings
	f := cli.Flags("caption [flags] PICTURE…", about)
	f.StringVar(&s.model, "model", "", "folder or hub name of the model")
	f.StringVar(&s.background, "background", "", "colour to lay transparent pictures on, as #rrggbb (default: that of the model, or none: alpha is dropped)")
	f.IntVar(&s.batchSize, "batch-size", 8, "pictures to caption at once")
	options := defineGeneration(f)
	s.Add(f)
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return cli.Usagef("name at least one picture, or - for standard input")
	}
	if s.batchSize < 1 {
		return cli.Usagef("--batch-size is %d, must be at least 1", s.batchSize)
	}
	if err := s.Apply(); err != nil {
		return err
	}
	m, err := s.load(ctx)
	if err != nil {
		return err
	}
	o, err := options(m.Generation, s.Seed)
	if err != nil {
		return err
	}
	return s.caption(ctx, m, o, f.Args())
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

// picture is a file to caption, or why it cannot be.
type picture struct {
	name  string
	image vision.Image
	err   error
}

// caption goes through the pictures in batches. Those that cannot be read are
// reported and passed over; the error at the end counts them.
func (s *settings) caption(ctx context.Context, m *seq2seq.VisionEncoderDecoder, o generate.Options, names []string) error {
	decoder, err := s.decoder(m)
	if err != nil {
		return err
	}
	failed := 0
	for start := 0; start < len(names); start += s.batchSize {
		var readable []picture
		var images []vision.Image
		o.Items = nil
		for i, name := range names[start:min(start+s.batchSize, len(names))] {
			p := open(decoder, name)
			if p.err != nil {
				failed++
				fmt.Fprintf(os.Stderr, "caption: %v\n", p.err)
				continue
			}
			readable, images = append(readable, p), append(images, p.image)
			o.Items = append(o.Items, uint64(start+i))
		}
		if len(readable) == 0 {
			continue
		}
		captions, err := m.Generate(ctx, images, o)
		if err != nil {
			return err
		}
		if err := s.print(readable, captions, len(names) > 1); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be read", failed, len(names))
	}
	return nil
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

func open(d vision.Decoder, name string) picture {
	p := picture{name: name}
	if name == "-" {
		if p.image, p.err = d.Decode(os.Stdin); p.err != nil {
			p.err = fmt.Errorf("standard input: %w", p.err)
		}
		return p
	}
	if p.image, p.err = d.Open(name); errors.Is(p.err, fs.ErrNotExist) {
		p.err = fmt.Errorf("%s: no such file", filepath.ToSlash(name))
	}
	return p
}

// result is a line of --json.
type result struct {
	Image    string  `json:"image"`
	Caption  string  `json:"caption"`
	TokenIDs []int   `json:"token_ids"`
	Score    float64 `json:"score"`
}

// print writes the captions, several for each picture if there are more.
func (s *settings) print(pictures []picture, captions []seq2seq.Caption, names bool) error {
	each := len(captions) / len(pictures)
	for i, c := range captions {
		p := pictures[i/each]
		if s.JSON {
			if err := json.NewEncoder(os.Stdout).Encode(result{p.name, c.Text, c.TokenIDs, c.Score}); err != nil {
				return err
			}
			continue
		}
		line := c.Text
		if names {
			line = p.name + ": " + c.Text
		}
		if _, err := fmt.Println(line); err != nil {
			return err
		}
	}
	return nil
}
