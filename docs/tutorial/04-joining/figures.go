package main

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// drawModel shows where the cross-attention stands.
func drawModel() *figure.Figure {
	f := figure.New(680, 400, "On the left the ViT: patches go through six layers and become 65 states. On the right the GPT-2: tokens go through four blocks of self-attention, cross-attention and feed-forward, each added to what came in, and become scores. The states lead into the cross-attention, which is new.")
	box := func(class string, x, y, w, h float64, text string) {
		f.Rect(class, x, y, w, h)
		style := "middle"
		if class == "blue" {
			style = "middle on"
		}
		f.Text(style, x+w/2, y+h/2+4, text)
	}
	f.Text("title", 40, 34, "ViT")
	f.Text("dim", 76, 34, "pretrained, frozen")
	box("box", 40, 344, 180, 34, "65 rows: class token, patches")
	f.Arrow(130, 344, 130, 316)
	f.Rect("box", 40, 180, 180, 136)
	f.Text("dim", 226, 302, "× 6")
	box("page", 56, 254, 148, 34, "self-attention")
	box("page", 56, 206, 148, 34, "feed-forward")
	f.Arrow(130, 254, 130, 240)
	f.Arrow(130, 180, 130, 152)
	box("box", 40, 118, 180, 34, "65 states of 192 numbers")

	f.Text("title", 366, 34, "GPT-2")
	f.Text("dim", 420, 34, "pretrained, frozen")
	box("box", 366, 344, 200, 34, "tokens so far")
	f.Arrow(466, 344, 466, 316)
	f.Rect("box", 366, 126, 200, 190)
	f.Text("dim", 572, 302, "× 4")
	box("page", 382, 264, 168, 34, "causal self-attention")
	box("blue", 382, 198, 168, 34, "cross-attention: new")
	box("page", 382, 142, 168, 34, "feed-forward")
	f.Line("axis", 220, 135, 290, 135)
	f.Line("axis", 290, 135, 290, 215)
	f.Arrow(290, 215, 382, 215)
	f.Text("dim", 297, 208, "keys, values")
	f.Arrow(466, 264, 466, 232)
	f.Text("dim", 474, 252, "queries")
	f.Arrow(466, 198, 466, 176)
	f.Arrow(466, 126, 466, 98)
	box("box", 366, 64, 200, 34, "scores of the next token")
	return f
}

// bar is the loss of a model.
type bar struct {
	name string
	loss float64
}

// drawLosses shows losses as bars.
func drawLosses(bars []bar) *figure.Figure {
	f := figure.New(560, 40+30*len(bars)+10, "Four bars: the loss of the GPT-2 alone, of the joined model, of one with gates, which is the same as alone, and of the trained one, which is far less.")
	f.Text("name", 20, 26, "Loss on pictures that no model has seen: less is better")
	most := 0.0
	for _, b := range bars {
		most = max(most, b.loss)
	}
	for i, b := range bars {
		y := 40 + 30*float64(i)
		f.Text("end", 210, y+17, b.name)
		class := "grey"
		if i == len(bars)-1 {
			class = "blue"
		}
		f.Rect(class, 220, y+4, 270*b.loss/most, 18)
		f.Text("name", 228+270*b.loss/most, y+17, fmt.Sprintf("%.2f", b.loss))
	}
	return f
}
