package main

import (
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// drawGraph shows how the loss is made, and how the gradients go back.
func drawGraph() *figure.Figure {
	f := figure.New(660, 210, "Boxes for w and x lead to their product, this and t to a difference, and this to its square, the loss; below each arrow a gradient goes back.")
	const width, height = 86.0, 44.0
	box := func(x, y float64, name, value string) {
		f.Rect("box", x, y, width, height)
		f.Text("name middle", x+width/2, y+18, name)
		f.Text("middle", x+width/2, y+36, value)
	}
	box(20, 50, "w", "2")
	box(20, 130, "x", "3")
	box(200, 50, "w·x", "6")
	box(200, 130, "t", "5")
	box(380, 50, "w·x − t", "1")
	box(550, 50, "(w·x − t)²", "1")
	f.Arrow(106, 72, 200, 72)
	f.Arrow(106, 148, 200, 80)
	f.Arrow(286, 72, 380, 72)
	f.Arrow(286, 148, 380, 80)
	f.Arrow(466, 72, 550, 72)
	f.Text("orange middle", 153, 62, "6 = 2·3")
	f.Text("orange middle", 333, 62, "2 = 2·1")
	f.Text("orange middle", 508, 62, "2 = 1·2·1")
	f.Text("orange end", 636, 112, "starts with 1")
	f.Text("name", 20, 26, "values go to the right;")
	f.Text("orange", 160, 26, "gradients go back to the left, and only to what requires one")
	f.Text("dim", 20, 194, "x and t are given: nothing is computed for them")
	return f
}

// drawErrors shows how good finite differences are by their step.
func drawErrors(float64s, float32s []float64) *figure.Figure {
	f := figure.New(520, 290, "Two curves in the form of a V: with float64 the error is least, 1e-11, at a step of 1e-5; with float32 it is 1e-6 at best, at 1e-2.")
	var h, errors64, errors32 []float64
	for i := range float64s {
		h = append(h, math.Pow(10, -float64(i+1)))
		errors64, errors32 = append(errors64, math.Pow(10, float64s[i])), append(errors32, math.Pow(10, float32s[i]))
	}
	f.Chart(figure.Chart{
		X: 70, Y: 60, Width: 360, Height: 180, Title: "How far finite differences are off",
		Horizontal: figure.Axis{Label: "step h", From: 1e-1, To: 1e-12, Log: true},
		Vertical:   figure.Axis{Label: "error of the slope", From: 1e-12, To: 1, Log: true},
	}, figure.Series{Name: "float64", Class: "blue", X: h, Y: errors64, Dots: true},
		figure.Series{Name: "float32", Class: "orange", X: h, Y: errors32, Dots: true})
	return f
}
