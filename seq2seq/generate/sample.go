package generate

import (
	"cmp"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// candidate is a token that may come next.
type candidate struct {
	id    int
	score float64
}

// candidates are the tokens that sampling chooses from. Each step keeps some
// of them, at least min, as its namesake in Hugging Face does.
type candidates struct {
	list []candidate
	p    []float64 // scratch: probabilities of list
	min  int
}

// warp reads the scores of a row [vocabulary] and applies what the options
// say of sampling.
func (c *candidates) warp(row []float32, o *Options) {
	c.read(row, o.Temperature, o.TopK)
	if o.TopP < 1 {
		c.topP(o.TopP)
	}
	if o.MinP > 0 {
		c.minP(o.MinP)
	}
	if o.TypicalP < 1 {
		c.typical(o.TypicalP)
	}
}

// read takes the k likeliest of a row, and all as likely as the last of them;
// of k 0 all.
func (c *candidates) read(row []float32, temperature float64, k int) {
	if k == 0 {
		c.atLeast(forbidden, row)
	} else {
		k = max(k, c.min)
		if c.atLeast(c.guess(row, k), row); len(c.list) < k { // it was too high
			c.atLeast(forbidden, row)
		}
		c.topK(k)
	}
	for i := range c.list {
		c.list[i].score /= temperature
	}
}

// atLeast takes what is not forbidden and has at least that score.
func (c *candidates) atLeast(least float32, row []float32) {
	c.list = c.list[:0]
	for id, s := range row {
		if s >= least && s != forbidden {
			c.list = append(c.list, candidate{id, float64(s)})
		}
	}
}

// guess gives a score that more than k of a row have, but not many more, as
// far as a sample of the row can tell.
func (c *candidates) guess(row []float32, k int) float32 {
	const step = 32
	c.list = c.list[:0]
	for id := 0; id < len(row); id += step {
		c.list = append(c.list, candidate{id, float64(row[id])})
	}
	expected := float64(k) / step
	n := int(expected + 4*math.Sqrt(expected) + 1) // beyond chance
	if n >= len(c.list) {
		return forbidden
	}
	selectFirst(c.list, n, likelier)
	return float32(slices.MaxFunc(c.list[:n], likelier).score)
}

// likelier is the order of falling scores; among equals the higher id is
// first, since torch removes them in ascending order.
func likelier(a, b candidate) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return cmp.Compare(b.id, a.id)
}

// topK keeps the k likeliest and all as likely as the last of them.
func (c *candidates) topK(k int) {
	if k >= len(c.list) {
		return
	}
	selectFirst(c.list, k, likelier)
	least := math.Inf(1)
	for _, x := range c.list[:k] {
		least = min(least, x.score)
	}
	for i := k; i < len(c.list); i++ {
		if c.list[i].score == least {
			c.list[i], c.list[k] = c.list[k], c.list[i]
			k++
		}
	}
	c.list = c.list[:k]
}

// topP keeps the likeliest until their probabilities reach p (Holtzman et
// al., 2019, arXiv:1904.09751).
func (c *candidates) topP(p float64) {
	_, lse := c.logSumExp()
	// The set is small as a rule: sort a few, and more only if need be.
	for k := 256; ; k *= 4 {
		k = min(k, len(c.list))
		selectFirst(c.list, k, likelier)
		slices.SortFunc(c.list[:k], likelier)
		mass := 0.0
		for i, x := range c.list[:k] {
			if mass >= p && i >= c.min {
				c.list = c.list[:i]
				return
			}
			mass += math.Exp(x.score - lse)
		}
		if k == len(c.list) {
			return
		}
	}
}

// minP keeps what has at least the share p of the largest probability
// (Nguyen et al., 2024, arXiv:2407.01082).
func (c *candidates) minP(p float64) {
	if len(c.list) <= c.min {
		return
	}
	selectFirst(c.list, c.min, likelier)
	best, _ := c.logSumExp()
	least := best + math.Log(p)
	kept := c.min
	for _, x := range c.list[c.min:] {
		if x.score >= least {
			c.list[kept] = x
			kept++
		}
	}
	c.list = c.list[:kept]
}

// typical keeps the tokens whose information is nearest to the expected,
// until their probabilities reach p.
func (c *candidates) typical(p float64) {
	_, lse := c.logSumExp()
	entropy := 0.0
	for _, x := range c.list {
		entropy -= math.Exp(x.score-lse) * (x.score - lse)
	}
	far := func(x candidate) float64 { return math.Abs(lse - x.score - entropy) }
	slices.SortFunc(c.list, func(a, b candidate) int {
		if d := cmp.Compare(far(a), far(b)); d != 0 {
			return d
		}
		return cmp.Compare(a.id, b.id)
	})
	mass, last := 0.0, 0 // last: of those kept
	for last < len(c.list)-1 {
		if mass += math.Exp(c.list[last].score - lse); mass >= p {
			break
		}
		last++
	}
	kept := max(last+1, min(c.min, len(c.list)))
	for kept < len(c.list) && far(c.list[kept]) == far(c.list[last]) {
		kept++
	}
	c.list = c.list[:kept]
}

// logSumExp returns the largest score, and the logarithm of the sum of all
// their exponentials.
func (c *candidates) logSumExp() (largest, lse float64) {
	largest = math.Inf(-1)
	for _, x := range c.list {
		largest = max(largest, x.score)
	}
	sum := 0.0
	for _, x := range c.list {
		sum += math.Exp(x.score - largest)
	}
	return largest, largest + math.Log(sum)
}

// draw takes one of the candidates with the probability that its score gives
// it. There must be one.
func (c *candidates) draw(random *layers.Random) int {
	largest, _ := c.logSumExp()
	c.p = slices.Grow(c.p[:0], len(c.list))
	total := 0.0
	for _, x := range c.list {
		total += math.Exp(x.score - largest)
		c.p = append(c.p, total)
	}
	u := random.Float64() * total
	i, _ := slices.BinarySearchFunc(c.p, u, func(sum, u float64) int {
		if sum <= u {
			return -1
		}
		return 1
	})
	return c.list[min(i, len(c.list)-1)].id
}

// selectFirst moves the k first elements of the order to the front of x, in
// no order among themselves (Hoare's FIND, 1961). It takes linear time as a
// rule.
func selectFirst[E any](x []E, k int, order func(a, b E) int) {
	lo, hi := 0, len(x)
	for hi-lo > 1 && k > lo && k < hi {
		middle := medianOf(x[lo], x[lo+(hi-lo)/2], x[hi-1], order)
		i, j := lo, hi-1
		for i <= j {
			for order(x[i], middle) < 0 {
				i++
			}
			for order(middle, x[j]) < 0 {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		// x[lo:j+1] come before or are, x[i:hi] after or are the middle.
		switch {
		case k <= j+1:
			hi = j + 1
		case k >= i:
			lo = i
		default:
			return
		}
	}
}

func medianOf[E any](a, b, c E, order func(a, b E) int) E {
	if order(a, b) > 0 {
		a, b = b, a
	}
	if order(b, c) > 0 {
		b = c
	}
	if order(a, b) > 0 {
		return a
	}
	return b
}
