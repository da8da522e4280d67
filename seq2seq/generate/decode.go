package generate

import (
	"fmt"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// decoding runs a decoder a token at a time over the sequences of a batch,
// and holds the scores of the tokens that may come next.
type decoding struct {
	decoder    Decoder
	source     layers.Source
	cache      layers.Cache
	before     []Processor // these may run concurrently
	allowed    func(item int, tokens []int) []int
	after      []Processor // these too
	custom     []Processor // these may not
	vocabulary int

	logits []float32 // [sequences, vocabulary] of the last call of feed, or of decode
	scores []float32 // the same after processing
	lse    []float64 // of each row: the logarithm of the sum of exp(logits)
	wide   []float64 // scratch for a float64 model
}

func newDecoding(d Decoder, source layers.Source, o *Options, maxLength int) *decoding {
	before, after := o.processors(maxLength)
	return &decoding{
		decoder: d, source: source, vocabulary: d.VocabSize(),
		before: before, allowed: o.PrefixAllowedTokens, after: after, custom: o.Processors,
	}
}

// release lets what is large be used again; no row may be looked at afterwards.
func (d *decoding) release() {
	kernel.GiveBack(d.logits)
	kernel.GiveBack(d.scores)
	if c, ok := d.cache.(layers.ReleasableCache); ok {
		c.Release()
	}
}

// feed gives the decoder the next tokens of each sequence, and takes the
// scores of what follows the last of each.
func (d *decoding) feed(tokens layers.Tokens) error {
	if err := d.decode(tokens, 1); err != nil {
		return err
	}
	n := tokens.Offsets.Len()
	d.normalize(n)
	for i := range n {
		if err := d.check(i, i, n); err != nil {
			return err
		}
	}
	return nil
}

// decode gives the decoder the next tokens of each sequence, and takes the
// logits of what follows the last so many of each.
func (d *decoding) decode(tokens layers.Tokens, last int) error {
	n := tokens.Offsets.Len()
	if d.cache == nil {
		d.cache = d.decoder.NewCache(n)
	}
	n *= last
	hidden, cache, err := d.decoder.Decode(tokens, d.source, d.cache, nil)
	if err != nil {
		return err
	}
	d.cache, d.source = cache, layers.Source{} // not needed any more
	d.logits = kernel.Regrow(d.logits, n*d.vocabulary)
	if _, ok := hidden.Value().(*mat.Dense[float64]); ok {
		d.wide = slices.Grow(d.wide[:0], len(d.logits))[:len(d.logits)]
		applyHead(d.wide, hidden, d.decoder.Head(), tokens.Offsets, last)
		for i, x := range d.wide {
			d.logits[i] = float32(x)
		}
	} else {
		applyHead(d.logits, hidden, d.decoder.Head(), tokens.Offsets, last)
	}
	return nil
}

// feedNewest feeds the last token of each sequence.
func (d *decoding) feedNewest(sequences [][]int) error {
	ids, lengths := make([]int, len(sequences)), make([]int, len(sequences))
	for i, s := range sequences {
		ids[i], lengths[i] = s[len(s)-1], 1
	}
	return d.feed(layers.Tokens{IDs: ids, Offsets: layers.OffsetsOf(lengths...)})
}

// applyHead computes the logits [sequences·last, vocabulary] of the last rows
// of each sequence.
func applyHead[T kernel.Float](logits []T, hidden, head mat.Tensor, offsets layers.Offsets, last int) {
	dim := head.Shape()[1]
	x := mat.Data[T](hidden.Value())
	n := last * offsets.Len()
	if offsets.Rows() != n {
		rows := make([]T, 0, n*dim)
		for _, end := range offsets[1:] {
			rows = append(rows, x[(end-last)*dim:end*dim]...)
		}
		x = rows
	}
	layers.MatMulTInto(logits, x[:n*dim], head)
}

// normalize computes lse of n rows of logits.
func (d *decoding) normalize(n int) {
	d.lse = slices.Grow(d.lse[:0], n)[:n]
	kernel.LogSumExp(d.lse, d.logits, n, d.vocabulary)
}

// check refuses a row of logits, of sequence i of n, that are none.
func (d *decoding) check(row, i, n int) error {
	if math.IsNaN(d.lse[row]) {
		return fmt.Errorf("generate: sequence %d of %d: the model's logits have a NaN or +Inf, or are all -Inf: its weights or the encoder's states are broken", i, n)
	}
	return nil
}

// row is one of the rows of logits [vocabulary].
func (d *decoding) row(i int) []float32 { return d.logits[i*d.vocabulary : (i+1)*d.vocabulary] }

// process returns the scores [vocabulary] of what follows each of the
// sequences after all processors; logarithms of probabilities instead of
// logits if asked to. Sequence i is of an item of that number, and number
// at[i] of those that were fed. The rows are valid until the next call.
func (d *decoding) process(sequences [][]int, items, at []int, logProbabilities bool) ([][]float32, error) {
	allowed, err := d.allow(sequences, items)
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, len(sequences))
	d.scores = kernel.Regrow(d.scores, len(rows)*d.vocabulary)
	kernel.Parallel(len(rows), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			rows[i] = d.scores[i*d.vocabulary : (i+1)*d.vocabulary]
			if logProbabilities {
				kernel.Subtract(rows[i], d.row(at[i]), d.lse[at[i]])
			} else {
				copy(rows[i], d.row(at[i]))
			}
			for _, p := range d.before {
				p.Process(rows[i], sequences[i])
			}
			if allowed != nil {
				keepOnly(rows[i], allowed[i])
			}
			for _, p := range d.after {
				p.Process(rows[i], sequences[i])
			}
		}
	})
	for _, p := range d.custom {
		for i, row := range rows {
			p.Process(row, sequences[i])
			if k := slices.IndexFunc(row, func(x float32) bool { return !(x <= math.MaxFloat32) }); k >= 0 {
				return nil, fmt.Errorf("generate: a processor (%T) makes the score of token %d %v", p, k, row[k])
			}
		}
	}
	return rows, nil
}

// allow asks which tokens may follow each of the sequences; nil: all.
func (d *decoding) allow(sequences [][]int, items []int) ([][]int, error) {
	if d.allowed == nil {
		return nil, nil
	}
	out := make([][]int, len(sequences))
	for i, tokens := range sequences {
		out[i] = d.allowed(items[i], tokens)
		if len(out[i]) == 0 {
			return nil, fmt.Errorf("generate: PrefixAllowedTokens allows no token after %v of item %d", tokens, items[i])
		}
		for _, id := range out[i] {
			if id < 0 || id >= d.vocabulary {
				return nil, fmt.Errorf("generate: PrefixAllowedTokens allows token %d after %v of item %d; the vocabulary has %d", id, tokens, items[i], d.vocabulary)
			}
		}
	}
	return out, nil
}

// errNoToken is for a sequence all of whose tokens are forbidden.
func errNoToken(tokens []int) error {
	return fmt.Errorf("generate: every token is forbidden after %d tokens %v: the options or the processors forbid too much", len(tokens), tokens)
}
