// Package editdistance tells how alike two sequences are: names, for messages
// that suggest what may have been meant, and texts that were read.
package editdistance

// Levenshtein is the number of insertions, deletions and replacements of
// elements that turn a into b.
func Levenshtein[E comparable](a, b []E) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
