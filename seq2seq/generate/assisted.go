package generate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// assisted reports whether an assistant has a part in decoding so many items.
func (o *Options) assisted(items int) bool {
	return o.AssistantModel != nil && o.NumAssistantTokens > 0 && items == 1 && o.NumReturnSequences == 1 && o.NumBeams == 1 && !o.DoSample
}

// assistedSearch is greedy search for one item. In each round the assistant
// guesses some tokens, one after the other, and the decoder then takes all of
// them at once. From its scores each token is chosen as if it had come alone,
// up to the first that was not guessed; what the decoder made of the guesses
// after that is forgotten.
func assistedSearch(ctx context.Context, d Decoder, source layers.Source, o *Options, emit func(s *sequence, over bool) bool) error {
	maxLength := o.maxLength(d.MaxLength())
	stops := o.stops(maxLength)
	run := newDecoding(d, source, o, maxLength)
	defer run.release()
	a := newAssistant(source, o, maxLength)
	defer a.release()
	sequences, _ := o.sequences(1)
	s, fed := sequences[0], 0 // fed: tokens in the decoder's cache
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		guesses, err := a.guess(ctx, s.tokens, run)
		if err != nil {
			return err
		}
		// What follows an end token does not matter.
		checked := guesses
		if n := len(guesses); n > 0 && slices.Contains(stops.eos, guesses[n-1]) {
			checked = guesses[:n-1]
		}
		if run.cache == nil {
			run.cache = newCacheWith(d, a.cache)
		}
		if err := run.decode(layers.PackTokens(slices.Concat(s.tokens[fed:], checked)), len(checked)+1); err != nil {
			return err
		}
		run.normalize(len(checked) + 1)
		right := 0
		for row := 0; row <= len(checked); row++ {
			if row > 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			if err := run.check(row, 0, 1); err != nil {
				return err
			}
			if err := run.choose(sequences, []int{row}, o); err != nil {
				return err
			}
			var over bool
			over, s.finished = stops.over(s.tokens)
			if !emit(s, over) || over {
				return nil
			}
			if row == len(guesses) || s.tokens[len(s.tokens)-1] != guesses[row] {
				break
			}
			right++
		}
		fed = len(s.tokens) - 1 // not the newest
		if err := errors.Join(truncate(run.cache, fed), a.learn(right, fed)); err != nil {
			return err
		}
	}
}

// assistant makes guesses for a single sequence.
type assistant struct {
	*decoding
	options   *Options
	maxLength int
	fed       int // tokens in its cache
	asked     int // guesses to make in the present round
	made      int // guesses that it has made
	next      int // guesses to make in a round
	rest      int // rounds without guesses that are left
	rests     int // rounds of the last rest
}

func newAssistant(source layers.Source, o *Options, maxLength int) *assistant {
	d := newDecoding(o.AssistantModel, source, o, maxLength)
	d.allowed, d.custom = nil, nil // the caller's own are asked of what is said only
	return &assistant{decoding: d, options: o, maxLength: maxLength, next: o.NumAssistantTokens}
}

// guess returns tokens that may follow, none if it does not pay. Guesses come
// out of the scores in the way that tokens do.
func (a *assistant) guess(ctx context.Context, tokens []int, run *decoding) ([]int, error) {
	// The last token is not fed to either model, and comes without a guess.
	a.asked = min(a.next, a.maxLength-len(tokens)-1, a.decoder.MaxLength()-len(tokens)+1)
	if a.rest > 0 || a.asked <= 0 {
		a.asked, a.rest = 0, max(0, a.rest-1)
		return nil, nil
	}
	if a.cache == nil {
		a.cache = newCacheWith(a.decoder, run.cache)
	}
	all := slices.Clone(tokens)
	for range a.asked {
		if ctx.Err() != nil {
			break
		}
		if err := a.decode(layers.PackTokens(all[a.fed:]), 1); err != nil {
			return nil, fmt.Errorf("the assistant: %w", err)
		}
		a.fed = len(all)
		for _, p := range slices.Concat(a.before, a.after) {
			p.Process(a.row(0), all)
		}
		id := kernel.Largest(a.row(0))
		if id < 0 || !a.confident(id) {
			break
		}
		all = append(all, id)
		if slices.Contains(a.options.EOSTokenID, id) {
			break
		}
	}
	a.made = len(all) - len(tokens)
	return all[len(tokens):], nil
}

// confident reports whether a token is probable enough to be a guess.
func (a *assistant) confident(id int) bool {
	if a.options.AssistantConfidenceThreshold == 0 {
		return true
	}
	var loss [1]float64
	kernel.CrossEntropy(a.row(0), 1, a.vocabulary, []int{id}, 0, loss[:], false, 0)
	return math.Exp(-loss[0]) >= a.options.AssistantConfidenceThreshold
}

// Rounds of the first rest, which doubles with each that follows it, and of
// the longest.
const (
	firstRest   = 2
	longestRest = 32
)

// learn forgets all but the first so many tokens, and decides from the number
// of guesses that were right how many to make in the next round.
func (a *assistant) learn(right, tokens int) error {
	if a.cache != nil && a.fed > tokens {
		a.fed = tokens
		if err := truncate(a.cache, tokens); err != nil {
			return err
		}
	}
	switch {
	case a.asked == 0 || a.options.NumAssistantTokensSchedule == Constant:
	case right > 0 && right == a.made:
		a.rests = 0
		if a.made == a.next {
			a.next = max(a.next, min(2*a.next+1, mostGuesses))
		}
	default:
		a.next = max(right, a.next/2)
		if a.next == 0 {
			a.rests = min(max(firstRest, 2*a.rests), longestRest)
			a.rest, a.next = a.rests, 1
		}
	}
	return nil
}

// mostGuesses are those beyond which more, checked as 16 rows and above, take
// as much longer as they are more.
const mostGuesses = 15

// newCacheWith is an empty cache for one sequence, with what the decoder can
// take of another decoder's cache, which may be nil.
func newCacheWith(d Decoder, other layers.Cache) layers.Cache {
	if s, ok := d.(interface {
		NewCacheWith(sequences int, other layers.Cache) layers.Cache
	}); ok && other != nil {
		return s.NewCacheWith(1, other)
	}
	return d.NewCache(1)
}

func truncate(c layers.Cache, tokens int) error {
	t, ok := c.(layers.TruncatableCache)
	if !ok {
		return fmt.Errorf("generate: AssistantModel needs caches that are layers.TruncatableCache, which %T is not", c)
	}
	t.Truncate([]int{tokens})
	return nil
}
