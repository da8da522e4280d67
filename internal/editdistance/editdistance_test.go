package editdistance

import "testing"

func TestLevenshteinCountsEdits(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"abc", "abc", 0}, {"ab", "ba", 2}, {"flaw", "lawn", 2}} {
		if got := Levenshtein([]byte(test.a), []byte(test.b)); got != test.want {
			t.Errorf("Levenshtein(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
