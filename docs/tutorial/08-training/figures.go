package main

import (
	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// draw shows the losses of both runs, and what else there is to see of them.
func draw(good, bad curves) *figure.Figure {
	f := figure.New(840, 560, "Four charts: the losses of a run that goes well fall together; its image gain rises; its learning rate rises and then falls; of a run with 16 pictures the training loss falls and the validation loss rises.")
	const width, height = 290, 180
	losses(f, figure.Chart{X: 50, Y: 60, Width: width, Height: height, Title: "192 pictures, cross-attention", Vertical: figure.Axis{Label: "loss", From: 0, To: 1}}, good)
	losses(f, figure.Chart{X: 460, Y: 60, Width: width, Height: height, Title: "16 pictures, whole decoder", Vertical: figure.Axis{Label: "loss", From: 0, To: 1}}, bad)
	f.Chart(figure.Chart{X: 50, Y: 330, Width: width, Height: height, Title: "Image gain", Vertical: figure.Axis{Label: "loss with others' pictures, minus with their own", From: 0, To: 0.35}, Horizontal: figure.Axis{Label: "epoch", From: 0, To: 12}},
		gain("192 pictures", "green", good), gain("16 pictures", "orange", bad))
	rate := figure.Series{Class: "purple"}
	for _, s := range good.steps {
		rate.X, rate.Y = append(rate.X, float64(s.Step)), append(rate.Y, s.LearningRate)
	}
	f.Chart(figure.Chart{X: 460, Y: 330, Width: width, Height: height, Title: "Learning rate, 192 pictures", Vertical: figure.Axis{Label: "20 updates of warm-up, then a cosine", From: 0, To: 0.001}, Horizontal: figure.Axis{Label: "update", From: 0, To: 192}}, rate)
	return f
}

// losses draws those of each update, and of each epoch.
func losses(f *figure.Figure, chart figure.Chart, c curves) {
	last := c.epochs[len(c.epochs)-1]
	chart.Horizontal = figure.Axis{Label: "epoch", From: 0, To: float64(last.Epoch)}
	updates := figure.Series{Class: "grey thin"}
	perEpoch := float64(last.Step) / float64(last.Epoch)
	for _, s := range c.steps {
		updates.X, updates.Y = append(updates.X, float64(s.Step)/perEpoch), append(updates.Y, s.Loss)
	}
	training := figure.Series{Name: "training", Class: "blue", Dots: true}
	validation := figure.Series{Name: "validation", Class: "red", Dots: true}
	for _, e := range c.epochs {
		at := float64(e.Epoch)
		training.X, training.Y = append(training.X, at-0.5), append(training.Y, e.TrainLoss) // the mean of an epoch
		validation.X, validation.Y = append(validation.X, at), append(validation.Y, e.ValLoss)
	}
	f.Chart(chart, updates, training, validation)
}

func gain(name, class string, c curves) figure.Series {
	s := figure.Series{Name: name, Class: class, Dots: true}
	for _, e := range c.epochs {
		s.X, s.Y = append(s.X, float64(e.Epoch)), append(s.Y, *e.ImageGain)
	}
	return s
}
