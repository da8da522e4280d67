// Command metrics scores a few captions with BLEU, ROUGE-L and CIDEr, the first
// two by hand too.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
)

func main() {
	out := flag.String("out", "docs/tutorial/11-metrics", "folder of the figures")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

// pictures are what was said of five pictures, and what should have been.
var pictures = []metrics.Picture{
	{Candidate: "woman juggling: medium skin tone", References: []string{"woman juggling: medium skin tone"}},
	{Candidate: "woman juggling: dark skin tone", References: []string{"woman juggling: medium skin tone"}},
	{Candidate: "handbag: medium skin tone", References: []string{"person surfing: medium skin tone"}},
	{Candidate: "automobile", References: []string{"car"}},
	{Candidate: "a red apple", References: []string{"red apple", "apple, red"}},
}

func run(out string) error {
	set, each, err := metrics.Evaluate(pictures)
	if err != nil {
		return err
	}
	p := pictures[1]
	words := metrics.Tokenize([]string{p.Candidate, p.References[0]})
	candidate, reference := words[0], words[1]
	fmt.Println("said:  ", strings.Join(candidate, " "))
	fmt.Println("actual:", strings.Join(reference, " "))

	product := 1.0
	for n := 1; n <= 4; n++ {
		right, all := matches(candidate, reference, n)
		product *= float64(right) / float64(all)
		byHand := math.Pow(product, 1/float64(n))
		fmt.Printf("runs of %d words: %d of %d are right; BLEU-%d %.3f, by the library %.3f\n", n, right, all, n, byHand, each[1].BLEU[n-1])
	}
	common := subsequence(candidate, reference)
	precision, recall := float64(common)/float64(len(candidate)), float64(common)/float64(len(reference))
	const beta = 1.2 // recall counts more
	rouge := (1 + beta*beta) * precision * recall / (recall + beta*beta*precision)
	fmt.Printf("longest common subsequence: %d of %d words; ROUGE-L %.3f, by the library %.3f\n", common, len(reference), rouge, each[1].ROUGEL)

	fmt.Println()
	for i, p := range pictures {
		s := each[i]
		fmt.Printf("%-33s for %-33s BLEU-1 %.2f  BLEU-4 %.2f  ROUGE-L %.2f  CIDEr %5.2f\n", p.Candidate, p.References[0], s.BLEU[0], s.BLEU[3], s.ROUGEL, s.CIDEr)
	}
	fmt.Printf("%-71s BLEU-1 %.2f  BLEU-4 %.2f  ROUGE-L %.2f  CIDEr %5.2f\n", "all five", set.BLEU[0], set.BLEU[3], set.ROUGEL, set.CIDEr)
	return draw(pictures, each).WriteFile(filepath.Join(out, "scores.svg"))
}

// matches counts the runs of n words in the candidate, and how many of them the
// reference has; one that it has once counts once.
func matches(candidate, reference []string, n int) (right, all int) {
	left := map[string]int{}
	for i := 0; i+n <= len(reference); i++ {
		left[strings.Join(reference[i:i+n], " ")]++
	}
	for i := 0; i+n <= len(candidate); i++ {
		all++
		if run := strings.Join(candidate[i:i+n], " "); left[run] > 0 {
			left[run]--
			right++
		}
	}
	return right, all
}

// subsequence is the length of the longest sequence of words that both have in
// this order, whatever stands between.
func subsequence(a, b []string) int {
	longest := make([]int, len(b)+1) // with the words of a so far
	for _, word := range a {
		before := 0 // longest[j] as it was
		for j := range b {
			was := longest[j+1]
			if b[j] == word {
				longest[j+1] = before + 1
			} else {
				longest[j+1] = max(was, longest[j])
			}
			before = was
		}
	}
	return longest[len(b)]
}
