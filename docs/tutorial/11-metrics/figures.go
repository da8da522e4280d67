package main

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
)

// draw shows the scores of each caption as bars.
func draw(pictures []metrics.Picture, scores []metrics.Scores) *figure.Figure {
	const top, row, left, width = 78, 62, 320, 100
	f := figure.New(800, top+row*len(pictures), "The scores of five captions as bars. A wrong skin tone keeps most of them, a synonym has none.")
	f.Text("title", 20, 30, "Five captions and their scores")
	names := []string{"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"}
	classes := []string{"blue", "green", "orange", "purple"}
	for i, name := range names {
		f.Text("name", left+float64(i)*(width+16), top-14, name)
	}
	for i, p := range pictures {
		y := float64(top + row*i)
		f.Text("", 20, y+14, "said: "+p.Candidate)
		f.Text("dim", 20, y+31, "actual: "+p.References[0])
		s := scores[i]
		for m, v := range []float64{s.BLEU[0], s.BLEU[3], s.ROUGEL, s.CIDEr / 10} {
			x := left + float64(m)*(width+16)
			f.Rect("shade", x, y+4, width, 14)
			f.Rect(classes[m], x, y+4, v*width, 14)
			text := fmt.Sprintf("%.2f", v)
			if m == 3 {
				text = fmt.Sprintf("%.2f of 10", s.CIDEr)
			}
			f.Text("dim", x, y+33, text)
		}
	}
	return f
}
