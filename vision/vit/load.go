package vit

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// Load reads a ViT or DeiT from a Hugging Face folder: config.json and its
// weights, with or without a classification head, which is left out. A
// checkpoint without the pooler, which is not used, is fine. Every other
// tensor must be there in its shape; the error lists those that are not. All
// parameters come frozen: see [layers.Trainable].
func Load(fsys fs.FS) (*Model, error) {
	var c Config
	if err := hfconfig.Read(fsys, "config.json", &c); err != nil {
		return nil, err
	}
	m, err := New[float32](c, nil)
	if err != nil {
		return nil, err
	}
	if _, err := weights.Load(fsys, m, m.MayLack); err != nil {
		return nil, err
	}
	layers.Freeze(m)
	return m, nil
}

// MayLack reports the parameters that a checkpoint need not have: the pooler.
func (m *Model) MayLack(name string) bool { return strings.HasPrefix(name, "pooler.") }

// ModelConfig is what config.json says of the model.
func (m *Model) ModelConfig() any { return m.Config }

var (
	unused = regexp.MustCompile(`^(classifier|cls_classifier|distillation_classifier|decoder)\.|^embeddings\.mask_token$`)
	// Names inside a layer, as transformers 5 calls them in memory.
	newLayer = regexp.MustCompile(`^layers\.(\d+)\.(.*)$`)
	newNames = strings.NewReplacer(
		"attention.q_proj", "attention.attention.query", "attention.k_proj", "attention.attention.key",
		"attention.v_proj", "attention.attention.value", "attention.o_proj", "attention.output.dense",
		"mlp.fc1", "intermediate.dense", "mlp.fc2", "output.dense")
)

// CheckpointName maps a tensor of a checkpoint to the parameter that it is;
// false means that it is passed over.
func (m *Model) CheckpointName(tensor string) (string, bool) {
	name := strings.TrimPrefix(strings.TrimPrefix(tensor, "vit."), "deit.")
	if unused.MatchString(name) {
		return name, false
	}
	if p := newLayer.FindStringSubmatch(name); p != nil {
		name = fmt.Sprintf("encoder.layer.%s.%s", p[1], newNames.Replace(p[2]))
	}
	return name, true
}
