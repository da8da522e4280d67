package metrics

import (
	"fmt"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/editdistance"
)

// CharacterErrorRate is what text recognition is measured by: the number of characters to insert, delete and replace that
// turn what was read (candidates) into what stands there (references, one for each), divided by the number of characters
// of the references. 0 is perfect; it may be above 1. It fails when the two differ in number or the references are empty.
func CharacterErrorRate(candidates, references []string) (float64, error) {
	return errorRate(candidates, references, func(s string) []rune { return []rune(s) })
}

// WordErrorRate is the same for words, which are what stands between white space.
func WordErrorRate(candidates, references []string) (float64, error) {
	return errorRate(candidates, references, strings.Fields)
}

func errorRate[E comparable](candidates, references []string, split func(string) []E) (float64, error) {
	if len(candidates) != len(references) {
		return 0, fmt.Errorf("metrics: %d texts were read, and there are %d references", len(candidates), len(references))
	}
	edits, total := 0, 0
	for i, r := range references {
		want := split(r)
		edits += editdistance.Levenshtein(split(candidates[i]), want)
		total += len(want)
	}
	if total == 0 {
		return 0, fmt.Errorf("metrics: the references have no text, so there is no error rate")
	}
	return float64(edits) / float64(total), nil
}
