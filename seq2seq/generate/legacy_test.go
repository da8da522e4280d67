package generate_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
)

func TestOldModelsHaveTheirSettingsInConfigJSON(t *testing.T) {
	// As captioners of 2022 have them: the decoder's part lists every default,
	// and the ids of tokens are in one place or the other.
	config := `{"decoder": {"bos_token_id": 50256, "eos_token_id": 50256, "decoder_start_token_id": 50256, "pad_token_id": null,
		"do_sample": false, "early_stopping": false, "num_beams": 1, "top_k": 50, "temperature": 1.0, "max_length": 20, "bad_words_ids": null},
		"pad_token_id": 50256, "num_beams": 4, "max_length": 16, "model_type": "vision-encoder-decoder"}`
	o, err := generate.LoadOptions(fstest.MapFS{"config.json": {Data: []byte(config)}}, generate.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if o.DecoderStartTokenID != 50256 || !slices.Equal(o.EOSTokenID, []int{50256}) || o.PadTokenID != 50256 || o.NumBeams != 4 || o.MaxLength != 16 || o.TopK != 50 {
		t.Errorf("got %+v", o)
	}
	if err := o.Check(50257, 1024); err != nil {
		t.Errorf("settings without effect that the model came with: %v", err)
	}
	for _, config := range []string{`{"bos_token_id": 7, "decoder": {}}`, `{"bos_token_id": null, "decoder": {"bos_token_id": 7}}`} {
		o, err = generate.LoadOptions(fstest.MapFS{"config.json": {Data: []byte(config)}}, generate.DefaultOptions())
		if err != nil || o.DecoderStartTokenID != 7 {
			t.Errorf("%s: start token %d, %v; want 7", config, o.DecoderStartTokenID, err)
		}
	}
	for config, want := range map[string]string{
		`{"num_beams": "four"}`:               "num_beams",
		`{"bos_token_id": "x"}`:               "bos_token_id",
		`{"decoder": {"num_beam_groups": 2}}`: "decoder: num_beam_groups is 2, which is not supported",
		`{"decoder": 3}`:                      "decoder",
		`[`:                                   "line 1",
	} {
		_, err := generate.LoadOptions(fstest.MapFS{"config.json": {Data: []byte(config)}}, generate.DefaultOptions())
		if err == nil || !strings.Contains(err.Error(), "config.json") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", config, err, want)
		}
	}
}
