package generate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Check returns an error that says why options make no sense, by themselves
// or for a model with so many tokens and positions. An option that has no
// effect without another, such as top_p without do_sample, is refused too,
// unless it came from generation_config.json.
func (o Options) Check(vocabulary, positions int) error {
	for _, check := range []func() error{
		o.checkRanges, o.checkMode, o.checkForced,
		func() error { return o.checkIDs(vocabulary) },
		func() error { return o.checkLengths(positions) },
	} {
		if err := check(); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	return nil
}

func (o *Options) checkRanges() error {
	for _, c := range []struct {
		name  string
		value float64
		ok    bool // false for NaN, too
		want  string
	}{
		{"temperature", o.Temperature, o.Temperature > 0 && o.Temperature <= math.MaxFloat64, "more than 0 and finite; for the most probable token set do_sample to false"},
		{"top_k", float64(o.TopK), o.TopK >= 0, "0 for all tokens, or more"},
		{"top_p", o.TopP, o.TopP >= 0 && o.TopP <= 1, "from 0 to 1"},
		{"min_p", o.MinP, o.MinP >= 0 && o.MinP <= 1, "from 0 to 1"},
		{"typical_p", o.TypicalP, o.TypicalP > 0 && o.TypicalP <= 1, "more than 0 and at most 1"},
		{"num_beams", float64(o.NumBeams), o.NumBeams >= 1, "at least 1"},
		{"length_penalty", o.LengthPenalty, math.Abs(o.LengthPenalty) <= math.MaxFloat64, "a finite number"},
		{"early_stopping", float64(o.EarlyStopping), o.EarlyStopping >= WhenUnlikely && o.EarlyStopping <= WhenImpossible, "false, true or never"},
		{"num_return_sequences", float64(o.NumReturnSequences), o.NumReturnSequences >= 1, "at least 1"},
		{"repetition_penalty", o.RepetitionPenalty, o.RepetitionPenalty > 0 && o.RepetitionPenalty <= math.MaxFloat32, "more than 0 and finite; 1 is none"},
		{"no_repeat_ngram_size", float64(o.NoRepeatNGramSize), o.NoRepeatNGramSize >= 0, "0 for off, or more"},
		{"max_new_tokens", float64(o.MaxNewTokens), o.MaxNewTokens >= 0, "at least 1, or 0 to leave it to max_length"},
		{"max_length", float64(o.MaxLength), o.MaxLength >= 0, "at least 1, or 0 for the default"},
		{"min_new_tokens", float64(o.MinNewTokens), o.MinNewTokens >= 0, "at least 0"},
		{"min_length", float64(o.MinLength), o.MinLength >= 0, "at least 0"},
		{"num_assistant_tokens", float64(o.NumAssistantTokens), o.NumAssistantTokens >= 0, "0 for none, or more"},
		{"assistant_confidence_threshold", o.AssistantConfidenceThreshold, o.AssistantConfidenceThreshold >= 0 && o.AssistantConfidenceThreshold <= 1, "from 0 to 1"},
	} {
		if !c.ok {
			return fmt.Errorf("%s is %v, must be %s", c.name, c.value, c.want)
		}
	}
	if schedules := []AssistantSchedule{Heuristic, HeuristicTransient, Constant}; !slices.Contains(schedules, o.NumAssistantTokensSchedule) {
		return fmt.Errorf("num_assistant_tokens_schedule is %q, must be one of %q", o.NumAssistantTokensSchedule, schedules)
	}
	return nil
}

// checkMode refuses options that do nothing in the chosen kind of decoding.
func (o *Options) checkMode() error {
	file := DefaultOptions()
	if o.file != nil {
		file = *o.file
	}
	for _, c := range []struct {
		name          string
		value         any
		idle          bool // has no effect, but the caller asked for it
		does          bool // what it needs is there
		neededSetting string
	}{
		{"temperature", o.Temperature, o.Temperature != 1 && o.Temperature != file.Temperature, o.DoSample, "do_sample"},
		{"top_k", o.TopK, o.TopK != 0 && o.TopK != DefaultOptions().TopK && o.TopK != file.TopK, o.DoSample, "do_sample"},
		{"top_p", o.TopP, o.TopP != 1 && o.TopP != file.TopP, o.DoSample, "do_sample"},
		{"min_p", o.MinP, o.MinP != 0 && o.MinP != file.MinP, o.DoSample, "do_sample"},
		{"typical_p", o.TypicalP, o.TypicalP != 1 && o.TypicalP != file.TypicalP, o.DoSample, "do_sample"},
		{"length_penalty", o.LengthPenalty, o.LengthPenalty != 1 && o.LengthPenalty != file.LengthPenalty, o.NumBeams > 1, "num_beams above 1"},
		{"early_stopping", o.EarlyStopping, o.EarlyStopping != WhenUnlikely && o.EarlyStopping != file.EarlyStopping, o.NumBeams > 1, "num_beams above 1"},
	} {
		if c.idle && !c.does {
			return fmt.Errorf("%s is %v, but without %s it has no effect", c.name, c.value, c.neededSetting)
		}
	}
	n := o.NumReturnSequences
	switch {
	case n > 1 && o.NumBeams == 1 && !o.DoSample:
		return fmt.Errorf("num_return_sequences is %d, but greedy search finds one sequence: set do_sample or num_beams", n)
	case o.NumBeams > 1 && n > o.NumBeams:
		return fmt.Errorf("num_return_sequences is %d, more than num_beams, %d", n, o.NumBeams)
	case len(o.StopStrings) > 0 && o.Text == nil:
		return errors.New("stop_strings need a tokenizer: set Text")
	case slices.Contains(o.StopStrings, ""):
		return errors.New("stop_strings has an empty string, which would stop at once")
	}
	return nil
}

// checkForced refuses a forced token that is forbidden as well.
func (o *Options) checkForced() error {
	var bos IDs
	if o.ForcedBOSTokenID != nil {
		bos = IDs{*o.ForcedBOSTokenID}
	}
	for _, forced := range []struct {
		name string
		ids  IDs
	}{{"forced_bos_token_id", bos}, {"forced_eos_token_id", o.ForcedEOSTokenID}} {
		free := slices.DeleteFunc(slices.Clone(forced.ids), func(id int) bool { return slices.Contains(o.SuppressTokens, id) })
		if len(forced.ids) > 0 && len(free) == 0 {
			return fmt.Errorf("%s is %v, but suppress_tokens forbids it: no token is left", forced.name, forced.ids)
		}
	}
	return nil
}

func (o *Options) checkIDs(vocabulary int) error {
	one := func(id int) []int { return []int{id} }
	if o.DecoderStartTokenID < 0 {
		return errors.New("decoder_start_token_id is not set: a sequence needs a first token")
	}
	type list struct {
		name string
		ids  []int
	}
	lists := []list{
		{"decoder_start_token_id", one(o.DecoderStartTokenID)}, {"eos_token_id", o.EOSTokenID}, {"prefix", o.Prefix},
		{"suppress_tokens", o.SuppressTokens}, {"begin_suppress_tokens", o.BeginSuppressTokens}, {"forced_eos_token_id", o.ForcedEOSTokenID},
	}
	if o.ForcedBOSTokenID != nil {
		lists = append(lists, list{"forced_bos_token_id", one(*o.ForcedBOSTokenID)})
	}
	for _, word := range o.BadWordsIDs {
		if len(word) == 0 {
			return errors.New("bad_words_ids has an empty word")
		}
		lists = append(lists, list{"bad_words_ids", word})
	}
	for _, l := range lists {
		for _, id := range l.ids {
			if id < 0 || id >= vocabulary {
				return fmt.Errorf("%s has token %d, outside the vocabulary of %d", l.name, id, vocabulary)
			}
		}
	}
	return nil
}

func (o *Options) checkLengths(positions int) error {
	prompt, longest := 1+len(o.Prefix), o.maxLength(positions)
	name, value := "max_length", longest
	if o.MaxNewTokens > 0 {
		name, value = "max_new_tokens", o.MaxNewTokens
	}
	switch {
	case longest-1 > positions:
		return fmt.Errorf("%s is %d, which takes %d positions after a prompt of %d; the model has %d", name, value, longest-1, prompt, positions)
	case prompt >= longest:
		return fmt.Errorf("%s is %d, but the prompt has %d tokens already: nothing is left to generate", name, value, prompt)
	case o.MinNewTokens > longest-prompt:
		return fmt.Errorf("min_new_tokens is %d, but %s, %d, allows %d", o.MinNewTokens, name, value, longest-prompt)
	case o.MinLength > longest:
		return fmt.Errorf("min_length is %d, but %s, %d, allows %d", o.MinLength, name, value, longest)
	}
	return nil
}
