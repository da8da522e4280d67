package main

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/spf13/pflag"
)

// defineGeneration adds a flag for each setting of generation. The function
// that it returns lays those that were given over a model's own settings.
func defineGeneration(f *pflag.FlagSet) func(base generate.Options, seed uint64) (generate.Options, error) {
	given, early := generate.DefaultOptions(), ""
	f.IntVar(&given.MaxNewTokens, "max-new-tokens", 0, "most tokens of a caption (default: the model's own, or 20)")
	f.IntVar(&given.MinNewTokens, "min-new-tokens", 0, "fewest tokens of a caption")
	f.BoolVar(&given.DoSample, "do-sample", false, "draw tokens at random instead of taking the most probable")
	f.Float64Var(&given.Temperature, "temperature", given.Temperature, "with --do-sample: below 1 bolder, above 1 more varied")
	f.IntVar(&given.TopK, "top-k", given.TopK, "with --do-sample: draw from the k most probable tokens; 0: all")
	f.Float64Var(&given.TopP, "top-p", given.TopP, "with --do-sample: draw from the fewest tokens with this probability together")
	f.IntVar(&given.NumBeams, "num-beams", given.NumBeams, "beam search with so many beams")
	f.Float64Var(&given.LengthPenalty, "length-penalty", given.LengthPenalty, "with --num-beams: above 0 favours long captions")
	f.StringVar(&early, "early-stopping", "", "with --num-beams: true, false or never")
	f.IntVar(&given.NumReturnSequences, "num-return-sequences", given.NumReturnSequences, "captions for each picture")
	f.Float64Var(&given.RepetitionPenalty, "repetition-penalty", given.RepetitionPenalty, "above 1: tokens that occurred become less probable")
	f.IntVar(&given.NoRepeatNGramSize, "no-repeat-ngram-size", 0, "no run of so many tokens occurs twice")
	return func(o generate.Options, seed uint64) (generate.Options, error) {
		for name, set := range map[string]func(){
			"max-new-tokens":       func() { o.MaxNewTokens = given.MaxNewTokens },
			"min-new-tokens":       func() { o.MinNewTokens = given.MinNewTokens },
			"do-sample":            func() { o.DoSample = given.DoSample },
			"temperature":          func() { o.Temperature = given.Temperature },
			"top-k":                func() { o.TopK = given.TopK },
			"top-p":                func() { o.TopP = given.TopP },
			"num-beams":            func() { o.NumBeams = given.NumBeams },
			"length-penalty":       func() { o.LengthPenalty = given.LengthPenalty },
			"num-return-sequences": func() { o.NumReturnSequences = given.NumReturnSequences },
			"repetition-penalty":   func() { o.RepetitionPenalty = given.RepetitionPenalty },
			"no-repeat-ngram-size": func() { o.NoRepeatNGramSize = given.NoRepeatNGramSize },
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
		o.Seed = seed
		return o, nil
	}
}
