package seq2seq_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
)

func TestASavedModelCarriesItsCrossAttentionOrFoldsIt(t *testing.T) {
	for _, c := range []struct {
		variants      gpt2.Variants
		folded, whole any // cross_attention_type in config.json
	}{
		{gpt2.Variants{gpt2.Plain}, nil, nil},
		{gpt2.Variants{gpt2.Gated}, nil, "gated"},
		{gpt2.Variants{gpt2.LayerScale}, nil, "layer_scale"},
		{gpt2.Variants{gpt2.QKNorm}, "qk_norm", "qk_norm"},
		{gpt2.Variants{gpt2.QKNorm, gpt2.Gated}, "qk_norm", "qk_norm+gated"},
	} {
		t.Run(c.variants.String(), func(t *testing.T) {
			encoder, decoder := tiny.Parts(t, tiny.Width)
			m, err := seq2seq.LoadJoined(context.Background(), encoder, decoder, layers.NewRandom(1), nil, c.variants...)
			if err != nil {
				t.Fatal(err)
			}
			draw := layers.NewRandom(2)
			for _, p := range layers.Parameters(m) { // so that gates are open
				if strings.Contains(p.Name, "crossattention") {
					layers.InitNormal(p.Value, 0.3, draw)
				}
			}
			// Kept first: what its config.json says must not stay when it is saved again.
			kept := saveAs(t, m, seq2seq.SaveOptions{KeepExtras: true}, c.whole)
			if d := farthest(logits(t, kept), logits(t, m)); d >= 0 {
				t.Errorf("kept as it is, the logits differ by %g", d)
			}
			folded := saveAs(t, kept, seq2seq.SaveOptions{}, c.folded)
			if d := farthest(logits(t, folded), logits(t, m)); d > 2e-6 {
				t.Errorf("folded, the logits differ by %g", d)
			}
			if left := m.Extras() != ""; left != (c.folded != nil) {
				t.Errorf("what cannot be folded is %q", m.Extras())
			}
		})
	}
}

// saveAs saves a model and loads it again; its configuration, and the warning, must tell of its cross-attention.
func saveAs(t *testing.T, m *seq2seq.VisionEncoderDecoder, o seq2seq.SaveOptions, kind any) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	var warnings []string
	o.Warn = func(message string) { warnings = append(warnings, message) }
	dir := filepath.Join(t.TempDir(), "model")
	if err := m.Save(dir, o); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "config.json", func(c map[string]any) {
		if got := c["decoder"].(map[string]any)["cross_attention_type"]; got != kind {
			t.Errorf("cross_attention_type is %v, want %v", got, kind)
		}
		switch said, ok := c["not_in_transformers"]; {
		case ok != (kind != nil):
			t.Errorf("not_in_transformers is %v", said)
		case !ok && len(warnings) > 0:
			t.Errorf("warned of %q", warnings)
		case ok && (len(warnings) != 1 || warnings[0] != said || !strings.Contains(warnings[0], kind.(string))):
			t.Errorf("warned of %q, and the file says %v", warnings, said)
		}
	})
	return reload(t, dir)
}
