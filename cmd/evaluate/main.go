// Command evaluate measures how well a model describes captioned pictures, or
// scores captions that were made elsewhere.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	_ "github.com/ekphrasis-ml/ekphrasis/datasets/emoji" // the data set of that name
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli/captioner"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/spf13/pflag"
)

const about = `
Measure a model on captioned pictures: loss and perplexity of their captions; the
image gain, which is how much the loss rises with the pictures of others (near 0,
the model ignores the picture); and BLEU-1 to BLEU-4, ROUGE-L and CIDEr of what it
says itself, with the numbers of COCO's evaluation (pycocoevalcap, its tokenizer
included). The model is the newest run of finetune under ./runs, or else the
embedded one. With --results it scores a file of captions instead, without a model:
a COCO results file, or what caption --json printed.

METEOR and SPICE are left out: METEOR needs WordNet and tables of paraphrases, SPICE
a parser of English in Java, and neither can be shipped with this program.`

type settings struct {
	cli.Common
	captioner  captioner.Flags
	data       string
	images     string
	split      string
	batchSize  int
	caption    string
	maxSkipped int
	results    string
	perCaption string
	perPicture string
	html       string
	shown      int
}

func main() { cli.Main("evaluate", run) }

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	out, err := s.create()
	if err != nil {
		return err
	}
	defer out.discard()
	var r *evaluate.Result
	var d datasets.Dataset
	if s.results != "" {
		r, d, err = s.scoreResults()
	} else {
		r, d, err = s.measure(ctx, out)
	}
	if err != nil {
		return err
	}
	if err := out.finish(r, d, s); err != nil {
		return err
	}
	return s.print(r)
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	f := cli.Flags("evaluate [flags] --data SOURCE", about)
	f.StringVar(&s.data, "data", "", "captioned pictures: emoji, a COCO file, .jsonl, .csv, or a folder; see the package datasets")
	f.StringVar(&s.images, "images", "", "folder of the pictures that the data names")
	f.StringVar(&s.split, "split", "", "part of the data, where it tells parts apart (default: all; of emoji, validation)")
	f.StringVar(&s.results, "results", "", "file of captions to score instead of a model's: COCO results, or JSON lines of caption")
	f.StringVar(&s.perCaption, "per-caption", "", "JSON lines file for the loss of each caption of the data")
	f.StringVar(&s.perPicture, "per-picture", "", "JSON lines file for what was said of each picture, and its scores")
	f.StringVar(&s.html, "html", "", "HTML file for the scores and the worst and the best pictures, to open in a browser")
	f.IntVar(&s.shown, "html-pictures", 20, "worst pictures, and best ones, to show in it")
	f.StringVar(&s.caption, "caption", "all", "captions of a picture that loss and image gain are measured on: all or first")
	f.IntVar(&s.batchSize, "batch-size", 8, "pictures at once; the image gain swaps those of a batch")
	f.IntVar(&s.maxSkipped, "max-skipped", 0, "unreadable pictures to pass over before giving up")
	s.captioner.AddModel(f)
	s.captioner.AddGeneration(f)
	s.Add(f)
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	return s, s.check(f)
}

func (s *settings) check(f *pflag.FlagSet) error {
	switch {
	case f.NArg() > 0:
		return cli.Usagef("unexpected argument %q", f.Arg(0))
	case s.data == "":
		return cli.Usagef("--data is missing: which pictures, with which captions?")
	case s.caption != string(datasets.AllCaptions) && s.caption != string(datasets.FirstCaption):
		return cli.Usagef("--caption is %q, must be all or first", s.caption)
	case s.batchSize < 1:
		return cli.Usagef("--batch-size is %d, must be at least 1", s.batchSize)
	case s.shown < 1:
		return cli.Usagef("--html-pictures is %d, must be at least 1", s.shown)
	case s.maxSkipped < 0:
		return cli.Usagef("--max-skipped is %d, must not be negative", s.maxSkipped)
	}
	if n, err := f.GetInt("num-return-sequences"); err != nil || n != 1 {
		return cli.Usagef("--num-return-sequences is %d, but one caption of a picture is scored", n)
	}
	if s.results != "" {
		if err := onlyResults(f); err != nil {
			return err
		}
	}
	if err := s.captioner.Check(); err != nil {
		return err
	}
	return s.Apply()
}

// onlyResults refuses flags that mean nothing without a model.
func onlyResults(f *pflag.FlagSet) (err error) {
	allowed := map[string]bool{
		"data": true, "images": true, "split": true, "results": true, "per-picture": true, "html": true, "html-pictures": true,
		"threads": true, "seed": true, "json": true,
	}
	f.Visit(func(g *pflag.Flag) {
		if !allowed[g.Name] && err == nil {
			err = cli.Usagef("--results scores captions without a model; --%s does not go with it", g.Name)
		}
	})
	return err
}

func (s *settings) open(decoder vision.Decoder) (datasets.Dataset, error) {
	o := datasets.Options{Images: s.images, Split: s.split, Decoder: decoder}
	if s.data == "emoji" && s.split == "" {
		o.Split = "validation"
	}
	d, err := datasets.Open(s.data, o)
	if err != nil {
		err = fmt.Errorf("--data: %w", err)
	}
	return d, err
}

// title is the heading of the page.
func (s *settings) title() string {
	if s.results != "" {
		return filepath.Base(s.results) + " on " + s.data
	}
	return cmp.Or(s.captioner.Model, "The model") + " on " + s.data
}

// measure evaluates the model that the flags name.
func (s *settings) measure(ctx context.Context, out *outputs) (*evaluate.Result, datasets.Dataset, error) {
	m, err := s.captioner.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	m.Generation.NumReturnSequences = 1 // its own settings may have more
	o := evaluate.Options{BatchSize: s.batchSize, Caption: datasets.CaptionChoice(s.caption), MaxSkipped: s.maxSkipped}
	if o.Generation, err = s.captioner.Generation(m, s.Seed); err != nil {
		return nil, nil, err
	}
	d, err := s.open(s.captioner.Decoder(m))
	if err != nil {
		return nil, nil, err
	}
	m.Hold(s.captioner.Precision)
	if s.batchSize == 1 {
		s.captioner.Assist(m, &o.Generation, d.Len())
	}
	progress := cli.NewProgress("evaluating", "pictures", d.Len())
	defer progress.Done()
	o.Progress = func(n int) { progress.Add(n, "") }
	o.EachCaption = out.caption
	r, err := evaluate.Model(ctx, m, d, o)
	return r, d, err
}

// scoreResults evaluates the captions of a file.
func (s *settings) scoreResults() (*evaluate.Result, datasets.Dataset, error) {
	f, err := os.Open(s.results)
	if err != nil {
		return nil, nil, fmt.Errorf("--results: %w", err)
	}
	defer f.Close()
	said, err := evaluate.ReadResults(f)
	if err != nil {
		return nil, nil, fmt.Errorf("--results %s: %w", s.results, err)
	}
	d, err := s.open(vision.Decoder{})
	if err != nil {
		return nil, nil, err
	}
	r, err := evaluate.Results(d, said)
	if err != nil {
		return nil, nil, fmt.Errorf("--results %s: %w", s.results, err)
	}
	if n := d.Len() - len(r.Pictures); n > 0 {
		fmt.Fprintf(os.Stderr, "%d of the %d pictures of the data have no caption in %s and do not count\n", n, d.Len(), s.results)
	}
	return r, d, nil
}
