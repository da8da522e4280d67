package main

import (
	"fmt"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
)

// part is a piece of the model as the figure shows it.
type part struct {
	prefix, name   string
	total, trained int
}

// parts counts the numbers of each block, from the picture to the words.
func parts(model *seq2seq.VisionEncoderDecoder) (encoder, decoder []part) {
	encoder = append(encoder, part{prefix: "encoder.embeddings.", name: "patches"})
	for i := range 6 {
		encoder = append(encoder, part{prefix: fmt.Sprintf("encoder.encoder.layer.%d.", i), name: fmt.Sprintf("block %d", i)})
	}
	decoder = append(decoder, part{prefix: "decoder.transformer.w", name: "embeddings"})
	for i := range 4 {
		decoder = append(decoder, part{prefix: fmt.Sprintf("decoder.transformer.h.%d.", i), name: fmt.Sprintf("block %d", i)})
	}
	for _, row := range [][]part{encoder, decoder} {
		for i := range row {
			for _, p := range layers.Parameters(model) {
				if !strings.HasPrefix(p.Name, row[i].prefix) {
					continue
				}
				n := p.Value.Value().Size()
				row[i].total += n
				if p.Value.RequiresGrad() {
					row[i].trained += n
				}
			}
		}
	}
	return encoder, decoder
}

// draw shows each block as a bar as long as it has numbers, the trained ones
// in blue.
func draw(model *seq2seq.VisionEncoderDecoder) *figure.Figure {
	encoder, decoder := parts(model)
	total, trained := layers.Count(model)
	f := figure.New(770, 200, fmt.Sprintf("The blocks of encoder and decoder as bars; of %d numbers, %d in the cross-attentions are trained.", total, trained))
	f.Text("title", 20, 30, "Trained and frozen numbers of the captioner")
	f.Rect("blue", 20, 45, 12, 12)
	f.Text("dim", 38, 55, fmt.Sprintf("trained: %d, the cross-attentions", trained))
	f.Rect("grey", 260, 45, 12, 12)
	f.Text("dim", 278, 55, fmt.Sprintf("frozen: %d", total-trained))
	row(f, 78, "ViT", encoder)
	row(f, 138, "GPT-2", decoder)
	return f
}

func row(f *figure.Figure, y float64, name string, parts []part) {
	const left, height, gap, each = 80, 30, 3, 4800 // numbers in a pixel
	f.Text("name", 20, y+height/2+4, name)
	x := float64(left)
	for _, p := range parts {
		width := float64(p.total) / each
		f.Rect("grey", x, y, width, height)
		f.Rect("blue", x, y, float64(p.trained)/each, height)
		f.Text("dim middle", x+width/2, y+height+14, p.name)
		x += width + gap
	}
}
