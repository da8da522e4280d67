package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
)

// fromModelConfig reads the settings of generation where models had them
// before there was a generation_config.json: in config.json, those of the
// decoder and, before them, those of the whole.
func fromModelConfig(fsys fs.FS, base Options) (Options, error) {
	const name = "config.json"
	var whole json.RawMessage
	err := hfconfig.Read(fsys, name, &whole)
	if errors.Is(err, fs.ErrNotExist) {
		return base, nil
	}
	if err != nil {
		return base, err
	}
	var parts struct {
		Decoder    json.RawMessage `json:"decoder"`
		BOSTokenID *int            `json:"bos_token_id"`
	}
	if err := json.Unmarshal(whole, &parts); err != nil {
		return base, fmt.Errorf("%s: %w", name, err)
	}
	var decoder struct {
		BOSTokenID *int `json:"bos_token_id"`
	}
	type plain Options
	o := base
	if len(parts.Decoder) > 0 {
		if err := errors.Join(json.Unmarshal(parts.Decoder, (*plain)(&o)), json.Unmarshal(parts.Decoder, &decoder)); err != nil {
			return base, fmt.Errorf("%s: decoder: %w", name, err)
		}
	}
	if err := json.Unmarshal(whole, (*plain)(&o)); err != nil {
		return base, fmt.Errorf("%s: %w", name, err)
	}
	for _, bos := range []*int{parts.BOSTokenID, decoder.BOSTokenID} {
		if o.DecoderStartTokenID < 0 && bos != nil {
			o.DecoderStartTokenID = *bos
		}
	}
	loaded := o
	o.file = &loaded
	return o, nil
}
