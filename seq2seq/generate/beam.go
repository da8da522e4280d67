package generate

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// beam is a sequence that beam search follows.
type beam struct {
	tokens   []int
	score    float32 // sum of the log-probabilities after processing
	row      int     // among those that were fed
	finished bool    // has an end, not only the greatest length
}

// beams are those of one item. All numbers are float32, as Hugging Face's.
type beams struct {
	item    int    // in the source
	running []beam // at most NumBeams, the best first
	ended   []beam // likewise; their scores are divided by their lengths
	over    bool
	random  *layers.Random

	candidates candidates     // scratch for sampling
	drawn      []continuation // likewise
}

// beamSearch generates for all items at once. Items end separately, so each
// gets what it gets alone.
func beamSearch(ctx context.Context, d Decoder, source layers.Source, o *Options, items int) ([]Sequence, error) {
	maxLength := o.maxLength(d.MaxLength())
	stops := o.stops(maxLength)
	run := newDecoding(d, source, o, maxLength)
	defer run.release()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := run.feed(layers.PackTokens(o.prompts(items)...)); err != nil {
		return nil, err
	}
	all := make([]*beams, items)
	for i, prompt := range o.prompts(items) {
		all[i] = &beams{item: i, running: []beam{{tokens: prompt, row: i}}, random: o.random(i)}
	}
	for live := all; ; {
		if err := run.extend(live, o, &stops); err != nil {
			return nil, err
		}
		live = slices.DeleteFunc(slices.Clone(live), func(b *beams) bool { return b.over })
		if len(live) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var keep []int
		var tokens [][]int
		for _, b := range live {
			for i := range b.running {
				keep, tokens = append(keep, b.running[i].row), append(tokens, b.running[i].tokens)
				b.running[i].row = len(keep) - 1
			}
		}
		run.cache.Keep(keep)
		if err := run.feedNewest(tokens); err != nil {
			return nil, err
		}
	}
	var out []Sequence
	for i, b := range all {
		if len(b.ended) < o.NumReturnSequences {
			return nil, fmt.Errorf("generate: item %d has only %d sequences that the options and the processors allow; num_return_sequences is %d", i, len(b.ended), o.NumReturnSequences)
		}
		for _, e := range b.ended[:o.NumReturnSequences] {
			out = append(out, Sequence{Tokens: o.strip(e.tokens), Score: float64(e.score), Finished: e.finished})
		}
	}
	return out, nil
}

// extend takes the beams of each item one token on.
func (d *decoding) extend(all []*beams, o *Options, stops *stops) error {
	var tokens [][]int
	var items, at []int
	for _, b := range all {
		for _, r := range b.running {
			tokens, items, at = append(tokens, r.tokens), append(items, b.item), append(at, r.row)
		}
	}
	rows, err := d.process(tokens, items, at, true)
	if err != nil {
		return err
	}
	of := make([][][]float32, len(all)) // rows of each item
	for i, b := range all {
		of[i], rows = rows[:len(b.running)], rows[len(b.running):]
	}
	continuations := make([][]continuation, len(all))
	kernel.Parallel(len(all), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			continuations[i] = all[i].best(of[i], o)
		}
	})
	for i, b := range all {
		if len(continuations[i]) == 0 {
			return errNoToken(b.running[0].tokens)
		}
		b.advance(continuations[i], o, stops)
	}
	return nil
}

// continuation is a running beam with one more token.
type continuation struct {
	beam, id int
	score    float32 // of the beam with the token
	key      float64 // decides between continuations: the score or, with sampling, a draw
}

// better is the order of falling keys.
func better(a, b continuation) int {
	return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.beam, b.beam), cmp.Compare(a.id, b.id))
}

// best returns the best continuations of the beams given the scores of the
// next token [beams][vocabulary], or samples of them without replacement, the
// first drawn first. There are so many that NumBeams of them go on, whatever
// number of them end.
func (b *beams) best(rows [][]float32, o *Options) []continuation {
	n := max(2, 1+len(o.EOSTokenID)) * o.NumBeams
	if o.DoSample {
		return b.sample(rows, n, o)
	}
	top := make([]continuation, 0, 2*n)
	least := math.Inf(-1) // what cannot be among the best is not kept
	for i, row := range rows {
		before := b.running[i].score
		for first, block := range blocks(row) {
			if float64(before+kernel.Maximum(block)) <= least {
				continue
			}
			for j, s := range block {
				score := before + s
				if float64(score) <= least {
					continue
				}
				if top = append(top, continuation{i, first + j, score, float64(score)}); len(top) == cap(top) {
					selectFirst(top, n, better)
					top = top[:n]
					least = slices.MaxFunc(top, better).key
				}
			}
		}
	}
	slices.SortFunc(top, better)
	return top[:min(n, len(top))]
}

// blocks are those of a row, with the number of their first elements.
func blocks(row []float32) iter.Seq2[int, []float32] {
	const size = 256
	return func(yield func(int, []float32) bool) {
		for i := 0; i < len(row) && yield(i, row[i:min(i+size, len(row))]); i += size {
		}
	}
}

// sample draws by the Gumbel-top-k trick (Kool et al., 2019,
// arXiv:1903.06059): the largest of score + Gumbel noise are draws without
// replacement.
func (b *beams) sample(rows [][]float32, n int, o *Options) []continuation {
	all := b.drawn[:0]
	b.candidates.min = 1 + max(1, len(o.EOSTokenID))
	for i, row := range rows {
		b.candidates.warp(row, o)
		for _, x := range b.candidates.list {
			score := b.running[i].score + float32(x.score)
			noise := -math.Log(-math.Log(1 - b.random.Float64()))
			all = append(all, continuation{i, x.id, score, float64(score) + noise})
		}
	}
	b.drawn = all
	n = min(n, len(all))
	selectFirst(all, n, better)
	slices.SortFunc(all[:n], better)
	return all[:n]
}

// advance ends the continuations that are over, goes on with the best of the
// others, and decides whether the item is over.
func (b *beams) advance(next []continuation, o *Options, stops *stops) {
	var running, ended []beam
	length := 0 // new tokens of each continuation
	for rank, c := range next {
		tokens := append(slices.Clip(b.running[c.beam].tokens), c.id)
		length = len(tokens) - 1 - len(o.Prefix)
		over, finished := stops.over(tokens)
		switch {
		case !over:
			running = append(running, beam{tokens: tokens, score: c.score, row: b.running[c.beam].row})
		case rank < o.NumBeams:
			ended = append(ended, beam{tokens: tokens, score: c.score / o.lengthFactor(length), finished: finished})
		}
	}
	falling := func(x, y beam) int { return cmp.Compare(y.score, x.score) }
	slices.SortStableFunc(running, falling) // samples come as they were drawn
	b.running = running[:min(o.NumBeams, len(running))]
	b.ended = append(b.ended, ended...)
	slices.SortStableFunc(b.ended, falling)
	b.ended = b.ended[:min(o.NumBeams, len(b.ended))]
	b.over = len(b.running) == 0 || len(b.ended) == o.NumBeams && !b.canImprove(o, length, stops.maxLength)
}

// canImprove guesses whether the best running beam, of length new tokens, can
// become better than the worst ended one.
func (b *beams) canImprove(o *Options, length, maxLength int) bool {
	switch {
	case o.EarlyStopping == WhenFull:
		return false
	case o.EarlyStopping == WhenImpossible && o.LengthPenalty > 0:
		length = maxLength - 1 - len(o.Prefix)
	}
	return b.running[0].score/o.lengthFactor(length) > b.ended[len(b.ended)-1].score
}

// lengthFactor is what the score of so many new tokens is divided by.
func (o *Options) lengthFactor(length int) float32 {
	return float32(math.Pow(float64(length), o.LengthPenalty))
}
