package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// shown is a token with dots for its spaces.
func shown(tok *tokenizer.Tokenizer, id int) string {
	return strings.ReplaceAll(text(tok, id), " ", "·")
}

// drawGreedy shows each step as a bar of all probability, with the likeliest
// tokens as its parts.
func drawGreedy(tok *tokenizer.Tokenizer, picture vision.Image, steps []step) *figure.Figure {
	const left, top, row, width = 270, 64, 19, 480
	f := figure.New(770, top+row*len(steps)+16, "The picture, and a bar for each token that greedy search wrote. The first choice was close, 0.34 to 0.32; most others were certain.")
	f.Text("title", 20, 30, "Greedy: always the likeliest token")
	f.Text("dim", left, top-10, "probability of the next token: the likeliest, the second, the third, all others")
	f.Picture(30, top+10, 2, picture)
	for i, s := range steps {
		y := float64(top + row*i)
		f.Text("code end", left-10, y+12, shown(tok, s.chosen))
		x, rest := float64(left), 1.0
		for rank, id := range s.likeliest(3) {
			p := s.probabilities[id]
			f.Rect([]string{"blue", "orange", "green"}[rank], x, y, p*width, row-4)
			if p > 0.1 {
				f.Text("code on", x+4, y+11, fmt.Sprintf("%s %.2f", shown(tok, id), p))
			}
			x, rest = x+p*width, rest-p
		}
		f.Rect("shade", x, y, max(rest, 0)*width, row-4)
	}
	return f
}

// drawBeams shows the beginnings that were followed, a column for each length,
// and how probable they are.
func drawBeams(tok *tokenizer.Tokenizer, tree [][]node) *figure.Figure {
	const left, top, across, down, width, height = 24, 84, 68, 62, 54, 38
	levels := slices.Clone(tree[1:])
	for !slices.ContainsFunc(levels[len(levels)-1], func(n node) bool { return n.best }) {
		levels = levels[:len(levels)-1] // the best has ended
	}
	f := figure.New(left+across*len(levels)+60, top+down*3+10, "Three beginnings are followed at a time. That with w leads at first, but has no likely way on; that with p becomes pregnant woman: dark skin tone.")
	f.Text("title", left, 30, "Beam search: the best three beginnings go on")
	f.Text("dim", left, 52, "each box: its last token, and the probability of all tokens up to it; green: the caption that was chosen")
	place := func(level, rank int) (x, y float64) { return float64(left + across*level), float64(top + down*rank) }
	for l, level := range levels {
		for r, n := range level {
			x, y := place(l, r)
			if l > 0 {
				for pr, parent := range levels[l-1] {
					if slices.Equal(parent.tokens, n.tokens[:len(n.tokens)-1]) {
						px, py := place(l-1, pr)
						f.Line(lineClass(n.best), px+width, py+height/2, x, y+height/2)
					}
				}
			}
			f.Rect("box", x, y, width, height)
			if n.best {
				f.Rect("line green", x, y, width, height)
			}
			f.Text("code middle", x+width/2, y+16, shown(tok, n.tokens[len(n.tokens)-1]))
			f.Text("dim middle", x+width/2, y+31, fmt.Sprintf("%.3f", math.Exp(n.logProb)))
		}
	}
	last := len(levels) - 1
	for r, n := range levels[last] {
		if x, y := place(last, r); n.best {
			f.Line(lineClass(true), x+width, y+height/2, x+width+14, y+height/2)
			f.Text("green", x+width+18, y+height/2+4, "end")
		}
	}
	return f
}

func lineClass(best bool) string {
	if best {
		return "line green"
	}
	return "axis"
}

// drawNucleus shows how many tokens have how much of the probability.
func drawNucleus(tok *tokenizer.Tokenizer, steps []step) *figure.Figure {
	f := figure.New(780, 330, "Left, the ten likeliest first tokens; two of them have more than half of the probability. Right, how much the likeliest tokens have together: of the first token 34 are needed for nine tenths, of a certain token one.")
	f.Text("title", 20, 30, "The nucleus: the fewest tokens that have the probability top_p together")
	const left, top, row, width = 70, 84, 20, 520
	f.Text("name", left, top-14, "First token")
	for i, id := range steps[0].likeliest(10) {
		y, p := float64(top+row*i), steps[0].probabilities[id]
		f.Text("code end", left-8, y+12, shown(tok, id))
		f.Rect("blue", left, y, p*width, row-5)
		f.Text("dim", left+p*width+6, y+12, fmt.Sprintf("%.3f", p))
	}
	var lines []figure.Series
	for _, topP := range []float64{0.5, 0.9} {
		lines = append(lines, figure.Series{Name: fmt.Sprintf("top_p %.1f", topP), Class: "grey dashed", X: []float64{1, 1000}, Y: []float64{topP, topP}})
	}
	for i, class := range []string{"blue", "orange", "green"} {
		s := steps[[]int{0, 3, 13}[i]]
		series := figure.Series{Class: class}
		together := 0.0
		for rank, id := range s.likeliest(1000) {
			together += s.probabilities[id]
			if n := rank + 1; n < 30 || n%10 == 0 {
				series.X, series.Y = append(series.X, float64(n)), append(series.Y, together)
			}
		}
		lines = append(lines, series)
	}
	f.Chart(figure.Chart{X: 390, Y: top, Width: 300, Height: 185, Title: "Probability of the likeliest tokens together",
		Horizontal: figure.Axis{Label: "tokens", From: 1, To: 1000, Log: true}, Vertical: figure.Axis{From: 0, To: 1}}, lines...)
	for i, class := range []string{"blue", "orange", "green"} {
		f.Text(class, 590, top+118+18*float64(i), []string{"first token", "after “woman”", "after “dark”"}[i])
	}
	return f
}
