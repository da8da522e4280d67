package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
)

// outputs are the files that the flags ask for. They are made before the work
// begins, so that one that cannot be is known at once, and take their names
// when all is done.
type outputs struct {
	captions, pictures *lines           // nil: not asked for
	page               *atomicfile.File // the same
}

func (s *settings) create() (*outputs, error) {
	var o outputs
	for _, f := range []struct {
		flag, path string
		to         **lines
	}{{"per-caption", s.perCaption, &o.captions}, {"per-picture", s.perPicture, &o.pictures}} {
		if f.path == "" {
			continue
		}
		var err error
		if *f.to, err = newLines(f.path); err != nil {
			o.discard()
			return nil, fmt.Errorf("--%s: %w", f.flag, err)
		}
	}
	if s.html != "" {
		var err error
		if o.page, err = atomicfile.Create(s.html); err != nil {
			o.discard()
			return nil, fmt.Errorf("--html: %w", err)
		}
	}
	return &o, nil
}

func (o *outputs) caption(c evaluate.Caption) error {
	if o.captions == nil {
		return nil
	}
	return o.captions.Encode(c)
}

// finish writes what is left to write.
func (o *outputs) finish(r *evaluate.Result, d datasets.Dataset, s *settings) error {
	if o.captions != nil {
		if err := o.captions.commit(); err != nil {
			return err
		}
	}
	if o.pictures != nil {
		for _, p := range r.Pictures {
			if err := o.pictures.Encode(p); err != nil {
				return err
			}
		}
		if err := o.pictures.commit(); err != nil {
			return err
		}
	}
	if o.page == nil {
		return nil
	}
	if err := r.Page(o.page, s.title(), d, s.shown); err != nil {
		return err
	}
	return o.page.Commit()
}

// discard takes away what was not finished.
func (o *outputs) discard() {
	for _, l := range []*lines{o.captions, o.pictures} {
		if l != nil {
			l.file.Discard()
		}
	}
	if o.page != nil {
		o.page.Discard()
	}
}

// lines are a JSON lines file.
type lines struct {
	*json.Encoder
	file   *atomicfile.File
	buffer *bufio.Writer
}

func newLines(path string) (*lines, error) {
	f, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriter(f)
	l := &lines{json.NewEncoder(buffer), f, buffer}
	l.SetEscapeHTML(false)
	return l, nil
}

func (l *lines) commit() error {
	if err := l.buffer.Flush(); err != nil {
		return err
	}
	return l.file.Commit()
}

// summary is the line of --json.
type summary struct {
	Pictures int `json:"pictures"`
	*evaluate.Likelihood
	BLEU    [4]float64 `json:"bleu"`
	ROUGEL  float64    `json:"rouge_l"`
	CIDEr   float64    `json:"cider"`
	Skipped []string   `json:"skipped,omitempty"`
}

// print reports the result.
func (s *settings) print(r *evaluate.Result) error {
	sum := summary{Pictures: len(r.Pictures), Likelihood: r.Likelihood, BLEU: r.Scores.BLEU, ROUGEL: r.Scores.ROUGEL, CIDEr: r.Scores.CIDEr}
	for _, skipped := range r.Skipped {
		sum.Skipped = append(sum.Skipped, skipped.ID)
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintf(os.Stderr, "%d pictures could not be read and were passed over:\n", len(r.Skipped))
		for _, skipped := range r.Skipped {
			fmt.Fprintf(os.Stderr, "  %v\n", skipped.Err)
		}
	}
	if s.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		return e.Encode(sum)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "pictures\t%s\n", humanize.Comma(int64(sum.Pictures)))
	if l := r.Likelihood; l != nil {
		fmt.Fprintf(w, "captions\t%s of %s tokens\n", humanize.Comma(int64(l.Captions)), humanize.Comma(int64(l.Tokens)))
		fmt.Fprintf(w, "loss\t%.4f\nperplexity\t%.4g\n", l.Loss, l.Perplexity)
		if l.ImageGain != nil {
			fmt.Fprintf(w, "image gain\t%.4f\n", *l.ImageGain)
		}
	}
	for n, b := range sum.BLEU {
		fmt.Fprintf(w, "BLEU-%d\t%.4f\n", n+1, b)
	}
	fmt.Fprintf(w, "ROUGE-L\t%.4f\nCIDEr\t%.4f\n", sum.ROUGEL, sum.CIDEr)
	return w.Flush()
}
