package main

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/mat"
)

// Files beside the model's own.
const (
	pixelsFile  = "pictures.f32" // [pictures, 3, size, size], little-endian
	pictureFile = "picture.png"
	pictures    = 16
)

type configs struct {
	encoder vit.Config
	decoder gpt2.Config
}

// sizes are ViT-B/16 at 224 pixels and distilGPT2, or tiny ones. There is no
// dropout, so that both sides compute the same loss.
func sizes(quick bool) configs {
	c := configs{vit.DefaultConfig(), gpt2.DefaultConfig()}
	c.decoder.NumLayers = 6
	if quick {
		e, d := &c.encoder, &c.decoder
		e.HiddenSize, e.IntermediateSize, e.NumHiddenLayers, e.NumAttentionHeads = 64, 128, 2, 2
		e.ImageSize = vit.Size{Height: 64, Width: 64}
		d.Dim, d.NumLayers, d.NumHeads, d.VocabSize, d.NumPositions = 64, 2, 2, 600, 64
	}
	end := c.decoder.VocabSize - 1
	c.decoder.BOSTokenID, c.decoder.EOSTokenID = &end, &end
	c.decoder.AddCrossAttention, c.decoder.IsDecoder = true, true
	c.decoder.ResidualDropout, c.decoder.EmbeddingDropout, c.decoder.AttentionDropout = 0, 0, 0
	return c
}

// writeModel draws a captioner and saves it as a Hugging Face folder, with
// inputs beside it. The weights are large enough for attention to look at
// several places and for captions to vary.
func writeModel(dir string, quick bool) error {
	c, random := sizes(quick), layers.NewRandom(1)
	encoder, err := vit.New[float32](c.encoder, random)
	if err != nil {
		return err
	}
	decoder, err := gpt2.New[float32](c.decoder, random)
	if err != nil {
		return err
	}
	tok, err := tokenizer.GPT2().Cut(c.decoder.VocabSize)
	if err != nil {
		return err
	}
	size := c.encoder.ImageSize.Height
	m, err := seq2seq.Join(encoder, decoder, vision.DefaultProcessor(size), tok, random)
	if err != nil {
		return err
	}
	drawn := reference.Weights{Seed: 1, Scale: 0.06, EmbeddingScale: 0.15}
	for _, p := range layers.Parameters(m) {
		copy(mat.Data[float32](p.Value), drawn.Tensor(p.Name, p.Shape...))
	}
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		return err
	}
	if err := writePixels(filepath.Join(dir, pixelsFile), size); err != nil {
		return err
	}
	return writePicture(filepath.Join(dir, pictureFile))
}

func writePixels(name string, size int) error {
	x := reference.Fill("pixels", pictures*3*size*size, 1.7, 1)
	data, err := binary.Append(nil, binary.LittleEndian, x)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o666)
}

func readPixels(name string, n, size int) ([]vision.Pixels, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := make([]vision.Pixels, n)
	for i := range out {
		out[i] = vision.Pixels{Height: size, Width: size, Data: make([]float32, 3*size*size)}
		if err := binary.Read(f, binary.LittleEndian, out[i].Data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writePicture draws something smooth, the size of a photograph on the web.
func writePicture(name string) error {
	const width, height = 640, 480
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x * 255 / width), uint8(y * 255 / height), uint8((x + y) / 8), 255})
		}
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		return err
	}
	return f.Close()
}
