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
	pictures    = 32
)

// A shape is what makes a model large.
type shape struct {
	Quick         bool `json:"quick"`   // tiny widths and vocabulary
	Picture       int  `json:"picture"` // pixels a side
	EncoderLayers int  `json:"encoder_layers"`
	DecoderLayers int  `json:"decoder_layers"`
}

// modelShape is that of ViT-B/16 at 224 pixels and distilGPT2, or a tiny one.
func modelShape(quick bool) shape {
	if quick {
		return shape{Quick: true, Picture: 64, EncoderLayers: 2, DecoderLayers: 2}
	}
	return shape{Picture: 224, EncoderLayers: 12, DecoderLayers: 6}
}

func (s shape) encoder() vit.Config {
	c := vit.DefaultConfig()
	c.NumHiddenLayers, c.ImageSize = s.EncoderLayers, vit.Size{Height: s.Picture, Width: s.Picture}
	if s.Quick {
		c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads = 64, 128, 2
	}
	return c
}

// decoder has no dropout, so that both sides compute the same loss.
func (s shape) decoder() gpt2.Config {
	c := gpt2.DefaultConfig()
	c.NumLayers = s.DecoderLayers
	if s.Quick {
		c.Dim, c.NumHeads, c.VocabSize, c.NumPositions = 64, 2, 600, 64
	}
	end := c.VocabSize - 1
	c.BOSTokenID, c.EOSTokenID = &end, &end
	c.AddCrossAttention, c.IsDecoder = true, true
	c.ResidualDropout, c.EmbeddingDropout, c.AttentionDropout = 0, 0, 0
	return c
}

// writeModel draws a captioner and saves it as a Hugging Face folder, with
// inputs beside it. The weights are large enough for attention to look at
// several places and for captions to vary.
func writeModel(dir string, s shape) error {
	random := layers.NewRandom(1)
	encoder, err := vit.New[float32](s.encoder(), random)
	if err != nil {
		return err
	}
	decoder, err := gpt2.New[float32](s.decoder(), random)
	if err != nil {
		return err
	}
	tok, err := tokenizer.GPT2().Cut(s.decoder().VocabSize)
	if err != nil {
		return err
	}
	m, err := seq2seq.Join(encoder, decoder, vision.DefaultProcessor(s.Picture), tok, random)
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
	if err := writePixels(filepath.Join(dir, pixelsFile), s.Picture); err != nil {
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
