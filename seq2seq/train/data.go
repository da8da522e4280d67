package train

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Data yields the batches of an epoch, always the same for the same epoch.
type Data[B any] interface {
	// NumBatches is the number of batches of an epoch.
	NumBatches() int
	// Epoch yields all batches from number first on. One without labels, of
	// which nothing could be read, is counted and passed over. One epoch at a
	// time is under way.
	Epoch(ctx context.Context, epoch, first int) iter.Seq2[B, error]
}

// Batch is a number of inputs and the sequences that describe them.
type Batch[In any] struct {
	Keys       []Key      // of the inputs
	IDs        []string   // names of the inputs
	Inputs     []In       // zero values where PictureOptions.Need said no
	Sequences  [][]int    // BOS + ids + EOS
	Captions   []string   // the text of the sequences
	Of         []int      // for each sequence, the position of its input
	References [][]string // all captions of each input
	Augmented  bool       // the inputs are other ones in each epoch
}

// Key tells an input from all others of a program.
type Key struct {
	Data  any // the Data that it comes from
	Index int
}

// PictureOptions say how pictures become batches.
type PictureOptions struct {
	BatchSize  int                    // pictures in a batch; 0: 1
	Shuffle    bool                   // every epoch in an order of its own
	Seed       uint64                 // of the order and the choice of captions
	Caption    datasets.CaptionChoice // "": one at random
	Workers    int                    // that read and prepare pictures; 0: one for each processor
	MaxSkipped int                    // unreadable pictures that are passed over; one more is an error
	// MaxLength is the most tokens of a sequence, BOS and EOS included;
	// longer captions are cut and keep their EOS. 0: no limit.
	MaxLength int
	Augment   vision.Augmentation // of the pictures, anew in each epoch
	// Need tells whether a picture has to be read at all; nil: all have, as
	// with Augment.
	Need func(Key) bool
}

// PictureData is a data set of pictures as batches; see [Pictures].
type PictureData struct {
	dataset   datasets.Dataset
	processor *vision.Processor
	tok       *tokenizer.Tokenizer
	options   PictureOptions
	skipped   []datasets.Skipped
}

// Pictures makes batches of a data set: its pictures as the processor
// prepares them, its captions as the tokenizer splits them.
func Pictures(d datasets.Dataset, processor *vision.Processor, tok *tokenizer.Tokenizer, o PictureOptions) (*PictureData, error) {
	if o.MaxLength != 0 && o.MaxLength < 3 {
		return nil, fmt.Errorf("max length %d leaves no room for a token between BOS and EOS", o.MaxLength)
	}
	if d.Len() == 0 {
		return nil, errors.New("the data set has no pictures")
	}
	p := &PictureData{dataset: d, processor: processor, tok: tok, options: o}
	_, err := p.loader()
	return p, err
}

func (p *PictureData) loader() (*datasets.Loader, error) {
	o := p.options
	lo := datasets.LoaderOptions{
		BatchSize: o.BatchSize, Shuffle: o.Shuffle, Seed: o.Seed, Caption: o.Caption,
		Workers: o.Workers, MaxSkipped: o.MaxSkipped, Prepare: p.processor.Process, Augment: o.Augment,
	}
	if o.Need != nil && !p.augmented() {
		lo.Need = func(index int) bool { return o.Need(Key{p, index}) }
	}
	return datasets.NewLoader(p.dataset, lo)
}

func (p *PictureData) augmented() bool { return p.options.Augment != (vision.Augmentation{}) }

// WithoutAugmentation is the same data with its pictures as they are.
func (p *PictureData) WithoutAugmentation() *PictureData {
	if !p.augmented() {
		return p
	}
	q := *p
	q.options.Augment = vision.Augmentation{}
	return &q
}

// Dataset is what the batches are made of.
func (p *PictureData) Dataset() datasets.Dataset { return p.dataset }

// Skipped lists the pictures that could not be read so far, each once.
func (p *PictureData) Skipped() []datasets.Skipped { return p.skipped }

// NumBatches is the number of batches of an epoch.
func (p *PictureData) NumBatches() int {
	size := max(p.options.BatchSize, 1)
	return (p.dataset.Len() + size - 1) / size
}

// Epoch yields the batches of an epoch; pictures are read ahead.
func (p *PictureData) Epoch(ctx context.Context, epoch, first int) iter.Seq2[Batch[vision.Pixels], error] {
	return func(yield func(Batch[vision.Pixels], error) bool) {
		loader, err := p.loader()
		if err != nil {
			yield(Batch[vision.Pixels]{}, err)
			return
		}
		next := first
		for b, err := range loader.EpochFrom(ctx, epoch, first) {
			p.addSkipped(loader.Skipped())
			if err != nil {
				yield(Batch[vision.Pixels]{}, err)
				return
			}
			for ; next < b.Number; next++ {
				if !yield(Batch[vision.Pixels]{}, nil) {
					return
				}
			}
			if next++; !yield(p.batch(b), nil) {
				return
			}
		}
		p.addSkipped(loader.Skipped())
		for ; next < p.NumBatches() && ctx.Err() == nil; next++ {
			if !yield(Batch[vision.Pixels]{}, nil) {
				return
			}
		}
	}
}

func (p *PictureData) addSkipped(skipped []datasets.Skipped) {
	for _, s := range skipped {
		if !slices.ContainsFunc(p.skipped, func(known datasets.Skipped) bool { return known.Index == s.Index }) {
			p.skipped = append(p.skipped, s)
		}
	}
}

func (p *PictureData) batch(b datasets.Batch) Batch[vision.Pixels] {
	keys, sequences := make([]Key, len(b.Indices)), make([][]int, len(b.Captions))
	for i, index := range b.Indices {
		keys[i] = Key{p, index}
	}
	for i, c := range b.Captions {
		sequences[i] = p.tok.EncodeCaption(c, p.options.MaxLength)
	}
	return Batch[vision.Pixels]{
		Keys: keys, IDs: b.IDs, Inputs: b.Pixels,
		Sequences: sequences, Captions: b.Captions, Of: b.Picture, References: b.References,
		Augmented: p.augmented(),
	}
}
