package metrics

import "testing"

func TestErrorRatesCountCharactersAndWords(t *testing.T) {
	for _, test := range []struct {
		candidates, references []string
		characters, words      float64
	}{
		{[]string{"over the hill"}, []string{"over the hill"}, 0, 0},
		{[]string{"over a hill", "hello"}, []string{"over the hill", "hallo"}, 4. / 18, 2. / 4},
		{[]string{"élan"}, []string{"elan"}, 1. / 4, 1},
		{[]string{""}, []string{"two words"}, 1, 1},
		{[]string{"a b c"}, []string{"a"}, 4, 2},
	} {
		characters, err := CharacterErrorRate(test.candidates, test.references)
		if err != nil || characters != test.characters {
			t.Errorf("CharacterErrorRate(%q, %q) = %v, %v, want %v", test.candidates, test.references, characters, err, test.characters)
		}
		words, err := WordErrorRate(test.candidates, test.references)
		if err != nil || words != test.words {
			t.Errorf("WordErrorRate(%q, %q) = %v, %v, want %v", test.candidates, test.references, words, err, test.words)
		}
	}
	for _, references := range [][]string{{}, {"", " "}, {"", ""}} {
		if rate, err := WordErrorRate([]string{"a", "b"}, references); err == nil {
			t.Errorf("WordErrorRate of references %q is %v, want an error", references, rate)
		}
	}
}
