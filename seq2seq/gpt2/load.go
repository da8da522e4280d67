package gpt2

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// LoadOption changes how a checkpoint is read.
type LoadOption func(*loadOptions)

type loadOptions struct {
	cross    bool
	random   *layers.Random
	variants Variants
}

// WithCrossAttention gives every block a cross-attention of the given
// variants (none: [Plain]). Where the checkpoint has none, it is drawn from
// random as Hugging Face draws it: normal with initializer_range, c_proj
// scaled by depth, biases 0. A checkpoint with a cross-attention of other
// variants is an error, unless none are given.
func WithCrossAttention(random *layers.Random, variants ...Variant) LoadOption {
	return func(o *loadOptions) { o.cross, o.random, o.variants = true, random, variants }
}

// addCrossAttention changes the configuration of a checkpoint as the options
// ask.
func (o loadOptions) addCrossAttention(c *Config) error {
	if !o.cross {
		return nil
	}
	if c.AddCrossAttention && o.variants != nil && !o.variants.equal(c.CrossAttentionType) {
		return fmt.Errorf("the checkpoint has a cross-attention that is %s, which cannot be made %s", c.CrossAttentionType, o.variants)
	}
	if !c.AddCrossAttention {
		c.CrossAttentionType = o.variants.normal()
	}
	c.AddCrossAttention, c.IsDecoder = true, true
	return nil
}

// Load reads a GPT-2 from a Hugging Face folder: config.json and its weights.
// Every tensor must be there in its shape; the error lists those that are not. All
// parameters come frozen: see [layers.Trainable].
func Load(fsys fs.FS, options ...LoadOption) (*Model, error) {
	var o loadOptions
	for _, f := range options {
		f(&o)
	}
	var c Config
	if err := hfconfig.Read(fsys, "config.json", &c); err != nil {
		return nil, err
	}
	if err := o.addCrossAttention(&c); err != nil {
		return nil, err
	}
	m, err := New[float32](c, nil)
	if err != nil {
		return nil, err
	}
	if o.cross {
		m.initialize(o.random, isCross.MatchString)
	}
	mayLack := func(name string) bool { return o.cross && isCross.MatchString(name) }
	if _, err := weights.Load(fsys, m, mayLack); err != nil {
		return nil, err
	}
	layers.Freeze(m)
	return m, nil
}

// ModelConfig is what config.json says of the model.
func (m *Model) ModelConfig() any { return m.Config }

var (
	isCross = regexp.MustCompile(`\.(crossattention|ln_cross_attn)\.`)
	// Attention masks, which old checkpoints keep beside the weights.
	maskBuffer = regexp.MustCompile(`\.(attn|crossattention)\.(bias|masked_bias)$`)
)

// CheckpointName maps a tensor of a checkpoint to the parameter that it is;
// false means that it is passed over.
func (m *Model) CheckpointName(tensor string) (string, bool) {
	if maskBuffer.MatchString(tensor) || strings.HasPrefix(tensor, "score.") {
		return tensor, false
	}
	if strings.HasPrefix(tensor, "lm_head.") {
		return tensor, m.LMHead != nil
	}
	if !strings.HasPrefix(tensor, "transformer.") {
		return "transformer." + tensor, true
	}
	return tensor, true
}
