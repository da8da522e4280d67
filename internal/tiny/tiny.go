// Package tiny makes models and pictures that are small enough for tests to
// train.
package tiny

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

// Sizes of the models: pictures of 16 pixels in patches of 4.
const (
	PictureSize = 16
	Width       = 32
	NumLayers   = 2
	VocabSize   = 600
	MaxLength   = 24
)

// Options vary a model.
type Options struct {
	EncoderWidth int     // 0: Width, that of the decoder
	Dropout      float64 // of the decoder
}

// Encoder draws a ViT of a width.
func Encoder(t testing.TB, width int) *vit.Model {
	t.Helper()
	c := vit.DefaultConfig()
	c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads = width, 2*width, NumLayers, 2
	c.ImageSize, c.PatchSize = vit.Size{Height: PictureSize, Width: PictureSize}, vit.Size{Height: 4, Width: 4}
	c.HiddenDropout, c.AttentionDropout = 0, 0
	m, err := vit.New[float32](c, layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Decoder draws a GPT-2 without or with cross-attention.
func Decoder(t testing.TB, dropout float64, crossAttention bool) *gpt2.Model {
	t.Helper()
	c, end := gpt2.DefaultConfig(), Tokenizer(t).EOS()
	c.VocabSize, c.NumPositions, c.Dim, c.NumLayers, c.NumHeads = VocabSize, MaxLength, Width, NumLayers, 2
	c.ResidualDropout, c.EmbeddingDropout, c.AttentionDropout = dropout, dropout, dropout
	c.BOSTokenID, c.EOSTokenID, c.PadTokenID = &end, &end, &end
	c.AddCrossAttention, c.IsDecoder = crossAttention, crossAttention
	m, err := gpt2.New[float32](c, layers.NewRandom(2))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Tokenizer cuts GPT-2's to [VocabSize] tokens.
func Tokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.GPT2().Cut(VocabSize)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// Captioner joins a ViT and a GPT-2, all of whose parameters are trained.
func Captioner(t testing.TB, o Options) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	if o.EncoderWidth == 0 {
		o.EncoderWidth = Width
	}
	m, err := seq2seq.Join(Encoder(t, o.EncoderWidth), Decoder(t, o.Dropout, true), vision.DefaultProcessor(PictureSize), Tokenizer(t), layers.NewRandom(3))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Folder saves a captioner to a new folder.
func Folder(t testing.TB, o Options) string {
	t.Helper()
	dir := t.TempDir()
	if err := Captioner(t, o).Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Parts saves a ViT of a width and a GPT-2 that has no cross-attention yet,
// each to a folder of its own.
func Parts(t testing.TB, encoderWidth int) (encoder, decoder string) {
	t.Helper()
	encoder, decoder = t.TempDir(), t.TempDir()
	e, d := Encoder(t, encoderWidth), Decoder(t, 0, false)
	for _, err := range []error{
		weights.Save(encoder, e, ""), hfconfig.Write(encoder, "config.json", e.Config), vision.DefaultProcessor(PictureSize).Save(encoder),
		weights.Save(decoder, d, ""), hfconfig.Write(decoder, "config.json", d.Config), Tokenizer(t).Save(decoder),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return encoder, decoder
}

var colours = []struct {
	name string
	is   color.RGBA
}{
	{"red", color.RGBA{220, 20, 20, 255}}, {"green", color.RGBA{20, 170, 20, 255}}, {"blue", color.RGBA{20, 20, 220, 255}},
	{"yellow", color.RGBA{230, 220, 20, 255}}, {"black", color.RGBA{0, 0, 0, 255}}, {"white", color.RGBA{255, 255, 255, 255}},
	{"pink", color.RGBA{250, 150, 190, 255}}, {"brown", color.RGBA{120, 60, 20, 255}},
}

var shapes = []struct {
	name string
	has  func(x, y int) bool // relative to the centre
}{
	{"square", func(x, y int) bool { return max(x, -x) < 6 && max(y, -y) < 6 }},
	{"bar", func(x, y int) bool { return max(y, -y) < 3 }},
	{"post", func(x, y int) bool { return max(x, -x) < 3 }},
	{"half", func(x, y int) bool { return x < y }},
}

// NumPictures is the number of pictures that differ.
func NumPictures() int { return len(colours) * len(shapes) }

// Picture draws picture i, 0 ≤ i < [NumPictures], and says what it shows.
func Picture(i int) (image.Image, string) {
	shape, colour := shapes[i%len(shapes)], colours[i/len(shapes)]
	img := image.NewRGBA(image.Rect(0, 0, PictureSize, PictureSize))
	for y := range PictureSize {
		for x := range PictureSize {
			img.Set(x, y, color.RGBA{128, 180, 160, 255})
			if shape.has(x-PictureSize/2, y-PictureSize/2) {
				img.Set(x, y, colour.is)
			}
		}
	}
	return img, "a " + colour.name + " " + shape.name
}

// Data writes the first n pictures and data.jsonl, which gives each one or two
// captions, to a new folder, and returns the path of data.jsonl.
func Data(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	var lines strings.Builder
	for i := range n {
		img, caption := Picture(i)
		name := fmt.Sprintf("%02d.png", i)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "{\"image\": %q, \"caption\": %q}\n", name, caption)
		if i%2 == 1 {
			fmt.Fprintf(&lines, "{\"image\": %q, \"caption\": %q}\n", name, "this is "+caption)
		}
	}
	path := filepath.Join(dir, "data.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
