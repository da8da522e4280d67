package vit

import (
	"encoding/json"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// Config is the config.json of a Hugging Face ViT or DeiT.
type Config struct {
	ModelType         string  `json:"model_type"` // "vit", or "deit" with its distillation token
	HiddenSize        int     `json:"hidden_size"`
	NumHiddenLayers   int     `json:"num_hidden_layers"`
	NumAttentionHeads int     `json:"num_attention_heads"`
	IntermediateSize  int     `json:"intermediate_size"`
	HiddenAct         string  `json:"hidden_act"`
	HiddenDropout     float64 `json:"hidden_dropout_prob"`
	AttentionDropout  float64 `json:"attention_probs_dropout_prob"`
	InitializerRange  float64 `json:"initializer_range"`
	LayerNormEps      float64 `json:"layer_norm_eps"`
	ImageSize         Size    `json:"image_size"`
	PatchSize         Size    `json:"patch_size"`
	NumChannels       int     `json:"num_channels"`
	QKVBias           bool    `json:"qkv_bias"`

	raw hfconfig.Raw // fields of the file that are not used here
}

// Size is a height and width in pixels; JSON writes a square as one number.
type Size struct{ Height, Width int }

// UnmarshalJSON reads 224 or [224, 192] (height, width).
func (s *Size) UnmarshalJSON(data []byte) error {
	var n int
	if err := json.Unmarshal(data, &n); err == nil {
		*s = Size{n, n}
		return nil
	}
	var hw []int
	if err := json.Unmarshal(data, &hw); err != nil || len(hw) != 2 {
		return fmt.Errorf("size %s is neither a number nor [height, width]", data)
	}
	*s = Size{hw[0], hw[1]}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (s Size) MarshalJSON() ([]byte, error) {
	if s.Height == s.Width {
		return json.Marshal(s.Height)
	}
	return json.Marshal([]int{s.Height, s.Width})
}

// DefaultConfig is ViT-B/16 at 224 pixels, transformers' defaults.
func DefaultConfig() Config {
	return Config{
		ModelType: "vit", HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12, IntermediateSize: 3072,
		HiddenAct: "gelu", InitializerRange: 0.02, LayerNormEps: 1e-12,
		ImageSize: Size{224, 224}, PatchSize: Size{16, 16}, NumChannels: 3, QKVBias: true,
	}
}

// UnmarshalJSON fills in the defaults for what the file leaves out, and
// checks the result.
func (c *Config) UnmarshalJSON(data []byte) error {
	type plain Config
	p := plain(DefaultConfig())
	raw, err := hfconfig.Decode(data, &p)
	if err != nil {
		return err
	}
	*c = Config(p)
	c.raw = raw
	return c.check()
}

// MarshalJSON writes the configuration with the fields of the file that it
// came from.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	return c.raw.Encode(plain(c))
}

func (c Config) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"hidden_size", c.HiddenSize}, {"num_hidden_layers", c.NumHiddenLayers}, {"num_attention_heads", c.NumAttentionHeads},
		{"intermediate_size", c.IntermediateSize}, {"num_channels", c.NumChannels},
		{"image_size", min(c.ImageSize.Height, c.ImageSize.Width)}, {"patch_size", min(c.PatchSize.Height, c.PatchSize.Width)},
	} {
		if f.value < 1 {
			return fmt.Errorf("%s is %d, must be at least 1", f.name, f.value)
		}
	}
	if err := hfconfig.CheckSize(c.NumHiddenLayers, c.weights()); err != nil {
		return err
	}
	if c.HiddenSize%c.NumAttentionHeads != 0 {
		return fmt.Errorf("hidden_size %d does not divide into num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	if c.ImageSize.Height < c.PatchSize.Height || c.ImageSize.Width < c.PatchSize.Width {
		return fmt.Errorf("image_size %v is smaller than patch_size %v", c.ImageSize, c.PatchSize)
	}
	if _, err := layers.ParseActivation(c.HiddenAct); err != nil {
		return fmt.Errorf("hidden_act: %w", err)
	}
	return nil
}

// weights is about how many the model has; they may be more than an int can count.
func (c Config) weights() float64 {
	d := float64(c.HiddenSize)
	patch := float64(c.PatchSize.Height) * float64(c.PatchSize.Width)
	patches := float64(c.ImageSize.Height) * float64(c.ImageSize.Width) / patch
	return float64(c.NumHiddenLayers)*d*(4*d+2*float64(c.IntermediateSize)) + d*(float64(c.NumChannels)*patch+patches+d)
}

// grid is the number of patches down and across a picture of the given size.
func (c Config) grid(height, width int) (rows, cols int) {
	return height / c.PatchSize.Height, width / c.PatchSize.Width
}
