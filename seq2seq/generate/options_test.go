package generate

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func valid() Options {
	o := DefaultOptions()
	o.DecoderStartTokenID, o.EOSTokenID, o.PadTokenID = 1, IDs{2}, 0
	return o
}

func TestSenselessAndContradictoryOptionsAreRefusedWithTheReason(t *testing.T) {
	nan, three := math.NaN(), 3
	for _, c := range []struct {
		change func(o *Options)
		want   string // "" if it is fine
	}{
		{func(o *Options) {}, ""},
		{func(o *Options) { *o = Options{} }, "must be"},
		{func(o *Options) { o.DoSample, o.Temperature = true, 0 }, "temperature is 0, must be more than 0"},
		{func(o *Options) { o.DoSample, o.Temperature = true, nan }, "temperature is NaN"},
		{func(o *Options) { o.Temperature = 0.7 }, "temperature is 0.7, but without do_sample it has no effect"},
		{func(o *Options) { o.DoSample, o.Temperature = true, 0.7 }, ""},
		{func(o *Options) { o.TopK = -1 }, "top_k is -1"},
		{func(o *Options) { o.TopK = 5 }, "top_k is 5, but without do_sample"},
		{func(o *Options) { o.TopK = 0 }, ""},
		{func(o *Options) { o.DoSample, o.TopK = true, 1<<40 }, ""},
		{func(o *Options) { o.TopP = 1.1 }, "top_p is 1.1, must be from 0 to 1"},
		{func(o *Options) { o.TopP = 0.9 }, "top_p is 0.9, but without do_sample"},
		{func(o *Options) { o.DoSample, o.TopP = true, 0 }, ""},
		{func(o *Options) { o.MinP = -0.1 }, "min_p is -0.1"},
		{func(o *Options) { o.MinP = 0.1 }, "min_p is 0.1, but without do_sample"},
		{func(o *Options) { o.DoSample, o.TypicalP = true, 0 }, "typical_p is 0, must be more than 0"},
		{func(o *Options) { o.TypicalP = 0.5 }, "typical_p is 0.5, but without do_sample"},
		{func(o *Options) { o.NumBeams = 0 }, "num_beams is 0, must be at least 1"},
		{func(o *Options) { o.LengthPenalty = 2 }, "length_penalty is 2, but without num_beams above 1"},
		{func(o *Options) { o.NumBeams, o.LengthPenalty = 2, -2 }, ""},
		{func(o *Options) { o.NumBeams, o.LengthPenalty = 2, nan }, "length_penalty is NaN"},
		{func(o *Options) { o.NumBeams, o.LengthPenalty = 2, math.Inf(1) }, "length_penalty is +Inf"},
		{func(o *Options) { o.EarlyStopping = WhenImpossible }, "early_stopping is never, but without num_beams above 1"},
		{func(o *Options) { o.NumBeams, o.EarlyStopping = 2, 3 }, "early_stopping is 3"},
		{func(o *Options) { o.NumReturnSequences = 0 }, "num_return_sequences is 0"},
		{func(o *Options) { o.NumReturnSequences = 2 }, "greedy search finds one sequence"},
		{func(o *Options) { o.NumReturnSequences, o.DoSample = 2, true }, ""},
		{func(o *Options) { o.NumReturnSequences, o.NumBeams = 4, 3 }, "num_return_sequences is 4, more than num_beams, 3"},
		{func(o *Options) { o.RepetitionPenalty = 0 }, "repetition_penalty is 0"},
		{func(o *Options) { o.RepetitionPenalty = math.Inf(1) }, "repetition_penalty is +Inf"},
		{func(o *Options) { o.NoRepeatNGramSize = -1 }, "no_repeat_ngram_size is -1"},
		{func(o *Options) { o.StopStrings = Strings{"."} }, "stop_strings need a tokenizer"},
		{func(o *Options) { o.StopStrings, o.Text = Strings{""}, noText{} }, "stop_strings has an empty string"},
		{func(o *Options) { o.SuppressTokens, o.ForcedBOSTokenID = []int{3}, &three }, "forced_bos_token_id is [3], but suppress_tokens forbids it"},
		{func(o *Options) { o.SuppressTokens, o.ForcedEOSTokenID = []int{3, 2}, IDs{2} }, "forced_eos_token_id is [2], but suppress_tokens forbids it"},
		{func(o *Options) { o.SuppressTokens, o.ForcedEOSTokenID = []int{3}, IDs{2, 3} }, ""},
		{func(o *Options) { o.DecoderStartTokenID = -1 }, "decoder_start_token_id is not set"},
		{func(o *Options) { o.DecoderStartTokenID = 10 }, "decoder_start_token_id has token 10, outside the vocabulary of 10"},
		{func(o *Options) { o.EOSTokenID = IDs{2, 11} }, "eos_token_id has token 11"},
		{func(o *Options) { o.Prefix = []int{-1} }, "prefix has token -1"},
		{func(o *Options) { o.BadWordsIDs = [][]int{{1, 12}} }, "bad_words_ids has token 12"},
		{func(o *Options) { o.BadWordsIDs = [][]int{{}} }, "bad_words_ids has an empty word"},
		{func(o *Options) { o.SuppressTokens = []int{13} }, "suppress_tokens has token 13"},
		{func(o *Options) { o.BeginSuppressTokens = []int{14} }, "begin_suppress_tokens has token 14"},
		{func(o *Options) { id := 15; o.ForcedBOSTokenID = &id }, "forced_bos_token_id has token 15"},
		{func(o *Options) { o.ForcedEOSTokenID = IDs{16} }, "forced_eos_token_id has token 16"},
		{func(o *Options) { o.MaxNewTokens = -1 }, "max_new_tokens is -1"},
		{func(o *Options) { o.MaxNewTokens = 16 }, ""},
		{func(o *Options) { o.MaxNewTokens = 17 }, "max_new_tokens is 17, which takes 17 positions after a prompt of 1; the model has 16"},
		{func(o *Options) { o.MaxNewTokens, o.Prefix = 15, []int{1, 1} }, "max_new_tokens is 15, which takes 17 positions after a prompt of 3; the model has 16"},
		{func(o *Options) { o.MaxLength = 18 }, "max_length is 18, which takes 17 positions"},
		{func(o *Options) { o.MaxLength = 17 }, ""},
		{func(o *Options) { o.MaxLength, o.Prefix = 3, []int{1, 1} }, "max_length is 3, but the prompt has 3 tokens already"},
		{func(o *Options) { o.MaxLength, o.MaxNewTokens = 100, 3 }, ""},
		{func(o *Options) { o.MinNewTokens, o.MaxNewTokens = 4, 3 }, "min_new_tokens is 4, but max_new_tokens, 3, allows 3"},
		{func(o *Options) { o.MinNewTokens, o.MaxLength = 4, 4 }, "min_new_tokens is 4, but max_length, 4, allows 3"},
		{func(o *Options) { o.MinLength, o.MaxLength = 6, 5 }, "min_length is 6, but max_length, 5, allows 5"},
		{func(o *Options) { o.MinLength = -1 }, "min_length is -1"},
		{func(o *Options) { o.MinNewTokens = -1 }, "min_new_tokens is -1"},
		{func(o *Options) { o.MaxLength = -1 }, "max_length is -1"},
	} {
		o := valid()
		c.change(&o)
		err := o.Check(10, 16)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

type noText struct{}

func (noText) Decode([]int, bool) string { return "" }

func TestLengthsAreThoseOfHuggingFace(t *testing.T) {
	for _, c := range []struct {
		maxNew, maxLength, minNew, minLength, prefix, positions int
		wantMax, wantMin                                        int
	}{
		{0, 0, 0, 0, 0, 100, 21, 0},
		{0, 0, 0, 0, 3, 100, 24, 0},
		{0, 0, 0, 0, 3, 10, 11, 0},
		{7, 0, 0, 5, 3, 100, 11, 5},
		{7, 50, 2, 5, 3, 100, 11, 6},
		{0, 50, 9, 5, 0, 100, 50, 10},
	} {
		o := Options{MaxNewTokens: c.maxNew, MaxLength: c.maxLength, MinNewTokens: c.minNew, MinLength: c.minLength, Prefix: make([]int, c.prefix)}
		if longest, shortest := o.maxLength(c.positions), o.minLength(); longest != c.wantMax || shortest != c.wantMin {
			t.Errorf("%+v: from %d to %d tokens", c, shortest, longest)
		}
	}
}

func load(t *testing.T, file string, base Options) (Options, error) {
	t.Helper()
	return LoadOptions(fstest.MapFS{"generation_config.json": {Data: []byte(file)}}, base)
}

func TestAFilesSettingOutOfRangeIsAnErrorThatNamesTheFile(t *testing.T) {
	for file, want := range map[string]string{
		`{"do_sample": true, "top_p": 5}`: "generation_config.json: top_p is 5",
		`{"temperature": -1}`:             "generation_config.json: temperature is -1",
	} {
		if _, err := load(t, file, valid()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", file, err, want)
		}
	}
}

func TestAFileReplacesWhatItSays(t *testing.T) {
	base := valid()
	base.Prefix, base.Seed = []int{4}, 9
	o, err := load(t, `{
		"_from_model_config": true, "bos_token_id": 7, "eos_token_id": [2, 5], "pad_token_id": null, "max_length": 16,
		"num_beams": 4, "early_stopping": "never", "do_sample": true, "temperature": 0.5, "stop_strings": ".",
		"forced_eos_token_id": 2, "forced_bos_token_id": 6, "bad_words_ids": [[1], [2, 3]], "diversity_penalty": 0.0,
		"use_cache": true, "transformers_version": "5.23.0"}`, base)
	if err != nil {
		t.Fatal(err)
	}
	want := base
	six := 6
	want.EOSTokenID, want.MaxLength, want.NumBeams, want.EarlyStopping = IDs{2, 5}, 16, 4, WhenImpossible
	want.DoSample, want.Temperature, want.StopStrings = true, 0.5, Strings{"."}
	want.ForcedEOSTokenID, want.ForcedBOSTokenID, want.BadWordsIDs = IDs{2}, &six, [][]int{{1}, {2, 3}}
	got := o
	got.file, got.raw = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	base.DecoderStartTokenID = -1
	if o, err := load(t, `{"bos_token_id": 7}`, base); err != nil || o.DecoderStartTokenID != 7 {
		t.Errorf("the start token is %d, error %v; want BOS, 7", o.DecoderStartTokenID, err)
	}
	if o, err := LoadOptions(fstest.MapFS{}, base); err != nil || !reflect.DeepEqual(o, base) {
		t.Errorf("without a file: %+v, %v", o, err)
	}
}

func TestWhatAFileSaysInVainIsNoContradiction(t *testing.T) {
	o, err := load(t, `{"temperature": 0.6, "top_p": 0.9, "top_k": 50, "length_penalty": 2.0, "early_stopping": true}`, valid())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Check(10, 16); err != nil {
		t.Error(err)
	}
	o.TopP = 0.8
	if err := o.Check(10, 16); err == nil || !strings.Contains(err.Error(), "top_p is 0.8, but without do_sample") {
		t.Errorf("a top_p of the caller's own: %v", err)
	}
}

func TestErrorsOfAFileNameFileAndField(t *testing.T) {
	for file, want := range map[string]string{
		`{"num_beams": "four"}`:                   `"num_beams"`,
		`{"num_beams": 2`:                         "line 1",
		`{"early_stopping": "sometimes"}`:         "sometimes",
		`{"eos_token_id": "x"}`:                   `"eos_token_id" is a JSON string`,
		`{"num_beam_groups": 2}`:                  "num_beam_groups is 2, which is not supported",
		`{"penalty_alpha": 0.6}`:                  "penalty_alpha is 0.6",
		`{"sequence_bias": [[[1], 2.0]]}`:         "sequence_bias is",
		`{"guidance_scale": 1.5, "num_beams": 3}`: "guidance_scale is 1.5",
	} {
		_, err := load(t, file, valid())
		if err == nil || !strings.Contains(err.Error(), "generation_config.json") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", file, err, want)
		}
	}
	for _, neutral := range []string{`{"num_beam_groups": 1, "guidance_scale": null, "epsilon_cutoff": 0.0}`, `{"unknown": {"a": 1}}`} {
		if _, err := load(t, neutral, valid()); err != nil {
			t.Errorf("%s: %v", neutral, err)
		}
	}
}

func TestSavedOptionsLoadAsTheyWere(t *testing.T) {
	five := 5
	full := valid()
	full.DoSample, full.Temperature, full.TopK, full.TopP, full.MinP, full.TypicalP = true, 0.5, 7, 0.9, 0.1, 0.8
	full.NumBeams, full.LengthPenalty, full.EarlyStopping, full.NumReturnSequences = 3, 0, WhenImpossible, 2
	full.RepetitionPenalty, full.NoRepeatNGramSize, full.BadWordsIDs = 1.5, 3, [][]int{{1}, {2, 3}}
	full.SuppressTokens, full.BeginSuppressTokens, full.ForcedBOSTokenID, full.ForcedEOSTokenID = []int{1}, []int{2}, &five, IDs{2, 3}
	full.MaxNewTokens, full.MaxLength, full.MinNewTokens, full.MinLength = 9, 30, 2, 4
	full.StopStrings, full.EOSTokenID = Strings{"a", "b"}, IDs{4, 5}
	early := valid()
	early.NumBeams, early.EarlyStopping = 2, WhenFull
	for name, o := range map[string]Options{"defaults": DefaultOptions(), "full": full, "early": early} {
		dir := t.TempDir()
		if err := o.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := LoadOptions(os.DirFS(dir), DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		got.file, got.raw = nil, nil
		if !reflect.DeepEqual(got, o) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, o)
		}
	}
}

func TestSavingKeepsWhatIsUnknownAndDropsDefaults(t *testing.T) {
	o, err := load(t, `{"use_cache": true, "bos_token_id": 7, "num_beams": 4, "temperature": 0.5}`, valid())
	if err != nil {
		t.Fatal(err)
	}
	o.NumBeams, o.DoSample, o.Temperature = 1, true, 1
	dir := t.TempDir()
	if err := o.Save(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "generation_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"use_cache": true, "bos_token_id": 7.0, "do_sample": true, "top_k": 1000.0,
		"decoder_start_token_id": 1.0, "eos_token_id": 2.0, "pad_token_id": 0.0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("saved %v, want %v", got, want)
	}
}

func TestEarlyStoppingIsReadAndWrittenAsText(t *testing.T) {
	for _, e := range []EarlyStopping{WhenUnlikely, WhenFull, WhenImpossible} {
		text, err := e.MarshalText()
		var got EarlyStopping
		if err != nil || got.UnmarshalText(text) != nil || got != e {
			t.Errorf("%v is written as %q and read as %v", int(e), text, got)
		}
	}
	var e EarlyStopping
	if err := e.UnmarshalText([]byte("soon")); err == nil || !strings.Contains(err.Error(), "false, true, never") {
		t.Errorf("error %v", err)
	}
}
