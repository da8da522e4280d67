package kernel

import (
	"fmt"
	"math"
)

// CrossEntropy computes the cross-entropy of rows of logits [rows, vocab] against labels [rows], as
// torch.nn.functional.cross_entropy does with label_smoothing: the target is 1-smoothing on the label plus smoothing/vocab on
// every class. loss[r] receives the loss of row r. When grad is set, the logits are overwritten by their gradient,
// scale·(softmax - target). A label outside [0, vocab) panics: drop ignored rows first.
func CrossEntropy[T Float](logits []T, rows, vocab int, labels []int, smoothing float64, loss []float64, grad bool, scale T) {
	checkLen("CrossEntropy: logits", len(logits), rows*vocab)
	checkLen("CrossEntropy: labels", len(labels), rows)
	checkLen("CrossEntropy: loss", len(loss), rows)
	for r, label := range labels[:rows] {
		if label < 0 || label >= vocab {
			panic(fmt.Sprintf("kernel: CrossEntropy: label %d of row %d is outside the %d classes", label, r, vocab))
		}
	}
	Parallel(rows, 1+(1<<12)/max(1, vocab), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			loss[r] = crossEntropyRow(logits[r*vocab:(r+1)*vocab], labels[r], smoothing, grad, scale)
		}
	})
}

func crossEntropyRow[T Float](x []T, label int, smoothing float64, grad bool, scale T) float64 {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum, total float64
	for _, v := range x {
		sum += math.Exp(float64(v - top))
		total += float64(v)
	}
	logSum := math.Log(sum) + float64(top)
	n := float64(len(x))
	loss := (1-smoothing)*(logSum-float64(x[label])) + smoothing*(logSum-total/n)
	if !grad {
		return loss
	}
	for j, v := range x {
		x[j] = scale * T(math.Exp(float64(v-top))/sum-smoothing/n)
	}
	x[label] -= scale * T(1-smoothing)
	return loss
}
