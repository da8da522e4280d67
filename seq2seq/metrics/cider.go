package metrics

import "math"

// weights has the inverse document frequencies of CIDEr: an n-gram that the references of few pictures
// have weighs much.
type weights struct {
	pictures float64       // log of their number
	having   map[ngram]int // in the references of how many pictures an n-gram is
}

func newWeights(references [][][]string) weights {
	w := weights{math.Log(float64(len(references))), map[ngram]int{}}
	for _, captions := range references {
		seen := map[ngram]bool{}
		for _, caption := range captions {
			for _, c := range ngrams(caption) {
				if !seen[c.gram] {
					seen[c.gram] = true
					w.having[c.gram]++
				}
			}
		}
	}
	return w
}

// vector is a caption as CIDEr sees it.
type vector struct {
	grams  []counted
	weight map[ngram]float64 // count times inverse document frequency
	norm   [maxN]float64     // Euclidean, of the n-grams of each length
	length float64           // pycocoevalcap's: the number of bigrams
}

func (w weights) vector(words []string) vector {
	v := vector{grams: ngrams(words), weight: map[ngram]float64{}, length: float64(max(0, len(words)-1))}
	for _, c := range v.grams {
		x := float64(c.n) * (w.pictures - math.Log(max(1, float64(w.having[c.gram]))))
		v.weight[c.gram] = x
		v.norm[c.gram.size()-1] += x * x
	}
	for n := range v.norm {
		v.norm[n] = math.Sqrt(v.norm[n])
	}
	return v
}

// cider is ten times the mean over references and n-gram lengths of the cosine between candidate and reference, where a
// weight above the reference's is cut to it, and a difference in length costs.
func (w weights) cider(candidate []string, references [][]string) float64 {
	const sigma = 6
	c := w.vector(candidate)
	sum := 0.0
	for _, reference := range references {
		r := w.vector(reference)
		var product [maxN]float64
		for _, g := range c.grams {
			x := r.weight[g.gram]
			product[g.gram.size()-1] += min(c.weight[g.gram], x) * x
		}
		delta := c.length - r.length
		penalty := math.Exp(-delta * delta / (2 * sigma * sigma))
		for n := range product {
			if norm := c.norm[n] * r.norm[n]; norm != 0 {
				sum += product[n] / norm * penalty
			}
		}
	}
	return 10 * sum / maxN / float64(len(references))
}
