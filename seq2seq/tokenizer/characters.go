package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// Characters gives a tokenizer without words, for a model that reads or writes letter by letter: a token for each character
// of the alphabet, in its order, and <|endoftext|>, which begins and ends a text. Bytes that no character of the
// alphabet has are left out of what is encoded.
//
// A character of several bytes needs tokens for its parts, too, which follow the alphabet. It returns an error when the
// alphabet is empty, has a character twice, or is no valid UTF-8.
func Characters(alphabet string) (*Tokenizer, error) {
	if !utf8.ValidString(alphabet) {
		return nil, fmt.Errorf("tokenizer: the alphabet %q is no valid UTF-8", alphabet)
	}
	vocab := map[string]int{}
	for _, c := range alphabet {
		text := inFiles(string(c))
		if _, ok := vocab[text]; ok {
			return nil, fmt.Errorf("tokenizer: the alphabet has the character %q twice", c)
		}
		vocab[text] = len(vocab)
	}
	var merges [][2]string
	part := func(text string) {
		if _, ok := vocab[text]; !ok {
			vocab[text] = len(vocab)
		}
	}
	known := map[string]bool{}
	for _, c := range alphabet {
		s := string(c)
		for i := range len(s) - 1 {
			left, right := inFiles(s[:i+1]), inFiles(s[i+1:i+2])
			part(left)
			part(right)
			if !known[left+right] {
				known[left+right] = true
				merges = append(merges, [2]string{left, right})
			}
		}
	}
	return New(vocab, merges, Special{})
}

// inFiles gives a token's text in the form of the files.
func inFiles(bytes string) string {
	out := make([]rune, len(bytes))
	for i := range len(bytes) {
		out[i] = byteRunes[bytes[i]]
	}
	return string(out)
}
