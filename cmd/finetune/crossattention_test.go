package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

func TestTheKindOfCrossAttentionIsTrainedAndSavedOrFolded(t *testing.T) {
	encoder, decoder := tiny.Parts(t, tiny.Width)
	data := tiny.Data(t, 16)
	for _, c := range []struct{ kind, trained, left string }{
		{"qk_norm", "crossattention.qk_gain", "qk_gain"},
		{"layer_scale", "crossattention.layer_scale", ""},
		{"qk_norm+gated", "crossattention.gate", "qk_gain"},
	} {
		out := filepath.Join(t.TempDir(), "run")
		flags := quick("", data, out, "--encoder", encoder, "--decoder", decoder, "--cross-attention", c.kind)[2:]
		r := finetune.Run(t, "", flags...)
		r.Want(t, 0)
		if got := strings.Count(r.Stderr, "warning: the decoder has a cross-attention that is qk_norm:"); (got == 1) != (c.left != "") || got > 1 {
			t.Errorf("%s: %d warnings in\n%s", c.kind, got, r.Stderr)
		}
		if said := read(t, filepath.Join(out, train.MetricsFile)); said == "" {
			t.Errorf("%s: no metrics", c.kind)
		}
		if !strings.Contains(read(t, filepath.Join(out, "histograms.jsonl")), c.trained) {
			t.Errorf("%s: %s was not trained", c.kind, c.trained)
		}
		m, err := seq2seq.Load(context.Background(), filepath.Join(out, train.ModelDir), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range layers.Parameters(m) {
			last := p.Name[strings.LastIndex(p.Name, ".")+1:]
			if strings.Contains(p.Name, ".crossattention.") && last != "weight" && last != "bias" && last != c.left {
				t.Errorf("%s: the saved model has %s", c.kind, p.Name)
			}
		}
	}
}

func TestAKindOfCrossAttentionThatCannotBeIsWrongUsage(t *testing.T) {
	finetune.Run(t, "", "--cross-attention", "gatde").Want(t, 2, "gatde", "qk_norm")
	finetune.Run(t, "", "--cross-attention", "gated+layer_scale").Want(t, 2, "both")
	finetune.Run(t, "", "--cross-attention", "gated", "--model", tiny.Folder(t, tiny.Options{})).Want(t, 2, "--cross-attention", "--model")
}
