package report

import (
	"math"
	"slices"
	"strconv"
)

// numbers are a curve; in JSON, it has five digits,
// and what is not finite is null.
type numbers []float64

func (n numbers) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, v := range n {
		if i > 0 {
			out = append(out, ',')
		}
		if v-v == 0 {
			out = strconv.AppendFloat(out, v, 'g', 5, 64)
		} else {
			out = append(out, "null"...)
		}
	}
	return append(out, ']'), nil
}

// stepCurves are the curves over updates, in columns.
type stepCurves struct {
	Step   []int   `json:"step"`
	Loss   numbers `json:"loss"`
	Smooth numbers `json:"smooth"`
	Norm   numbers `json:"norm"`
	Rate   numbers `json:"rate"`
}

// epochCurves are the curves over epochs, at their last update.
type epochCurves struct {
	Step       []int   `json:"step"`
	Train      numbers `json:"train"`
	Validation numbers `json:"validation"`
}

// maxGroups keeps the page small: of more updates, the page has those with the
// least and the greatest loss and the greatest gradient of each group.
const maxGroups = 1000

func curvesOf(steps []Step) stepCurves {
	losses := make([]float64, len(steps))
	for i, s := range steps {
		losses[i] = s.Loss
	}
	smooth := movingMean(losses, smoothing(len(steps)))
	var c stepCurves
	for _, i := range extremes(steps) {
		s := steps[i]
		c.Step = append(c.Step, s.Step)
		c.Loss = append(c.Loss, s.Loss)
		c.Smooth = append(c.Smooth, smooth[i])
		c.Norm = append(c.Norm, s.GradNorm)
		c.Rate = append(c.Rate, s.LearningRate)
	}
	return c
}

// smoothing is how many updates on either side are averaged over.
func smoothing(steps int) int { return max(steps/50, 4) }

// extremes lists the positions of the updates that the page has.
func extremes(steps []Step) []int {
	size := (len(steps) + maxGroups - 1) / maxGroups
	var out []int
	for first := 0; first < len(steps); first += max(size, 1) {
		last := min(first+size, len(steps)) - 1
		least, greatest, steepest := first, first, first
		for i := first; i <= last; i++ {
			if steps[i].Loss < steps[least].Loss {
				least = i
			}
			if steps[i].Loss > steps[greatest].Loss {
				greatest = i
			}
			if steps[i].GradNorm > steps[steepest].GradNorm {
				steepest = i
			}
		}
		group := []int{least, greatest, steepest, last}
		slices.Sort(group)
		out = append(out, slices.Compact(group)...)
	}
	return out
}

// movingMean averages the finite numbers from i-half to i+half; NaN if there
// is none.
func movingMean(x []float64, half int) []float64 {
	sums, counts := make([]float64, len(x)+1), make([]int, len(x)+1)
	for i, v := range x {
		sums[i+1], counts[i+1] = sums[i], counts[i]
		if v-v == 0 {
			sums[i+1] += v
			counts[i+1]++
		}
	}
	out := make([]float64, len(x))
	for i := range x {
		low, high := max(i-half, 0), min(i+half+1, len(x))
		out[i] = math.NaN()
		if n := counts[high] - counts[low]; n > 0 {
			out[i] = (sums[high] - sums[low]) / float64(n)
		}
	}
	return out
}

func epochsOf(epochs []Epoch) epochCurves {
	var c epochCurves
	for _, e := range epochs {
		c.Step = append(c.Step, e.Step)
		c.Train = append(c.Train, e.TrainLoss)
		c.Validation = append(c.Validation, e.ValLoss)
	}
	return c
}
