package captioner

import (
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/spf13/pflag"
)

// generation adds a flag for each setting of generation. The function that it
// returns lays those that were given over the own settings of a model with so
// many positions.
func generation(f *pflag.FlagSet) func(base generate.Options, tok *tokenizer.Tokenizer, positions int, seed uint64) (generate.Options, error) {
	given, early := generate.DefaultOptions(), ""
	var prompt string
	var badWords []string
	var forcedBOS int
	f.StringVar(&prompt, "prompt", "", "words that every caption begins with, such as \"a photo of\"")
	f.IntVar(&given.MaxNewTokens, "max-new-tokens", 0, "most tokens of a caption after the prompt (default: the model's own, or 20)")
	f.IntVar(&given.MinNewTokens, "min-new-tokens", 0, "fewest tokens of a caption after the prompt")
	f.StringArrayVar((*[]string)(&given.StopStrings), "stop-strings", nil, "text that ends a caption, such as '.'; may be repeated")
	f.BoolVar(&given.DoSample, "do-sample", false, "draw tokens at random instead of taking the most probable")
	f.Float64Var(&given.Temperature, "temperature", given.Temperature, "with --do-sample: below 1 bolder, above 1 more varied")
	f.IntVar(&given.TopK, "top-k", given.TopK, "with --do-sample: draw from the k most probable tokens; 0: all")
	f.Float64Var(&given.TopP, "top-p", given.TopP, "with --do-sample: draw from the fewest tokens with this probability together")
	f.Float64Var(&given.MinP, "min-p", 0, "with --do-sample: draw from tokens with at least this share of the largest probability")
	f.Float64Var(&given.TypicalP, "typical-p", given.TypicalP, "with --do-sample: as --top-p, of the tokens nearest to the expected information")
	f.IntVar(&given.NumBeams, "num-beams", given.NumBeams, "beam search with so many beams")
	f.Float64Var(&given.LengthPenalty, "length-penalty", given.LengthPenalty, "with --num-beams: above 0 favours long captions")
	f.StringVar(&early, "early-stopping", "", "with --num-beams: true, false or never")
	f.IntVar(&given.NumReturnSequences, "num-return-sequences", given.NumReturnSequences, "captions for each picture, with --do-sample or --num-beams")
	f.Float64Var(&given.RepetitionPenalty, "repetition-penalty", given.RepetitionPenalty, "above 1: tokens that occurred become less probable")
	f.IntVar(&given.NoRepeatNGramSize, "no-repeat-ngram-size", 0, "no run of so many tokens occurs twice")
	f.StringArrayVar(&badWords, "bad-words", nil, "words that must not occur, as they are written; may be repeated")
	f.IntSliceVar(&given.SuppressTokens, "suppress-tokens", nil, "ids of tokens that must not occur")
	f.IntSliceVar(&given.BeginSuppressTokens, "begin-suppress-tokens", nil, "ids of tokens that must not be the first")
	f.IntVar(&forcedBOS, "forced-bos-token-id", 0, "id of the token that must be the first")
	f.IntSliceVar((*[]int)(&given.ForcedEOSTokenID), "forced-eos-token-id", nil, "id of the token that must be the last of a caption of full length")
	f.IntVar(&given.NumAssistantTokens, "num-assistant-tokens", given.NumAssistantTokens, "with fp32 or bf16, one picture at a time and neither --do-sample nor --num-beams: tokens that int8 weights guess before they are checked together, which takes less time and changes nothing; 0: none")
	return func(o generate.Options, tok *tokenizer.Tokenizer, positions int, seed uint64) (generate.Options, error) {
		for name, set := range map[string]func(){
			"max-new-tokens":        func() { o.MaxNewTokens = given.MaxNewTokens },
			"min-new-tokens":        func() { o.MinNewTokens = given.MinNewTokens },
			"stop-strings":          func() { o.StopStrings = given.StopStrings },
			"do-sample":             func() { o.DoSample = given.DoSample },
			"temperature":           func() { o.Temperature = given.Temperature },
			"top-k":                 func() { o.TopK = given.TopK },
			"top-p":                 func() { o.TopP = given.TopP },
			"min-p":                 func() { o.MinP = given.MinP },
			"typical-p":             func() { o.TypicalP = given.TypicalP },
			"num-beams":             func() { o.NumBeams = given.NumBeams },
			"length-penalty":        func() { o.LengthPenalty = given.LengthPenalty },
			"num-return-sequences":  func() { o.NumReturnSequences = given.NumReturnSequences },
			"repetition-penalty":    func() { o.RepetitionPenalty = given.RepetitionPenalty },
			"no-repeat-ngram-size":  func() { o.NoRepeatNGramSize = given.NoRepeatNGramSize },
			"bad-words":             func() { o.BadWordsIDs = spellings(badWords, tok) },
			"suppress-tokens":       func() { o.SuppressTokens = given.SuppressTokens },
			"begin-suppress-tokens": func() { o.BeginSuppressTokens = given.BeginSuppressTokens },
			"forced-bos-token-id":   func() { o.ForcedBOSTokenID = &forcedBOS },
			"forced-eos-token-id":   func() { o.ForcedEOSTokenID = given.ForcedEOSTokenID },
			"num-assistant-tokens":  func() { o.NumAssistantTokens = given.NumAssistantTokens },
			"prompt":                func() { o.Prefix = promptTokens(prompt, tok) },
		} {
			if f.Changed(name) {
				set()
			}
		}
		if f.Changed("early-stopping") {
			if err := o.EarlyStopping.UnmarshalText([]byte(early)); err != nil {
				return o, cli.Usagef("--early-stopping: %w", err)
			}
		}
		if left := positions - len(o.Prefix); f.Changed("prompt") && !f.Changed("max-new-tokens") && left > 0 {
			o.MaxNewTokens = min(o.MaxNewTokens, left) // the model's own leaves no room for a prompt
		}
		o.Seed = seed
		return o, checkPrompt(f, o, tok)
	}
}

// promptTokens are those of the words of a prompt. A space at its end is left
// out: the next word brings its own.
func promptTokens(prompt string, tok *tokenizer.Tokenizer) []int {
	return tok.Encode(strings.TrimSpace(prompt))
}

func checkPrompt(f *pflag.FlagSet, o generate.Options, tok *tokenizer.Tokenizer) error {
	switch {
	case !f.Changed("prompt"):
	case len(o.Prefix) == 0:
		return cli.Usagef("--prompt has no words")
	case slices.ContainsFunc(o.Prefix, tok.IsSpecial):
		return cli.Usagef("--prompt has a special token, %q", tok.Token(o.Prefix[slices.IndexFunc(o.Prefix, tok.IsSpecial)]))
	case f.Changed("forced-bos-token-id"):
		return cli.Usagef("--prompt and --forced-bos-token-id both say how a caption begins")
	}
	return nil
}

// spellings are the tokens of words at the beginning of a caption and within it.
func spellings(words []string, tok *tokenizer.Tokenizer) [][]int {
	var all [][]int
	for _, word := range words {
		word = strings.TrimSpace(word)
		all = append(all, tok.Encode(word), tok.Encode(" "+word))
	}
	return all
}
