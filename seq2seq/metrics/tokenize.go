package metrics

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Tokenize splits captions into lower-case words as the COCO evaluation (pycocoevalcap) does: as the
// Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 with -preserveLines -lowerCase, less the tokens that are
// punctuation. So "A man's dog, isn't it?" becomes a, man, 's, dog, is, n't, it. A caption gets its
// own list, which may be empty. A token may have hard spaces (U+00A0) in it, as "1\u00a01/2".
//
// As there, the captions are one text with a line each, and the rare word that depends on what follows (the initial
// in "plan B." before a line that begins with "The") looks at the next caption. A line break in a caption is a space.
//
// The rules were found by observing that program, not by reading it. On a dictionary of 170,000 words with and without
// suffixes ours differs in one, on 550,000 random captions and heaps of symbols in two.
func Tokenize(captions []string) [][]string {
	lines := make([][]string, len(captions))
	text := prepare(captions)
	line := 0
	for len(text) > 0 {
		switch c := text[0]; {
		case c == '\n':
			line++
			text = text[1:]
		case c == ' ' || c == dropped:
			text = text[1:]
		default:
			token, n := next(text)
			token = strings.ReplaceAll(token, string(dropped), "") // an address may hold some
			if token != "" && !punctuation[token] {
				lines[line] = append(lines[line], strings.ToLower(token))
			}
			text = text[n:]
		}
	}
	return lines
}

// punctuation are the tokens that do not count. pycocoevalcap has -LRB- and the like in its list too, in
// capitals, which a lower-case token never equals: brackets count.
var punctuation = set("'' ' `` ` . ? ! , : - -- ... ;")

func set(words string) map[string]bool {
	s := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		s[w] = true
	}
	return s
}

// dropped stands for a character that the tokenizer does not know, as an emoji, and leaves out.
const dropped = '\x01'

// prepare joins captions to lines, and settles characters whose treatment does not depend on others.
func prepare(captions []string) string {
	var b strings.Builder
	for _, caption := range captions {
		for _, r := range caption {
			switch {
			case r == '\u00ad': // soft hyphen
			case r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == '\t' || r == '\u00a0' || r == '\u2028' || r == '\u2029':
				b.WriteByte(' ')
			case windows1252[r] != 0:
				b.WriteRune(windows1252[r])
			case r >= ' ' && r < 0x7f || isWordRune(r) || unicode.In(r, symbols, hyphens):
				b.WriteRune(r)
			case mapped[r] != "":
				b.WriteRune(r)
			default:
				b.WriteByte(dropped)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func isWordRune(r rune) bool {
	return r <= 0xffff && (unicode.IsLetter(r) || unicode.Is(unicode.Nd, r) || unicode.Is(marks, r))
}

// next takes the first token of a text that does not begin with white space: what is put out, if
// anything, and its length in the text. Text ends in a line break.
func next(text string) (string, int) {
	if n := plainWord(text); n > 0 {
		return text[:n], n
	}
	var best *rule
	longest, length := 0, 0
	near := text[:horizon(text)]
	all := rules()
	for i := range all {
		r := &all[i]
		if text[0] < utf8.RuneSelf && !r.first[text[0]] {
			continue
		}
		if m := r.pattern.FindStringSubmatchIndex(near); m != nil && m[1] > longest {
			best, longest, length = r, m[1], m[3]
		}
	}
	if best == nil { // a symbol by itself
		c, n := utf8.DecodeRuneInString(text)
		if m, ok := mapped[c]; ok {
			return m, n
		}
		return text[:n], n
	}
	token := text[:length]
	if best.put != nil {
		token = best.put(token)
	}
	return token, length
}

// horizon is how far a rule needs to see: to the end of the line, and over the first words of what follows.
func horizon(text string) int {
	const beyond = 64
	return min(len(text), strings.IndexByte(text, '\n')+beyond)
}

// plainWord gives the length of the word of ASCII letters that the text begins with, when it is clear that no rule
// makes something else of it, or 0. It is here for speed.
func plainWord(text string) int {
	n := 0
	for 'a' <= text[n]|0x20 && text[n]|0x20 <= 'z' {
		n++
	}
	if n == 0 {
		return 0
	}
	switch text[n] { // there is a line break at the end
	case ' ', '\n':
	case ',', ';', ':', '!', '?', '"', '.':
		if after := text[n+1]; after != ' ' && after != '\n' {
			return 0
		}
		if text[n] == '.' && (n == 1 || mayEndInStop()[strings.ToLower(text[:n])]) {
			return 0
		}
	default:
		return 0
	}
	if n >= 5 && n <= 6 && twoWords[strings.ToLower(text[:n])] {
		return 0
	}
	return n
}

var twoWords = set("cannot gimme gonna gotta lemme wanna")

// mayEndInStop has the words, in lower case, which may keep a full stop.
var mayEndInStop = sync.OnceValue(func() map[string]bool {
	return set(strings.ToLower(abbreviations+" "+places) + " art ca fig figs no nos op p pp prop")
})
