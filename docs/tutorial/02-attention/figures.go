package main

import (
	"fmt"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/attention"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// drawForms shows the weights of the three forms, computed by hand.
func drawForms(self, causal, cross [][]float32) *figure.Figure {
	f := figure.New(640, 230, "Three small matrices of weights: self-attention is a full square, causal attention a triangle, cross-attention a rectangle.")
	const cell, top = 40.0, 66.0
	for i, form := range []struct {
		name, seen, column string
		weights            [][]float32
	}{{"self", "the text itself", "text", self}, {"causal", "the text so far", "text", causal}, {"cross", "the picture", "patch", cross}} {
		left := 90 + float64(i)*200
		f.Text("name", left, 28, form.name)
		f.Text("dim", left+8+7*float64(len(form.name)), 28, "sees "+form.seen)
		cols := len(form.weights[0])
		var values []float32
		for row, w := range form.weights {
			values = append(values, w...)
			f.Text("dim end", left-8, top+cell*(float64(row)+0.6), fmt.Sprintf("text %d", row+1))
		}
		for col := range cols {
			f.Text("dim middle", left+cell*(float64(col)+0.5), top-8, fmt.Sprintf("%s %d", form.column, col+1))
		}
		f.Heat(left, top, cell, len(form.weights), cols, values, 1)
		for j := range values {
			if values[j] == 0 {
				continue
			}
			class := "middle"
			if values[j] > 0.6 {
				class = "middle on"
			}
			f.Text(class, left+cell*(float64(j%cols)+0.5), top+cell*(float64(j/cols)+0.6), fmt.Sprintf("%.2f", values[j]))
		}
	}
	f.Text("dim", 90, 214, "A row for each who looks, a column for each who is looked at. Each row adds up to 1.")
	return f
}

// drawSelf shows where a patch looks, head by head.
func drawSelf(picture vision.Image, heads [][]float32, patch, rows, cols int) *figure.Figure {
	const pixel, across, top = 1.75, 122.0, 40.0
	f := figure.New(20+7*across, 172, "The juggler with a mark on the red ball, and six times what that patch looks at: the ball itself, the face, the clothes, everything, the other balls.")
	cell := pixel * float64(picture.Width/cols)
	for i := range len(heads) + 1 {
		left := 20 + float64(i)*across
		f.Picture(left, top, pixel, picture)
		if i == 0 {
			f.Text("name", left, 26, "this patch")
			f.Rect("line blue", left+cell*float64(patch%cols)-1, top+cell*float64(patch/cols)-1, cell+2, cell+2)
			continue
		}
		f.Text("", left, 26, fmt.Sprintf("head %d", i))
		f.Veil(left, top, cell, rows, cols, heads[i-1], 0)
		f.Rect("grid", left, top, cell*float64(cols), cell*float64(rows))
	}
	return f
}

// drawCausal shows how tokens look at each other in one head, with each token
// written beside its last cell.
func drawCausal(weights []float32, texts []string) *figure.Figure {
	const head, cell, left, top = 1, 22.0, 20.0, 40.0
	n := len(texts)
	f := figure.New(470, int(top+cell*float64(n))+16, "A triangle of squares: each token sees itself and those before it, and looks most at the one before.")
	f.Text("dim", left, 24, "A row for each token that looks. The stronger the colour, the more it looks there.")
	f.Heat(left, top, cell, n, n, weights[head*n*n:][:n*n], 1)
	for i, text := range texts {
		f.Text("code", left+cell*float64(i+1)+6, top+cell*(float64(i)+0.65), strings.ReplaceAll(text, " ", "␣"))
	}
	return f
}

// drawCross shows where the model looks for each word.
func drawCross(picture vision.Image, words []attention.Word, rows, cols int) *figure.Figure {
	const pixel, across, top = 2.0, 144.0, 40.0
	f := figure.New(20+int(across)*len(words), 188, "The juggler once for each word of the caption; what is seen is where the model looked: clothes and hat, balls, the face for the skin tone.")
	for i, word := range words {
		left := 20 + float64(i)*across
		f.Text("name", left, 26, word.Text)
		f.Picture(left, top, pixel, picture)
		f.Veil(left, top, pixel*float64(picture.Width/cols), rows, cols, word.Heat, 0)
		f.Rect("grid", left, top, pixel*float64(picture.Width), pixel*float64(picture.Height))
	}
	return f
}
