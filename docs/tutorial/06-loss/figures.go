package main

import (
	"fmt"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// drawLosses shows the loss of each token, with the picture and without.
func drawLosses(names []string, seeing, blind []float64) *figure.Figure {
	const left, bottom, width, most, height = 50.0, 220.0, 46.0, 5.0, 160.0
	f := figure.New(int(left+width*float64(len(names)))+20, 262, "Pairs of bars for each token of a caption. With the picture all are low; with a white picture the first tokens of woman and of juggling are high.")
	f.Text("name", 20, 26, "The loss of each token")
	f.Rect("blue", 180, 16, 12, 12)
	f.Text("", 198, 26, "with the picture")
	f.Rect("grey", 310, 16, 12, 12)
	f.Text("", 328, 26, "with a white picture")
	for tick := 0.0; tick <= most; tick++ {
		y := bottom - height*tick/most
		f.Line("grid", left, y, left+width*float64(len(names)), y)
		f.Text("dim end", left-8, y+4, fmt.Sprintf("%.0f", tick))
	}
	for i, name := range names {
		x := left + width*float64(i)
		bar := func(class string, x, loss float64) {
			h := height * min(loss, most) / most
			f.Rect(class, x, bottom-h, 16, h)
		}
		bar("blue", x+6, seeing[i])
		bar("grey", x+24, blind[i])
		f.Text("code middle", x+width/2, bottom+18, strings.ReplaceAll(name, " ", "␣"))
	}
	f.Line("axis", left, bottom, left+width*float64(len(names)), bottom)
	return f
}
