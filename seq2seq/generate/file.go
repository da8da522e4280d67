package generate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
)

const fileName = "generation_config.json"

// LoadOptions reads generation_config.json of a model's folder: what it says
// replaces base, and what it leaves out (or is null) stays. Without the file,
// the settings are read from config.json, where older models have them, and
// without that too, base is returned. A field that would change the result
// and is not known here is an error, as is one of a wrong type; errors name
// file and field.
func LoadOptions(fsys fs.FS, base Options) (Options, error) {
	o := base
	var raw hfconfig.Raw
	err := hfconfig.Read(fsys, fileName, &raw)
	if errors.Is(err, fs.ErrNotExist) {
		return fromModelConfig(fsys, base)
	}
	if err != nil {
		return base, err
	}
	type plain Options
	if err := hfconfig.Read(fsys, fileName, (*plain)(&o)); err != nil {
		return base, err
	}
	if err := errors.Join(refuseUnsupported(raw), o.checkRanges()); err != nil {
		return base, fmt.Errorf("%s: %w", fileName, err)
	}
	var bos struct {
		BOSTokenID *int `json:"bos_token_id"`
	}
	if err := hfconfig.Read(fsys, fileName, &bos); err != nil {
		return base, err
	}
	if o.DecoderStartTokenID < 0 && bos.BOSTokenID != nil {
		o.DecoderStartTokenID = *bos.BOSTokenID
	}
	o.raw = raw
	loaded := o
	o.file = &loaded
	return o, nil
}

// unsupported are settings of Hugging Face's that change what is generated,
// with the values that do not.
var unsupported = map[string][]string{
	"constraints":                      {"[]"},
	"diversity_penalty":                {"0", "0.0"},
	"dola_layers":                      {},
	"encoder_no_repeat_ngram_size":     {"0"},
	"encoder_repetition_penalty":       {"1", "1.0"},
	"epsilon_cutoff":                   {"0", "0.0"},
	"eta_cutoff":                       {"0", "0.0"},
	"exponential_decay_length_penalty": {},
	"force_words_ids":                  {"[]"},
	"guidance_scale":                   {"1", "1.0"},
	"max_time":                         {},
	"num_beam_groups":                  {"1"},
	"penalty_alpha":                    {"0", "0.0"},
	"remove_invalid_values":            {"false"},
	"renormalize_logits":               {"false"},
	"sequence_bias":                    {},
	"top_h":                            {},
	"watermarking_config":              {},
}

func refuseUnsupported(fields hfconfig.Raw) error {
	for _, name := range slices.Sorted(maps.Keys(unsupported)) {
		value := string(bytes.TrimSpace(fields[name]))
		if value != "" && value != "null" && !slices.Contains(unsupported[name], value) {
			return fmt.Errorf("%s is %s, which is not supported", name, value)
		}
	}
	return nil
}

// Save writes generation_config.json into a folder: what differs from the
// defaults, and what the file that the options came from said besides.
func (o Options) Save(dir string) error {
	fields, err := o.fields()
	if err != nil {
		return fmt.Errorf("%s: %w", fileName, err)
	}
	return hfconfig.Write(dir, fileName, fields)
}

// fields are the options as generation_config.json has them. Defaults are
// left out, since Hugging Face refuses to save a configuration again that
// names options without effect. But its own default of top_k is another.
func (o Options) fields() (hfconfig.Raw, error) {
	type plain Options
	all, err := hfconfig.Raw(nil).With(plain(o))
	if err != nil {
		return nil, err
	}
	defaults, err := hfconfig.Raw(nil).With(plain(DefaultOptions()))
	if err != nil {
		return nil, err
	}
	out, err := o.raw.With(all)
	if err != nil {
		return nil, err
	}
	for name := range all {
		if bytes.Equal(all[name], defaults[name]) && !(name == "top_k" && o.DoSample) {
			delete(out, name)
		}
	}
	return out, nil
}
