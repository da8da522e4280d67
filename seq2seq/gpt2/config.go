package gpt2

import (
	"fmt"
	"maps"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// Config is the config.json of a Hugging Face GPT-2.
type Config struct {
	ModelType                  string  `json:"model_type"`
	VocabSize                  int     `json:"vocab_size"`
	NumPositions               int     `json:"n_positions"`
	Dim                        int     `json:"n_embd"`
	NumLayers                  int     `json:"n_layer"`
	NumHeads                   int     `json:"n_head"`
	InnerDim                   *int    `json:"n_inner"` // nil: 4·Dim
	ActivationFunction         string  `json:"activation_function"`
	ResidualDropout            float64 `json:"resid_pdrop"`
	EmbeddingDropout           float64 `json:"embd_pdrop"`
	AttentionDropout           float64 `json:"attn_pdrop"`
	LayerNormEpsilon           float64 `json:"layer_norm_epsilon"`
	InitializerRange           float64 `json:"initializer_range"`
	ScaleAttnWeights           bool    `json:"scale_attn_weights"`
	ScaleAttnByInverseLayerIdx bool    `json:"scale_attn_by_inverse_layer_idx"`
	AddCrossAttention          bool    `json:"add_cross_attention"`
	IsDecoder                  bool    `json:"is_decoder"`
	TieWordEmbeddings          bool    `json:"tie_word_embeddings"`
	// CrossAttentionHiddenSize, where set, is the width of encoder states
	// that come without a projection. GPT-2's keys and values take Dim
	// columns, so it can only be Dim.
	CrossAttentionHiddenSize *int `json:"cross_attention_hidden_size,omitempty"`
	// CrossAttentionType is what the cross-attention has beyond Hugging
	// Face's.
	CrossAttentionType Variants `json:"cross_attention_type,omitempty"`
	BOSTokenID         *int     `json:"bos_token_id"`
	EOSTokenID         *int     `json:"eos_token_id"`
	PadTokenID         *int     `json:"pad_token_id"`

	raw hfconfig.Raw // fields of the file that are not used here
}

// DefaultConfig is GPT-2 small, transformers' defaults.
func DefaultConfig() Config {
	end := 50256
	return Config{
		ModelType: "gpt2", VocabSize: 50257, NumPositions: 1024, Dim: 768, NumLayers: 12, NumHeads: 12,
		ActivationFunction: "gelu_new", ResidualDropout: 0.1, EmbeddingDropout: 0.1, AttentionDropout: 0.1,
		LayerNormEpsilon: 1e-5, InitializerRange: 0.02, ScaleAttnWeights: true, TieWordEmbeddings: true,
		BOSTokenID: &end, EOSTokenID: &end,
	}
}

// Inner is the width of the feed-forward layers.
func (c Config) Inner() int {
	if c.InnerDim != nil {
		return *c.InnerDim
	}
	return 4 * c.Dim
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
	if c.CrossAttentionType == nil {
		c.raw = maps.Clone(c.raw) // the file may have had one
		delete(c.raw, "cross_attention_type")
	}
	return c.raw.Encode(plain(c))
}

func (c Config) check() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"vocab_size", c.VocabSize}, {"n_positions", c.NumPositions}, {"n_embd", c.Dim},
		{"n_layer", c.NumLayers}, {"n_head", c.NumHeads}, {"n_inner", c.Inner()},
	} {
		if f.value < 1 {
			return fmt.Errorf("%s is %d, must be at least 1", f.name, f.value)
		}
	}
	if err := hfconfig.CheckSize(c.NumLayers, c.weights()); err != nil {
		return err
	}
	if c.Dim%c.NumHeads != 0 {
		return fmt.Errorf("n_embd %d does not divide into n_head %d", c.Dim, c.NumHeads)
	}
	if n := c.CrossAttentionHiddenSize; n != nil && *n != c.Dim {
		return fmt.Errorf("cross_attention_hidden_size is %d, but GPT-2's cross-attention takes states as wide as n_embd, %d", *n, c.Dim)
	}
	if err := c.CrossAttentionType.check(); err != nil {
		return fmt.Errorf("cross_attention_type: %w", err)
	}
	if _, err := layers.ParseActivation(c.ActivationFunction); err != nil {
		return fmt.Errorf("activation_function: %w", err)
	}
	return nil
}

// weights is about how many the model has; they may be more than an int can count.
func (c Config) weights() float64 {
	d := float64(c.Dim)
	return float64(c.NumLayers)*d*(8*d+2*float64(c.Inner())) + d*(float64(c.VocabSize)+float64(c.NumPositions))
}
