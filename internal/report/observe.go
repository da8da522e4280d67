package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// observe says in plain words what the curves and captions mean.
func observe(r Report) []string {
	var out []string
	for _, look := range []func(Report) string{brokenLosses, lossCurve, imageGain, gradients, sameCaptions} {
		if s := look(r); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func brokenLosses(r Report) string {
	n := 0
	for _, s := range r.Steps {
		if s.Loss-s.Loss != 0 {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("The loss of %s is not a finite number: a lower learning rate, a longer warm-up or clipped gradients help.", plural(n, "update"))
}

// change is what counts as a rise or fall of a loss, as a share of it.
const change = 0.01

// lossCurve compares the losses of training and validation.
func lossCurve(r Report) string {
	var e []Epoch // with finite losses
	for _, x := range r.Epochs {
		if x.ValLoss-x.ValLoss == 0 && x.TrainLoss-x.TrainLoss == 0 {
			e = append(e, x)
		}
	}
	if len(e) == 0 && len(r.Epochs) > 0 {
		return "Without validation data, nobody can tell whether the model learns or memorises."
	}
	if len(e) < 2 {
		return ""
	}
	best := slices.MinFunc(e, func(a, b Epoch) int { return cmp.Compare(a.ValLoss, b.ValLoss) })
	first, last, before := e[0], e[len(e)-1], e[len(e)-2]
	switch {
	case last.ValLoss > best.ValLoss*(1+change) && last.TrainLoss < best.TrainLoss*(1-change):
		return fmt.Sprintf("Validation loss rises while training loss falls: the model memorises. Epoch %d was the best, with a validation loss of %s.",
			best.Epoch, number(best.ValLoss))
	case last.ValLoss > best.ValLoss*(1+change) && last.TrainLoss > best.TrainLoss*(1+change):
		return fmt.Sprintf("Both losses have risen since epoch %d: the learning rate is too high.", best.Epoch)
	case last.TrainLoss > first.TrainLoss*(1-change):
		return "Training loss hardly falls: the learning rate is too low, or too little is trained."
	case last.ValLoss < before.ValLoss*(1-change):
		return "Validation loss still falls: more epochs may help."
	}
	return "Validation loss has levelled out: more epochs of the same will change little."
}

// nearZero is the image gain, in nats a token, up to which the pictures do not
// matter.
const nearZero = 0.02

// imageGain says whether the decoder uses the pictures.
func imageGain(r Report) string {
	if len(r.Epochs) == 0 {
		return ""
	}
	gain := r.Epochs[len(r.Epochs)-1].ImageGain
	switch {
	case gain == nil || *gain-*gain != 0:
		return ""
	case *gain < -nearZero:
		return fmt.Sprintf("With the pictures of others, the captions are predicted better than with their own (image gain %s): the pictures mislead. Are they paired with the right captions?", number(*gain))
	case *gain <= nearZero:
		return fmt.Sprintf("Image gain is %s, near 0: with the pictures of others, the captions are predicted as well as with their own. The decoder ignores the picture.", number(*gain))
	}
	return fmt.Sprintf("The decoder uses the picture: with the pictures of others, validation loss is higher by %s (image gain).", number(*gain))
}

// gradients compares the gradients' norm at both ends of the run.
func gradients(r Report) string {
	var norms []float64
	for _, s := range r.Steps {
		if s.GradNorm-s.GradNorm == 0 {
			norms = append(norms, s.GradNorm)
		}
	}
	part := len(norms) / 5
	if part < 5 {
		return ""
	}
	early, late := median(norms[:part]), median(norms[len(norms)-part:])
	switch {
	case late > 10*early:
		return fmt.Sprintf("The gradients' norm grew from %s to %s: they may be about to explode. A lower learning rate helps.", number(early), number(late))
	case late < early/1000:
		return fmt.Sprintf("The gradients' norm fell from %s to %s: next to nothing is learned any more.", number(early), number(late))
	}
	return ""
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

// sameCaptions warns of a decoder that does not look.
func sameCaptions(r Report) string {
	if len(r.Epochs) == 0 {
		return ""
	}
	samples := r.Epochs[len(r.Epochs)-1].Samples
	if len(samples) < 3 {
		return ""
	}
	for _, s := range samples[1:] {
		if s.Generated != samples[0].Generated {
			return ""
		}
	}
	return "Every picture gets the same caption: the decoder does not look at the picture (yet)."
}

// number is short, and a dash for what is not finite.
func number(x float64) string {
	switch a := math.Abs(x); {
	case x-x != 0:
		return "–"
	case a != 0 && (a < 0.001 || a >= 1e5):
		return fmt.Sprintf("%.2e", x)
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
