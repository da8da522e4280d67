package report

import (
	"math"
	"slices"
)

// Histogram is the distribution of a tensor's elements after an update.
type Histogram struct {
	Step   int     `json:"step"`
	Tensor string  `json:"tensor"`
	Of     string  `json:"of"` // "weights" or "gradients"
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Counts are of equal bins between Low and High; the outermost also hold
	// what lies beyond. There is one bin if all elements are the same, and
	// none if no element is finite.
	Counts []int `json:"counts"`
}

const (
	bins      = 41 // odd, so that the mean has a bin of its own
	deviation = 4  // standard deviations between the mean and either end
)

// NewHistogram counts the finite values in bins around their mean, so that a
// few outliers do not flatten the rest.
func NewHistogram(step int, tensor, of string, values []float32) Histogram {
	h := Histogram{Step: step, Tensor: tensor, Of: of}
	var n int
	var sum, squares float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if x := float64(v); x-x == 0 {
			n++
			sum += x
			squares += x * x
			low, high = min(low, x), max(high, x)
		}
	}
	if n == 0 {
		return h
	}
	mean := sum / float64(n)
	std := math.Sqrt(max(squares/float64(n)-mean*mean, 0))
	if low == high || std == 0 {
		h.Low, h.High, h.Counts = low, high, []int{n}
		return h
	}
	h.Low, h.High = mean-deviation*std, mean+deviation*std
	h.Counts = make([]int, bins)
	scale := bins / (h.High - h.Low)
	for _, v := range values {
		if x := float64(v); x-x == 0 {
			h.Counts[int(min(max((x-h.Low)*scale, 0), bins-1))]++
		}
	}
	return h
}

// tensor is how one tensor changed, as the page draws it.
type tensor struct {
	Name      string   `json:"name"`
	Weights   []column `json:"weights"`
	Gradients []column `json:"gradients"`
}

// column is a histogram whose fullest bin is 255.
type column struct {
	Step   int     `json:"step"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Shares []byte  `json:"shares"` // base64 in JSON
}

// tensors sorts histograms by tensor, in order of appearance.
func tensors(histograms []Histogram) []tensor {
	position := map[string]int{}
	var out []tensor
	for _, h := range histograms {
		i, known := position[h.Tensor]
		if !known {
			i = len(out)
			position[h.Tensor] = i
			out = append(out, tensor{Name: h.Tensor})
		}
		if len(h.Counts) == 0 {
			continue
		}
		c := column{h.Step, h.Low, h.High, shares(h.Counts)}
		if h.Of == "weights" {
			out[i].Weights = append(out[i].Weights, c)
		} else {
			out[i].Gradients = append(out[i].Gradients, c)
		}
	}
	return out
}

func shares(counts []int) []byte {
	most := max(slices.Max(counts), 1)
	out := make([]byte, len(counts))
	for i, n := range counts {
		out[i] = byte(math.Ceil(255 * float64(n) / float64(most)))
	}
	return out
}
