package main

import "github.com/ekphrasis-ml/ekphrasis/internal/figure"

// drawLoud shows loss and gradient by how loud the cross-attention is.
func drawLoud(levels []level) *figure.Figure {
	f := figure.New(780, 270, "Two charts. From its start on, the louder the new cross-attention, the higher the loss; and at four times the loudness the gradient is nine times as long.")
	loss, norm := figure.Series{Class: "blue", Dots: true}, figure.Series{Class: "red", Dots: true}
	for _, l := range levels {
		loss.X, loss.Y = append(loss.X, l.factor), append(loss.Y, l.loss)
		norm.X, norm.Y = append(norm.X, l.factor), append(norm.Y, l.norm)
	}
	factor := figure.Axis{Label: "times as loud as at the start", From: 0.1, To: 100, Log: true}
	chart := figure.Chart{X: 50, Y: 50, Width: 310, Height: 170, Title: "Loss of a batch", Horizontal: factor, Vertical: figure.Axis{From: 0, To: 8}}
	f.Chart(chart, loss)
	chart.X, chart.Title, chart.Vertical.To = 450, "Norm of its gradient", 30
	f.Chart(chart, norm)
	return f
}

// drawRuns shows the runs, update by update.
func drawRuns(runs []history) *figure.Figure {
	f := figure.New(800, 550, "Three charts of four runs. Plain training at 3e-3 ends far above the loss that it began with, and its gradients and weights have grown the most.")
	classes := []string{"green", "red", "orange", "blue"}
	series := func(values func(history) []float64) []figure.Series {
		var all []figure.Series
		for i, r := range runs {
			s := figure.Series{Name: r.name, Class: classes[i]}
			for step, v := range values(r) {
				s.X, s.Y = append(s.X, float64(step+1)), append(s.Y, v)
			}
			all = append(all, s)
		}
		return all
	}
	update := figure.Axis{Label: "update", From: 1, To: 60}
	f.Chart(figure.Chart{X: 50, Y: 50, Width: 620, Height: 200, Title: "Loss", Horizontal: update, Vertical: figure.Axis{From: 0, To: 5}},
		series(func(h history) []float64 { return h.losses })...)
	unnamed := func(all []figure.Series) []figure.Series {
		for i := range all {
			all[i].Name = ""
		}
		return all
	}
	f.Chart(figure.Chart{X: 50, Y: 330, Width: 280, Height: 170, Title: "Norm of the gradient", Horizontal: update, Vertical: figure.Axis{From: 0.1, To: 100, Log: true}},
		unnamed(series(func(h history) []float64 { return h.norms }))...)
	f.Chart(figure.Chart{X: 390, Y: 330, Width: 280, Height: 170, Title: "Size of the factors of the result", Horizontal: update, Vertical: figure.Axis{From: 0, To: 0.02}},
		unnamed(series(func(h history) []float64 { return h.loudnesses }))...)
	return f
}
