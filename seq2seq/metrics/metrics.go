// Package metrics scores captions against references as the COCO evaluation does: BLEU-1 to BLEU-4,
// ROUGE-L and CIDEr with the definitions, the tokenizer and the numbers of pycocoevalcap 1.2.
//
//	scores, each, err := metrics.Evaluate([]metrics.Picture{{
//		Candidate:  "a zebra stands in the grass",
//		References: []string{"A zebra standing in tall grass.", "A zebra grazes."},
//	}, …})
//
// CIDEr weighs words by how few pictures' references have them, so it means something for a set of many pictures only; for
// a single one it is 0.
//
// [CharacterErrorRate] and [WordErrorRate] are for models that read text.
package metrics

import (
	"fmt"
	"math"
	"strings"
)

// Picture is what was said about a picture and what should have been.
type Picture struct {
	Candidate  string   // may be empty
	References []string // at least one
}

// Scores are the marks of a picture or of a set of pictures. All are at least 0, and better the higher. BLEU and ROUGE are at
// most 1, CIDEr at most 10.
type Scores struct {
	BLEU   [4]float64 `json:"bleu"`    // BLEU-1 to BLEU-4 (Papineni et al. 2002), with the closest reference's length
	ROUGEL float64    `json:"rouge_l"` // Lin 2004, with beta 1.2
	CIDEr  float64    `json:"cider"`   // CIDEr-D of Vedantam et al. 2015
}

// Evaluate scores pictures: the whole set, and each picture in the order given. The BLEU of a set is made of the counts of
// all pictures, the other two are means. It fails when there is no picture, or one without references.
func Evaluate(pictures []Picture) (Scores, []Scores, error) {
	if len(pictures) == 0 {
		return Scores{}, nil, fmt.Errorf("metrics: no pictures to evaluate")
	}
	var said, wanted []string
	for i, p := range pictures {
		if len(p.References) == 0 {
			return Scores{}, nil, fmt.Errorf("metrics: picture %d has no references", i)
		}
		said = append(said, p.Candidate)
		wanted = append(wanted, p.References...)
	}
	candidates, words := Tokenize(said), Tokenize(wanted)
	references := make([][][]string, len(pictures))
	rouge := make([]float64, len(pictures))
	for i, p := range pictures {
		references[i], words = words[:len(p.References)], words[len(p.References):]
		rouge[i] = rougeL(candidates[i], references[i])
		candidates[i] = split(candidates[i])
		for j, r := range references[i] {
			references[i][j] = split(r)
		}
	}

	all, each := Scores{}, make([]Scores, len(pictures))
	bleu := bleuCounts{}
	weigh := newWeights(references)
	for i, candidate := range candidates {
		counts := countBLEU(candidate, references[i])
		bleu.add(counts)
		each[i] = Scores{BLEU: counts.scores(), ROUGEL: rouge[i], CIDEr: weigh.cider(candidate, references[i])}
		all.ROUGEL += each[i].ROUGEL / float64(len(pictures))
		all.CIDEr += each[i].CIDEr / float64(len(pictures))
	}
	all.BLEU = bleu.scores()
	return all, each, nil
}

// split breaks tokens at hard spaces.
func split(tokens []string) []string {
	return strings.FieldsFunc(strings.Join(tokens, " "), func(r rune) bool { return r == ' ' || r == '\u00a0' })
}

// maxN is the length of the longest n-grams that count.
const maxN = 4

// ngram is up to maxN words; the rest are empty.
type ngram [maxN]string

// counted is an n-gram and how often it occurs.
type counted struct {
	gram ngram
	n    int
}

// ngrams counts all n-grams of 1 to maxN words, in the order in which they begin to occur: sums over them come out the
// same every time.
func ngrams(words []string) []counted {
	var counts []counted
	index := map[ngram]int{}
	for i := range words {
		var g ngram
		for n := 0; n < maxN && i+n < len(words); n++ {
			g[n] = words[i+n]
			j, seen := index[g]
			if !seen {
				j = len(counts)
				index[g] = j
				counts = append(counts, counted{gram: g})
			}
			counts[j].n++
		}
	}
	return counts
}

// size is the number of words of an n-gram.
func (g ngram) size() int {
	n := 0
	for n < maxN && g[n] != "" {
		n++
	}
	return n
}

// bleuCounts are the numbers that BLEU is made of: of n-grams said, and of those that a reference has as well.
type bleuCounts struct {
	said, correct     [maxN]int
	length, reference int // in words
}

func countBLEU(candidate []string, references [][]string) bleuCounts {
	c := bleuCounts{length: len(candidate), reference: closest(len(candidate), references)}
	most := map[ngram]int{}
	for _, r := range references {
		for _, c := range ngrams(r) {
			most[c.gram] = max(most[c.gram], c.n)
		}
	}
	for _, g := range ngrams(candidate) {
		c.correct[g.gram.size()-1] += min(g.n, most[g.gram])
	}
	for n := range c.said {
		c.said[n] = max(0, len(candidate)-n)
	}
	return c
}

// closest is the length of the reference nearest to the given length, the shorter of two.
func closest(length int, references [][]string) int {
	best := len(references[0])
	distance := func(n int) int { return max(n-length, length-n) }
	for _, r := range references {
		if n := len(r); distance(n) < distance(best) || distance(n) == distance(best) && n < best {
			best = n
		}
	}
	return best
}

func (c *bleuCounts) add(d bleuCounts) {
	for n := range c.said {
		c.said[n] += d.said[n]
		c.correct[n] += d.correct[n]
	}
	c.length += d.length
	c.reference += d.reference
}

func (c *bleuCounts) scores() [maxN]float64 {
	const small, tiny = 1e-9, 1e-15 // pycocoevalcap's guards against a division by zero
	var scores [maxN]float64
	product, brevity := 1.0, 1.0
	if ratio := (float64(c.length) + tiny) / (float64(c.reference) + small); ratio < 1 {
		brevity = math.Exp(1 - 1/ratio)
	}
	for n := range scores {
		product *= (float64(c.correct[n]) + tiny) / (float64(c.said[n]) + small)
		scores[n] = math.Pow(product, 1/float64(n+1)) * brevity
	}
	return scores
}

// rougeL is the F-measure of the longest common subsequence, with the best precision and the best recall
// over the references. As in pycocoevalcap a caption without words is one empty word, and a token with a hard space in
// it, as "1\u00a01/2", is one word here and several elsewhere.
func rougeL(candidate []string, references [][]string) float64 {
	const beta2 = 1.2 * 1.2
	candidate = orEmptyWord(candidate)
	var precision, recall float64
	for _, r := range references {
		r = orEmptyWord(r)
		common := float64(commonLength(candidate, r))
		precision = max(precision, common/float64(len(candidate)))
		recall = max(recall, common/float64(len(r)))
	}
	if precision == 0 || recall == 0 {
		return 0
	}
	return (1 + beta2) * precision * recall / (recall + beta2*precision)
}

func orEmptyWord(words []string) []string {
	if len(words) == 0 {
		return []string{""}
	}
	return words
}

// commonLength is the length of the longest common subsequence.
func commonLength(a, b []string) int {
	lengths := make([]int, len(b)+1) // of the rows before and of b up to there
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := lengths[j+1]
			if x == y {
				lengths[j+1] = diagonal + 1
			} else {
				lengths[j+1] = max(above, lengths[j])
			}
			diagonal = above
		}
	}
	return lengths[len(b)]
}
