package generate

import (
	"math"
	"slices"
)

// A Processor changes the scores of the next token [vocabulary] in place,
// given the tokens so far, start token first. Scores are logits, or in beam
// search their log-softmax; -Inf forbids a token. tokens must not be changed
// or kept.
type Processor interface {
	Process(scores []float32, tokens []int)
}

// ProcessorFunc makes a function a [Processor].
type ProcessorFunc func(scores []float32, tokens []int)

// Process calls f.
func (f ProcessorFunc) Process(scores []float32, tokens []int) { f(scores, tokens) }

// A StoppingCriterion ends a sequence. The tokens so far begin with the start
// token and the prefix, and end with the newest. They must not be changed or
// kept.
type StoppingCriterion interface {
	Stop(tokens []int) bool
}

// StoppingFunc makes a function a [StoppingCriterion].
type StoppingFunc func(tokens []int) bool

// Stop calls f.
func (f StoppingFunc) Stop(tokens []int) bool { return f(tokens) }

// processors lists those that the options ask for, in the order of Hugging
// Face: before and after PrefixAllowedTokens, and without Options.Processors.
// maxLength counts the prompt.
func (o *Options) processors(maxLength int) (before, list []Processor) {
	add := func(wanted bool, p ProcessorFunc) {
		if wanted {
			list = append(list, p)
		}
	}
	prompt, minLength := 1+len(o.Prefix), o.minLength()
	begin := prompt
	if prompt == 1 && o.ForcedBOSTokenID != nil {
		begin++
	}
	badWords := slices.DeleteFunc(slices.Clone(o.BadWordsIDs), func(word []int) bool {
		return len(word) == 1 && slices.Contains(o.EOSTokenID, word[0])
	})

	add(o.RepetitionPenalty != 1, penalizeRepetition(float32(o.RepetitionPenalty)))
	add(o.NoRepeatNGramSize > 0, forbidRepeatedNGrams(o.NoRepeatNGramSize))
	add(len(badWords) > 0, forbidWords(badWords))
	add(minLength > 0, forbidWhile(o.EOSTokenID, func(n int) bool { return n < minLength }))
	before, list = list, nil
	if o.ForcedBOSTokenID != nil {
		add(true, forceWhen([]int{*o.ForcedBOSTokenID}, 1))
	}
	add(len(o.ForcedEOSTokenID) > 0, forceWhen(o.ForcedEOSTokenID, maxLength-1))
	add(len(o.SuppressTokens) > 0, forbidWhile(o.SuppressTokens, func(int) bool { return true }))
	add(len(o.BeginSuppressTokens) > 0, forbidWhile(o.BeginSuppressTokens, func(n int) bool { return n == begin }))
	return before, list
}

var forbidden = float32(math.Inf(-1))

func penalizeRepetition(penalty float32) ProcessorFunc {
	return func(scores []float32, tokens []int) {
		for i, id := range tokens {
			switch {
			case slices.Contains(tokens[:i], id): // once is enough
			case scores[id] < 0:
				scores[id] *= penalty
			default:
				scores[id] /= penalty
			}
		}
	}
}

// forbidRepeatedNGrams forbids each token that followed, somewhere, the last
// n-1 tokens.
func forbidRepeatedNGrams(n int) ProcessorFunc {
	return func(scores []float32, tokens []int) {
		if len(tokens) < n {
			return
		}
		last := tokens[len(tokens)-(n-1):]
		for i := range len(tokens) - n + 1 {
			if slices.Equal(tokens[i:i+n-1], last) {
				scores[tokens[i+n-1]] = forbidden
			}
		}
	}
}

func forbidWords(words [][]int) ProcessorFunc {
	return func(scores []float32, tokens []int) {
		for _, word := range words {
			before := word[:len(word)-1]
			if len(before) <= len(tokens) && slices.Equal(tokens[len(tokens)-len(before):], before) {
				scores[word[len(word)-1]] = forbidden
			}
		}
	}
}

// forbidWhile forbids ids in sequences whose length is so.
func forbidWhile(ids []int, so func(length int) bool) ProcessorFunc {
	return func(scores []float32, tokens []int) {
		if so(len(tokens)) {
			for _, id := range ids {
				scores[id] = forbidden
			}
		}
	}
}

// forceWhen leaves only ids to sequences of one length.
func forceWhen(ids []int, length int) ProcessorFunc {
	return func(scores []float32, tokens []int) {
		if len(tokens) != length {
			return
		}
		for i := range scores {
			scores[i] = forbidden
		}
		for _, id := range ids {
			scores[id] = 0
		}
	}
}

// keepOnly forbids all but some tokens.
func keepOnly(scores []float32, ids []int) {
	kept := make([]float32, len(ids))
	for i, id := range ids {
		kept[i] = scores[id]
	}
	for i := range scores {
		scores[i] = forbidden
	}
	for i, id := range ids {
		scores[id] = kept[i]
	}
}
