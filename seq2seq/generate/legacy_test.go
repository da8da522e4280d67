package generate_test

import (
	"slices"
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
	o, err = generate.LoadOptions(fstest.MapFS{"config.json": {Data: []byte(`{"bos_token_id": 7, "decoder": {}}`)}}, generate.DefaultOptions())
	if err != nil || o.DecoderStartTokenID != 7 {
		t.Errorf("start token %d, %v; want 7", o.DecoderStartTokenID, err)
	}
	if _, err := generate.LoadOptions(fstest.MapFS{"config.json": {Data: []byte(`{"num_beams": "four"}`)}}, generate.DefaultOptions()); err == nil {
		t.Error("num_beams as a text was taken")
	}
}
