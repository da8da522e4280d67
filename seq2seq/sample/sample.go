// Package sample holds the small models that need no download: a ViT for 64
// pixels and a GPT-2 with 4,096 tokens, both pretrained on the training part of
// datasets/emoji by the command pretrain, and the cross-attention that
// fine-tuning put between them.
//
// [Base] is where the main job of the command finetune begins, [Captioner]
// where it ends.
package sample

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
)

//go:embed vit gpt2 crossattention
var files embed.FS

// Names of the folders of the models.
const (
	Encoder        = "vit"
	Decoder        = "gpt2"
	CrossAttention = "crossattention"
)

// FS returns the Hugging Face folder of the ViT ([Encoder]) or the GPT-2
// ([Decoder]).
func FS(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err)
	}
	return sub
}

// Base joins the two pretrained models; the cross-attention between them, of
// the given variants (none: Hugging Face's), is drawn from random.
func Base(random *layers.Random, cross ...gpt2.Variant) (*seq2seq.VisionEncoderDecoder, error) {
	m, err := seq2seq.JoinFS(FS(Encoder), FS(Decoder), random, cross...)
	if err != nil {
		return nil, err
	}
	m.Generation.MaxNewTokens = m.Decoder.MaxLength() - 1 // some names are long
	return m, nil
}

// Captioner is the two models with the trained cross-attention: it names
// emoji.
func Captioner() (*seq2seq.VisionEncoderDecoder, error) {
	m, err := Base(layers.NewRandom(0))
	if err != nil {
		return nil, err
	}
	ck, err := checkpoint.Open(FS(CrossAttention))
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	var trained []layers.Parameter
	params := layers.Parameters(m)
	matched, err := layers.Match(params, "crossattention")
	if err != nil {
		return nil, err
	}
	for i, p := range params {
		if matched[i] {
			trained = append(trained, p)
		}
	}
	if _, err := checkpoint.Load(ck, weights.Params(trained), checkpoint.Options{}); err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	return m, nil
}
