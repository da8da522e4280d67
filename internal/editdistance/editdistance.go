// Package editdistance tells how alike two names are, for messages that
// suggest what may have been meant.
package editdistance

// Levenshtein is the number of insertions, deletions and replacements of bytes
// that turn a into b.
func Levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
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
