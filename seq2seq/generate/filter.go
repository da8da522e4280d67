package generate

import (
	"math"
	"slices"
)

// Filter is the recipe's way from logits [vocabulary] to the probabilities
// that the next token is drawn with [vocabulary]: softmax, the topK largest,
// of these the fewest that have the probability topP together, and the rest
// 0; what is kept is made to sum to 1 again.
//
// At least one token is kept, also with topP 0. topK 0, or above the
// vocabulary, keeps all, and so does topP 1. Among equals the lower id comes
// first. Unlike top_p after top_k in [Options], where Hugging Face cuts at a
// share of the topK's probability, the share is of all tokens'. A row of
// logits without a finite number, or with a NaN or +Inf, gives NaN.
func Filter(logits []float32, topK int, topP float64) []float64 {
	// likelier puts the higher id first among equals: count from the end.
	c, last := candidates{min: 1}, len(logits)-1
	for id, s := range logits {
		c.list = append(c.list, candidate{last - id, float64(s)})
	}
	out := make([]float64, len(logits))
	_, lse := c.logSumExp()
	if math.IsNaN(lse) {
		for i := range out {
			out[i] = lse
		}
		return out
	}
	if topK > 0 && topK < len(c.list) {
		selectFirst(c.list, topK, likelier)
		c.list = c.list[:topK]
	}
	slices.SortFunc(c.list, likelier)
	mass, kept := 0.0, 0
	for kept < len(c.list) && (kept == 0 || topP >= 1 || mass < topP) {
		mass += math.Exp(c.list[kept].score - lse)
		kept++
	}
	for _, x := range c.list[:kept] {
		out[last-x.id] = math.Exp(x.score-lse) / mass
	}
	return out
}
