package kernel

import (
	"fmt"
	"math"
)

// HeadPart is the number of rows of a head whose products with gradients are one sum, of which there are several.
const HeadPart = 1024

// SumHeadParts sets out to the sum of what multiply sets part to for each part [lo, hi) of the rows of a head.
func SumHeadParts[T Float](vocabulary int, out []T, multiply func(lo, hi int, part []T)) {
	part := borrow[T](len(out))
	defer part.giveBack()
	clear(out)
	for lo := 0; lo < vocabulary; lo += HeadPart {
		multiply(lo, min(lo+HeadPart, vocabulary), part.x)
		Add(out, out, part.x)
	}
}

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

func crossEntropyRow[T Float](x []T, label int, smoothing float64, grad bool, scaleBy T) float64 {
	n := float64(len(x))
	target := float64(x[label])
	var mean float64 // only needed when smoothing
	if smoothing != 0 {
		mean = sum(x) / n
	}
	var exps []T
	if grad {
		exps = x
	}
	top := maximum(x)
	exponentials := expSum(exps, x, top)
	logSum := math.Log(exponentials) + float64(top)
	loss := logSum - target
	if smoothing != 0 {
		loss = (1-smoothing)*loss + smoothing*(logSum-mean)
	}
	if grad {
		affine(T(float64(scaleBy)/exponentials), T(-float64(scaleBy)*smoothing/n), x)
		x[label] -= T(float64(scaleBy) * (1 - smoothing))
	}
	return loss
}
