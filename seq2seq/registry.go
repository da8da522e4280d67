package seq2seq

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

// NewPictureEncoder makes an encoder of its configuration, the object
// "encoder" of config.json. The weights are read into it afterwards.
type NewPictureEncoder func(config json.RawMessage) (Encoder[vision.Pixels], error)

// NewDecoder makes a decoder of its configuration, the object "decoder" of
// config.json.
type NewDecoder func(config json.RawMessage) (Decoder, error)

var (
	encoders = map[string]NewPictureEncoder{}
	decoders = map[string]NewDecoder{}
)

// RegisterEncoder makes [Load] use an encoder for a model_type. Call it from
// an init function.
func RegisterEncoder(modelType string, f NewPictureEncoder) { encoders[modelType] = f }

// RegisterDecoder makes [Load] use a decoder for a model_type. Call it from
// an init function.
func RegisterDecoder(modelType string, f NewDecoder) { decoders[modelType] = f }

func init() {
	newViT := func(config json.RawMessage) (Encoder[vision.Pixels], error) {
		var c vit.Config
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		return vit.New[float32](c, nil)
	}
	RegisterEncoder("vit", newViT)
	RegisterEncoder("deit", newViT)
	RegisterDecoder("gpt2", func(config json.RawMessage) (Decoder, error) {
		var c gpt2.Config
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		if !c.AddCrossAttention {
			return nil, fmt.Errorf("add_cross_attention is false, so the decoder cannot look at an encoder")
		}
		return gpt2.New[float32](c, nil)
	})
}

func newEncoder(config json.RawMessage) (Encoder[vision.Pixels], error) {
	f, err := registered(encoders, config)
	if err != nil {
		return nil, err
	}
	return f(config)
}

func newDecoder(config json.RawMessage) (Decoder, error) {
	f, err := registered(decoders, config)
	if err != nil {
		return nil, err
	}
	return f(config)
}

func registered[F any](known map[string]F, config json.RawMessage) (F, error) {
	var head struct {
		ModelType string `json:"model_type"`
	}
	var none F
	if len(config) == 0 {
		return none, fmt.Errorf("missing")
	}
	if err := json.Unmarshal(config, &head); err != nil {
		return none, err
	}
	if f, ok := known[head.ModelType]; ok {
		return f, nil
	}
	return none, fmt.Errorf("model_type is %q; known are %s", head.ModelType, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
}
