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
// whole and, where these are silent, those of the decoder.
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
		Decoder json.RawMessage `json:"decoder"`
	}
	if err := json.Unmarshal(whole, &parts); err != nil {
		return base, fmt.Errorf("%s: %w", name, err)
	}
	o, bos := base, (*int)(nil)
	if len(parts.Decoder) > 0 {
		if err := o.overlay(parts.Decoder, &bos); err != nil {
			return base, fmt.Errorf("%s: decoder: %w", name, err)
		}
	}
	if err := o.overlay(whole, &bos); err != nil {
		return base, fmt.Errorf("%s: %w", name, err)
	}
	if o.DecoderStartTokenID < 0 && bos != nil {
		o.DecoderStartTokenID = *bos
	}
	loaded := o
	o.file = &loaded
	return o, nil
}

// overlay replaces the settings, and bos, that a JSON object names.
func (o *Options) overlay(object json.RawMessage, bos **int) error {
	var raw hfconfig.Raw
	if err := json.Unmarshal(object, &raw); err != nil {
		return err
	}
	if err := refuseUnsupported(raw); err != nil {
		return err
	}
	if value := raw["bos_token_id"]; value != nil && string(value) != "null" {
		if err := json.Unmarshal(value, bos); err != nil {
			return fmt.Errorf("bos_token_id: %w", err)
		}
	}
	type plain Options
	return json.Unmarshal(object, (*plain)(o))
}
