package seq2seq

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/hub"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

// Progress is told how many bytes of a file have been downloaded, out of
// total (-1: unknown).
type Progress func(file string, done, total int64)

// Load reads a captioner: name is a folder, or the name of a model on the
// Hugging Face hub such as "nlpconnect/vit-gpt2-image-captioning", which is
// looked for in the cache that Hugging Face's tools use and downloaded if it
// is not there. progress may be nil. See [LoadFS] for what is in the folder.
func Load(ctx context.Context, name string, progress Progress) (*VisionEncoderDecoder, error) {
	fsys, err := resolve(ctx, name, progress)
	if err != nil {
		return nil, err
	}
	m, err := LoadFS(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// LoadJoined reads a ViT and a GPT-2, each a folder or the name of a model on
// the Hugging Face hub, and joins them; see [JoinFS].
func LoadJoined(ctx context.Context, encoder, decoder string, random *layers.Random, progress Progress, cross ...gpt2.Variant) (*VisionEncoderDecoder, error) {
	e, err := resolve(ctx, encoder, progress)
	if err != nil {
		return nil, err
	}
	d, err := resolve(ctx, decoder, progress)
	if err != nil {
		return nil, err
	}
	m, err := JoinFS(e, d, random, cross...)
	if err != nil {
		return nil, fmt.Errorf("joining %s and %s: %w", encoder, decoder, err)
	}
	return m, nil
}

// JoinFS joins the ViT in one Hugging Face folder (config.json, weights,
// preprocessor_config.json) and the GPT-2 in another (config.json, weights,
// tokenizer files). The decoder's cross-attention, where it has none, and the
// projection between different widths are drawn from random, as Hugging Face
// draws them; cross are the cross-attention's variants, see
// [gpt2.WithCrossAttention]. All parameters come frozen: see [layers.Trainable].
func JoinFS(encoder, decoder fs.FS, random *layers.Random, cross ...gpt2.Variant) (*VisionEncoderDecoder, error) {
	e, err := vit.Load(encoder)
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	processor, err := vision.LoadProcessor(encoder)
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	d, err := gpt2.Load(decoder, gpt2.WithCrossAttention(random, cross...))
	if err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	tok, err := tokenizer.Load(decoder)
	if err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	m, err := Join(e, d, processor, tok, random)
	if err != nil {
		return nil, err
	}
	layers.Freeze(m)
	return m, nil
}

func resolve(ctx context.Context, name string, progress Progress) (fs.FS, error) {
	client, err := hub.FromEnvironment()
	if err != nil {
		return nil, err
	}
	client.Progress = progress
	dir, err := client.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := hfconfig.FS(dir); err != nil {
		return nil, err
	}
	return os.DirFS(dir), nil
}
