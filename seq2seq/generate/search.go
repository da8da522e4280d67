package generate

import (
	"context"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// sequence is one that greedy search or sampling is at.
type sequence struct {
	place      int // in the result
	item       int // in the source
	tokens     []int
	logProb    float64
	finished   bool
	random     *layers.Random
	candidates candidates
}

func (s *sequence) result(o *Options) Sequence {
	return Sequence{Tokens: o.strip(s.tokens), Score: s.logProb, Finished: s.finished}
}

// search is greedy search or sampling. It tells emit of each new token of
// each sequence, and whether it is over; emit may end it all by false.
func search(ctx context.Context, d Decoder, source layers.Source, o *Options, items int, emit func(s *sequence, over bool) bool) error {
	if o.assisted(items) {
		return assistedSearch(ctx, d, source, o, emit)
	}
	maxLength := o.maxLength(d.MaxLength())
	stops := o.stops(maxLength)
	run := newDecoding(d, source, o, maxLength)
	defer run.release()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := run.feed(layers.PackTokens(o.prompts(items)...)); err != nil {
		return err
	}
	running, at := o.sequences(items)
	for len(running) > 0 {
		if err := run.choose(running, at, o); err != nil {
			return err
		}
		live, keep := running[:0], []int(nil)
		for i, s := range running {
			var over bool
			over, s.finished = stops.over(s.tokens)
			if !emit(s, over) {
				return nil
			}
			if !over {
				live, keep = append(live, s), append(keep, at[i])
			}
		}
		running, at = live, at[:len(live)]
		if len(running) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		run.cache.Keep(keep)
		if err := run.feedNewest(tokensOf(running)); err != nil {
			return err
		}
		for i := range at {
			at[i] = i
		}
	}
	return nil
}

// sequences starts those of all items, and says which item each is of: the
// samples of an item share its prompt.
func (o *Options) sequences(items int) (all []*sequence, of []int) {
	for item := range items {
		random := o.random(item)
		for n := range o.NumReturnSequences {
			s := &sequence{place: len(all), item: item, tokens: o.start(), random: random.Derive(uint64(n))}
			s.candidates.min = 1
			all, of = append(all, s), append(of, item)
		}
	}
	return all, of
}

func tokensOf(sequences []*sequence) [][]int {
	out := make([][]int, len(sequences))
	for i, s := range sequences {
		out[i] = s.tokens
	}
	return out
}

// choose appends the next token to each sequence; sequence i is number at[i]
// of those that were fed.
func (d *decoding) choose(sequences []*sequence, at []int, o *Options) error {
	items := make([]int, len(sequences))
	for i, s := range sequences {
		items[i] = s.item
	}
	rows, err := d.process(tokensOf(sequences), items, at, false)
	if err != nil {
		return err
	}
	next := make([]int, len(sequences))
	kernel.Parallel(len(sequences), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			next[i] = sequences[i].next(rows[i], o)
		}
	})
	for i, s := range sequences {
		id := next[i]
		if id < 0 {
			return errNoToken(s.tokens)
		}
		s.logProb += float64(d.row(at[i])[id]) - d.lse[at[i]]
		s.tokens = append(s.tokens, id)
	}
	return nil
}

// next is the token to follow with these scores [vocabulary], -1 if all are
// forbidden.
func (s *sequence) next(scores []float32, o *Options) int {
	if !o.DoSample {
		return kernel.Largest(scores)
	}
	s.candidates.warp(scores, o)
	if len(s.candidates.list) == 0 {
		return -1
	}
	return s.candidates.draw(s.random)
}
