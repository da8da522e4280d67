// Package evaluate measures a captioner on captioned pictures: how probable it finds their captions, how much it uses the
// pictures, and how its own captions score against theirs. It also scores captions that were made elsewhere.
//
//	result, err := evaluate.Model(ctx, model, data, evaluate.DefaultOptions(model))
//	fmt.Println(result.Likelihood.Loss, result.Scores.CIDEr)
//	worst := result.Worst(10)
//
// METEOR and SPICE are left out: the one needs WordNet and tables of paraphrases, the other a parser of English.
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/losses"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Options say how a model is measured.
type Options struct {
	BatchSize  int              // pictures at once; 0: 1
	Generation generate.Options // of its captions, one a picture
	// Caption says on which captions of a picture the likelihood is measured,
	// all or the first; "" means all. The scores know all in any case.
	Caption    datasets.CaptionChoice
	Workers    int // that read and prepare pictures; 0: one for each processor
	MaxSkipped int // unreadable pictures that are passed over; one more is an error

	// EachCaption, if not nil, is given the captions of the data as they are
	// measured; an error ends the evaluation.
	EachCaption func(Caption) error
	// Progress, if not nil, is told how many pictures were done since it was
	// called last.
	Progress func(pictures int)
}

// DefaultOptions are batches of 8, and a model's own settings of generation.
func DefaultOptions(m *seq2seq.VisionEncoderDecoder) Options {
	return Options{BatchSize: 8, Generation: m.Generation}
}

// Result is what came of an evaluation.
type Result struct {
	Likelihood *Likelihood // nil without a model
	Scores     metrics.Scores
	Pictures   []Picture          // in the order of the data
	Skipped    []datasets.Skipped // could not be read
}

// Likelihood is how probable a model finds the captions of the data.
type Likelihood struct {
	Loss       float64 `json:"loss"`       // mean over all tokens, EOS included, in nats
	Perplexity float64 `json:"perplexity"` // its exponential
	// ImageGain is the loss with the pictures of others minus that with the
	// right ones: near 0, the decoder ignores the picture. nil if no two
	// pictures were in one batch. See [train.Evaluation].
	ImageGain *float64 `json:"image_gain"`
	Captions  int      `json:"captions"`
	Tokens    int      `json:"tokens"`
}

// Caption is how probable a model finds one caption of the data.
type Caption struct {
	Image    string  `json:"image"`
	Caption  string  `json:"caption"`
	TokenIDs []int   `json:"token_ids"` // EOS included, BOS not; cut where the decoder's positions end
	NLLSum   float64 `json:"nll_sum"`   // negative log-probability, in nats
	NLLMean  float64 `json:"nll_mean"`  // the same for each token
}

// Picture is how well one picture was captioned.
type Picture struct {
	Index      int            `json:"-"` // in the data set
	Image      string         `json:"image"`
	Caption    string         `json:"caption"` // generated, or of the results file
	References []string       `json:"references"`
	NLLMean    *float64       `json:"nll_mean,omitempty"` // of the references' tokens; nil without a model
	Scores     metrics.Scores `json:"scores"`
}

// Model measures a model on a data set.
func Model(ctx context.Context, m *seq2seq.VisionEncoderDecoder, d datasets.Dataset, o Options) (*Result, error) {
	switch {
	case o.Generation.NumReturnSequences > 1:
		return nil, fmt.Errorf("evaluate: num_return_sequences is %d; one caption of a picture is scored", o.Generation.NumReturnSequences)
	case o.Caption == datasets.RandomCaption:
		return nil, fmt.Errorf("evaluate: caption choice is %q, want %q or %q", o.Caption, datasets.AllCaptions, datasets.FirstCaption)
	case o.Caption == "":
		o.Caption = datasets.AllCaptions
	}
	o.Generation.NumReturnSequences = 1
	data, err := train.Pictures(d, m.Processor, m.Tokenizer, train.PictureOptions{
		BatchSize: o.BatchSize, Caption: o.Caption, Workers: o.Workers, MaxSkipped: o.MaxSkipped,
		MaxLength: m.Decoder.MaxLength() + 1,
	})
	if err != nil {
		return nil, err
	}
	e := &evaluation{Options: o, model: m, task: train.NewCaptioning(&m.EncoderDecoder, 0)}
	err = layers.WithoutGradients(m, func() error {
		done := 0
		for b, err := range data.Epoch(ctx, 0, 0) {
			if err != nil {
				return err
			}
			if len(b.Keys) > 0 {
				if err := e.batch(ctx, b); err != nil {
					return err
				}
			}
			if o.Progress != nil {
				now := len(e.pictures) + len(data.Skipped())
				o.Progress(now - done)
				done = now
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if len(e.pictures) == 0 {
		return nil, errors.New("evaluate: no picture could be read")
	}
	r := &Result{Likelihood: e.likelihood(), Pictures: e.pictures, Skipped: data.Skipped()}
	return r, r.score()
}

type batch = train.Batch[vision.Pixels]

// evaluation is one that is under way.
type evaluation struct {
	Options
	model    *seq2seq.VisionEncoderDecoder
	task     *train.Captioning[vision.Pixels]
	pictures []Picture
	captions int
	all      sum // over the captions of the data
	right    sum // the same of batches that have other pictures,
	wrong    sum // and with these
}

type sum struct {
	nll    float64
	tokens int
}

func (s *sum) add(r losses.Result) {
	s.nll += r.Value * float64(r.Counted)
	s.tokens += r.Counted
}

func (s sum) mean() float64 { return s.nll / float64(s.tokens) }

// batch encodes its pictures once, for all that is measured on them.
func (e *evaluation) batch(ctx context.Context, b batch) error {
	states, err := e.model.Encode(b.Inputs, nil)
	if err != nil {
		return err
	}
	right, err := e.loss(states, b)
	if err != nil {
		return err
	}
	if math.IsNaN(right.Value) || math.IsInf(right.Value, 0) {
		return fmt.Errorf("evaluate: the loss on the captions of %s and the others of its batch is %v: is a weight of the model not finite?", b.IDs[0], right.Value)
	}
	e.all.add(right)
	if other, ok := e.task.Mismatch(b); ok {
		wrong, err := e.loss(states, other)
		if err != nil {
			return err
		}
		e.right.add(right)
		e.wrong.add(wrong)
	}
	said, err := e.model.GenerateFromStates(ctx, b.Inputs, states, e.Generation)
	if err != nil {
		return err
	}
	return e.keep(b, right.Rows, said)
}

func (e *evaluation) loss(states layers.Packed, b batch) (losses.Result, error) {
	tokens, labels, err := seq2seq.Shift(b.Sequences)
	if err != nil {
		return losses.Result{}, err
	}
	return e.model.Loss(layers.Source{Packed: states, Of: b.Of}, tokens, labels, losses.Options{}, nil)
}

// keep notes what was measured on a batch; rows are the losses of its tokens.
func (e *evaluation) keep(b batch, rows []float64, said []seq2seq.Caption) error {
	each := make([]sum, len(b.Keys))
	for i, sequence := range b.Sequences {
		c := Caption{Image: b.IDs[b.Of[i]], Caption: b.Captions[i], TokenIDs: sequence[1:]}
		for range c.TokenIDs {
			c.NLLSum, rows = c.NLLSum+rows[0], rows[1:]
		}
		c.NLLMean = c.NLLSum / float64(len(c.TokenIDs))
		each[b.Of[i]].nll += c.NLLSum
		each[b.Of[i]].tokens += len(c.TokenIDs)
		e.captions++
		if e.EachCaption != nil {
			if err := e.EachCaption(c); err != nil {
				return err
			}
		}
	}
	for i, k := range b.Keys {
		mean := each[i].mean()
		e.pictures = append(e.pictures, Picture{Index: k.Index, Image: b.IDs[i], Caption: said[i].Text, References: b.References[i], NLLMean: &mean})
	}
	return nil
}

func (e *evaluation) likelihood() *Likelihood {
	l := &Likelihood{Loss: e.all.mean(), Captions: e.captions, Tokens: e.all.tokens}
	l.Perplexity = min(math.Exp(l.Loss), math.MaxFloat64) // JSON has no infinity
	if e.right.tokens > 0 {
		gain := e.wrong.mean() - e.right.mean()
		l.ImageGain = &gain
	}
	return l
}

// score scores the pictures' captions.
func (r *Result) score() error {
	pictures := make([]metrics.Picture, len(r.Pictures))
	for i, p := range r.Pictures {
		pictures[i] = metrics.Picture{Candidate: p.Caption, References: p.References}
	}
	all, each, err := metrics.Evaluate(pictures)
	if err != nil {
		return err
	}
	r.Scores = all
	for i := range each {
		r.Pictures[i].Scores = each[i]
	}
	return nil
}
