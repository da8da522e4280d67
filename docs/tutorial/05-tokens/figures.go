package main

import (
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
)

// drawBatch shows a batch of labels with padding, masked in the right and in
// a wrong way, and the same batch packed.
func drawBatch(tok *tokenizer.Tokenizer, sequences [][]int) *figure.Figure {
	const cell, height = 62.0, 26.0
	longest := 0
	for _, s := range sequences {
		longest = max(longest, len(s)-1)
	}
	f := figure.New(20+int(cell)*longest+20, 424, "A batch of three captions as labels: with padding, masked where the attention mask is 0, which is right; masked where the label is the token of padding, which hides the ends, too; and packed, without padding.")
	draw := func(x, y float64, id int, end, masked bool) {
		class, style, text := "box", "code middle", strings.ReplaceAll(tok.Decode([]int{id}, false), " ", "␣")
		if id == tok.Pad() {
			text = "end"
		}
		switch {
		case masked:
			class, style, text = "shade", "dim middle", "−100"
		case end:
			class, style = "green", "code middle on"
		}
		f.Rect(class, x+1, y+1, cell-2, height-2)
		f.Text(style, x+cell/2, y+height/2+4, text)
	}
	block := func(top float64, title, text string, masked func(real, pad bool) bool) {
		f.Text("name", 20, top, title)
		f.Text("dim", 20, top+16, text)
		for i, s := range sequences {
			for j := range longest {
				id := tok.Pad()
				if j < len(s)-1 {
					id = s[j+1]
				}
				real := j < len(s)-1
				draw(20+cell*float64(j), top+26+height*float64(i), id, real && j == len(s)-2, masked(real, id == tok.Pad()))
			}
		}
	}
	block(30, "Right: masked where nothing is", "the attention mask is 0 behind the end of each caption", func(real, pad bool) bool { return !real })
	block(180, "Wrong: masked where the label is the token of padding", "that is the token of the end, too: no caption has one any more", func(real, pad bool) bool { return pad })
	f.Text("name", 20, 330, "Packed: nothing is filled up, nothing is masked")
	f.Text("dim", 20, 346, "one caption after the other in one row of numbers, here broken into lines")
	at := 0
	for _, s := range sequences {
		for j, id := range s[1:] {
			draw(20+cell*float64(at%longest), 356+height*float64(at/longest), id, j == len(s)-2, false)
			at++
		}
	}
	return f
}
