package train

import (
	"context"
	"fmt"
	"iter"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Data yields the batches of an epoch, always the same for the same epoch.
type Data[In any] interface {
	// NumBatches is the number of batches of an epoch.
	NumBatches() int
	// Epoch yields the batches from number first on. need, if not nil, tells
	// by its index whether an input itself is wanted: not, when its encoder
	// states are at hand. It may be called from another goroutine.
	Epoch(ctx context.Context, epoch, first int, need func(index int) bool) iter.Seq2[Batch[In], error]
}

// Batch is a number of inputs and the sequences that describe them.
type Batch[In any] struct {
	Indices    []int      // of the inputs in their data set
	IDs        []string   // names of the inputs
	Inputs     []In       // zero values where they were not needed
	Sequences  [][]int    // BOS + ids + EOS
	Captions   []string   // the text of the sequences
	Of         []int      // for each sequence, the position of its input in Indices
	References [][]string // all captions of each input
}

// PictureOptions say how pictures become batches.
type PictureOptions struct {
	datasets.LoaderOptions
	// MaxLength is the most tokens of a sequence, BOS and EOS included;
	// longer captions are cut and keep their EOS. 0: the model's positions
	// are the limit.
	MaxLength int
}

// Pictures makes batches of a data set: its pictures as the processor
// prepares them, its captions as the tokenizer splits them.
func Pictures(d datasets.Dataset, processor *vision.Processor, tok *tokenizer.Tokenizer, o PictureOptions) (Data[vision.Pixels], error) {
	if o.MaxLength != 0 && o.MaxLength < 3 {
		return nil, fmt.Errorf("max length %d leaves no room for a token between BOS and EOS", o.MaxLength)
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("the data set has no pictures")
	}
	p := &pictures{dataset: d, tok: tok, options: o}
	p.options.Prepare = processor.Process
	if _, err := datasets.NewLoader(d, p.options.LoaderOptions); err != nil {
		return nil, err
	}
	return p, nil
}

type pictures struct {
	dataset datasets.Dataset
	tok     *tokenizer.Tokenizer
	options PictureOptions
}

func (p *pictures) NumBatches() int {
	size := max(p.options.BatchSize, 1)
	return (p.dataset.Len() + size - 1) / size
}

func (p *pictures) Epoch(ctx context.Context, epoch, first int, need func(index int) bool) iter.Seq2[Batch[vision.Pixels], error] {
	return func(yield func(Batch[vision.Pixels], error) bool) {
		o := p.options.LoaderOptions
		o.Need = need
		loader, err := datasets.NewLoader(p.dataset, o)
		if err != nil {
			yield(Batch[vision.Pixels]{}, err)
			return
		}
		for b, err := range loader.EpochFrom(ctx, epoch, first) {
			if err != nil {
				yield(Batch[vision.Pixels]{}, err)
				return
			}
			sequences := make([][]int, len(b.Captions))
			for i, c := range b.Captions {
				sequences[i] = p.tok.EncodeCaption(c, p.options.MaxLength)
			}
			if !yield(Batch[vision.Pixels]{
				Indices: b.Indices, IDs: b.IDs, Inputs: b.Pixels,
				Sequences: sequences, Captions: b.Captions, Of: b.Picture, References: b.References,
			}, nil) {
				return
			}
		}
	}
}
