package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// An addedToken is a token that is found in the text as it stands, before the text is cut into words. The fields have
// Hugging Face's names and meanings.
type addedToken struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // found only where no word's character is beside it
	LStrip     bool   `json:"lstrip"`      // takes the white space on its left with it
	RStrip     bool   `json:"rstrip"`      // takes the white space on its right with it
	Normalized bool   `json:"normalized"`  // searched for after the tokens that are not normalized
	Special    bool   `json:"special"`     // left out by Decode with skipSpecial
}

// A matcher finds added tokens in a text: the leftmost one first and, among those that start at one place, the longest.
type matcher struct {
	tokens       []addedToken // longest first
	ids          []int
	first        [256]bool // bytes that begin a token
	splitSpecial bool      // special tokens are passed over
}

// newMatcher makes the matcher of those added tokens of t that keep picks.
func newMatcher(t *Tokenizer, keep func(addedToken) bool) *matcher {
	m := &matcher{splitSpecial: t.splitSpecial}
	for _, token := range t.added {
		if keep(token) {
			m.tokens = append(m.tokens, token)
			m.first[token.Content[0]] = true
		}
	}
	slices.SortStableFunc(m.tokens, func(a, b addedToken) int { return cmp.Compare(len(b.Content), len(a.Content)) })
	for _, token := range m.tokens {
		m.ids = append(m.ids, t.ids[token.Content])
	}
	return m
}

// split calls text for each part of s between added tokens and added for each added token's id, in order. No part is empty.
func (m *matcher) split(s string, text func(string), added func(id int)) {
	done := 0 // s[:done] has been handed out
	for at := 0; at < len(s); {
		i := m.match(s[at:])
		if i < 0 {
			at++
			continue
		}
		token := m.tokens[i]
		start, stop := at, at+len(token.Content)
		at = stop
		if token.Special && m.splitSpecial || token.SingleWord && (endsWithWord(s[:start]) || startsWithWord(s[stop:])) {
			continue
		}
		if token.LStrip {
			start = len(strings.TrimRightFunc(s[:start], isSpace))
		}
		if token.RStrip {
			stop = len(s) - len(strings.TrimLeftFunc(s[stop:], isSpace))
		}
		if done < start {
			text(s[done:start])
		}
		added(m.ids[i])
		done = stop
	}
	if done < len(s) {
		text(s[done:])
	}
}

// match gives the index of the longest token that s, which is not empty, starts with, or -1.
func (m *matcher) match(s string) int {
	if !m.first[s[0]] {
		return -1
	}
	return slices.IndexFunc(m.tokens, func(t addedToken) bool { return strings.HasPrefix(s, t.Content) })
}

func endsWithWord(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && isWord(r)
}
