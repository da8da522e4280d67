package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

var pretrain tiny.Command

func TestMain(m *testing.M) { pretrain.Main(m) }

func TestTheModelsAreWrittenAsFoldersThatLoad(t *testing.T) {
	out := filepath.Join(t.TempDir(), "base")
	pretrain.Run(t, "", "--out", out, "--max-steps", "2", "--batch-size", "4").Want(t, 0, "vit epoch 1", "gpt2 epoch 1", "crossattention epoch 1", "validation loss")
	encoder, decoder := os.DirFS(filepath.Join(out, "vit")), os.DirFS(filepath.Join(out, "gpt2"))
	e, err := vit.Load(encoder)
	if err != nil {
		t.Fatal(err)
	}
	if c := e.Config; c.HiddenSize != 192 || c.HiddenDropout != 0 || c.AttentionDropout != 0 {
		t.Errorf("configuration of the ViT: %+v", c)
	}
	if _, err := vision.LoadProcessor(encoder); err != nil {
		t.Error(err)
	}
	d, err := gpt2.Load(decoder)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(decoder)
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != d.VocabSize() || d.VocabSize() != vocabularySize {
		t.Errorf("%d tokens, the model has %d, want %d", tok.VocabSize(), d.VocabSize(), vocabularySize)
	}
	if _, err := seq2seq.LoadJoined(context.Background(), filepath.Join(out, "vit"), filepath.Join(out, "gpt2"), layers.NewRandom(1), nil); err != nil {
		t.Error(err)
	}
}

func TestWrongUsageExitsWith2AndNamesTheFlag(t *testing.T) {
	for _, c := range [][]string{
		{"--only", "bert"}, {"--frobnicate"}, {"--batch-size", "0"}, {"--learning-rate", "-1"}, {"--vit-epochs", "0"},
		{"--gpt2-epochs", "0"}, {"--crossattention-epochs", "0"}, {"--dropout", "1"}, {"--dropout", "NaN"}, {"--weight-decay", "-1"}, {"--max-steps", "-1"}, {"--threads", "-1"},
	} {
		t.Run(c[0], func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			pretrain.Run(t, "", append(c, "--out", out)...).Want(t, 2, c[0])
			if _, err := os.Stat(out); err == nil {
				t.Error("the folder was made")
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	pretrain.Run(t, "", "--out", filepath.Join(file, "out"), "--max-steps", "1").Want(t, 1, file)
}
