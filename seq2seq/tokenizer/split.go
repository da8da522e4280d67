package tokenizer

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// A class is what the splitting into words asks of a character: one of \p{L}, \p{N}, \s or none of them.
type class uint8

const (
	other class = iota
	letter
	number
	space
)

// asciiClass holds the classes of the ASCII characters.
var asciiClass = func() (classes [utf8.RuneSelf]class) {
	for r := range classes {
		classes[r] = classOf(rune(r))
	}
	return classes
}()

// classOf gives the class of a character.
func classOf(r rune) class { return class(properties(r) & 3) }

// isSpace reports whether r is one of \s.
func isSpace(r rune) bool { return classOf(r) == space }

// isWord reports whether r is one of \w: alphabetic, a mark, a decimal digit, connecting punctuation or a joiner.
func isWord(r rune) bool { return properties(r)&4 != 0 }

// properties looks a character up in classStarts.
func properties(r rune) uint32 {
	after := sort.Search(len(classStarts), func(i int) bool { return classStarts[i]>>3 > uint32(r) })
	return classStarts[after-1] & 7
}

// next gives the class and the length in bytes of the first character of s, which is not empty.
func next(s string) (class, int) {
	if s[0] < utf8.RuneSelf {
		return asciiClass[s[0]], 1
	}
	r, size := utf8.DecodeRuneInString(s)
	return classOf(r), size
}

// run gives the length in bytes of the run of characters of class c at the start of s.
func run(s string, c class) int {
	n := 0
	for n < len(s) {
		got, size := next(s[n:])
		if got != c {
			break
		}
		n += size
	}
	return n
}

// contractions are the English endings that are words of their own, in lower case only.
var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// wordLength gives the length in bytes of the first word of s, which is not empty. It is what GPT-2's regular
// expression matches,
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// so that joined words give the text: a run of white space keeps its last character back for the word that follows.
func wordLength(s string) int {
	if s[0] == '\'' {
		for _, c := range contractions {
			if strings.HasPrefix(s, c) {
				return len(c)
			}
		}
	}
	start := 0
	if s[0] == ' ' && len(s) > 1 {
		start = 1
	}
	if c, _ := next(s[start:]); c != space {
		return start + run(s[start:], c)
	}
	n := run(s, space)
	if n == len(s) {
		return n
	}
	if _, last := utf8.DecodeLastRuneInString(s[:n]); last < n {
		return n - last
	}
	return n
}
