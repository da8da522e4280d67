// Command caption puts pictures into words.
package main

import (
	"context"
	"errors"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli/captioner"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

const about = `
Print a caption for each picture: files (PNG, JPEG, GIF, WebP, BMP), folders,
patterns such as 'photos/*.jpg', or - for standard input. The model is the newest
run of finetune under ./runs, or else the embedded one, which knows emoji.
Settings that no flag names are the model's own, from its generation_config.json.
Pictures that cannot be read are reported and passed over; the exit code is then 1.`

type settings struct {
	cli.Common
	captioner captioner.Flags
	batchSize int
	output    string
	csv       bool
	resume    string
	shard     string
	attention string
}

func main() { cli.Main("caption", run) }

func run(ctx context.Context, args []string) error {
	var s settings
	f := cli.Flags("caption [flags] PICTURE…", about)
	s.captioner.AddModel(f)
	f.IntVar(&s.batchSize, "batch-size", 8, "pictures to caption at once")
	f.StringVar(&s.output, "output", "", "file to write to, instead of standard output")
	f.BoolVar(&s.csv, "csv", false, "write CSV with a header: image, caption, score")
	f.StringVar(&s.resume, "resume", "", "JSON lines file to go on with: pictures that it has are left out, others are added to it")
	f.StringVar(&s.shard, "shard", "", "i/n: only every n-th picture, from the i-th on, for n processes that share a list")
	f.StringVar(&s.attention, "attention", "", "PNG file to draw one picture in, once a word, with what the model looked at")
	s.captioner.AddGeneration(f)
	s.Add(f)
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := s.check(f.Args()); err != nil {
		return err
	}
	if err := s.captioner.Check(); err != nil {
		return err
	}
	pictures, err := s.pictures(f.Args())
	if err != nil {
		return err
	}
	m, err := s.captioner.Load(ctx)
	if err != nil {
		return err
	}
	o, err := s.captioner.Generation(m, s.Seed)
	if err != nil {
		return err
	}
	if s.attention != "" {
		if s.captioner.Precision != layers.Float32 { // looking at attention reads each weight once
			m.Hold(s.captioner.Precision)
		}
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
