package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// byteRunes gives each byte the printable character that stands for it in a token: itself where Latin-1 has a
// printable one, else the next character from U+0100.
// runeBytes is the way back: character to byte, -1 where a character stands for none.
var byteRunes, runeBytes = func() (runes [256]rune, bytes [324]int16) {
	for r := range bytes {
		bytes[r] = -1
	}
	next := rune(256)
	for b := range runes {
		r := rune(b)
		if !printable(b) {
			r = next
			next++
		}
		runes[b] = r
		bytes[r] = int16(b)
	}
	return runes, bytes
}()

// printable reports whether the byte b stands for itself in a token's text.
func printable(b int) bool {
	return b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE && b <= 0xFF
}

// byteOrder lists the 256 bytes in the order of GPT-2's first 256 ids: the printable ones, then the others.
func byteOrder() []int {
	var first, rest []int
	for b := range 256 {
		if printable(b) {
			first = append(first, b)
		} else {
			rest = append(rest, b)
		}
	}
	return append(first, rest...)
}

// tokenBytes gives the bytes that a token's text stands for. A token with a character that stands for no byte, as
// an added token with a space in it, stands for its own text.
func tokenBytes(token string) string {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return token
		}
		out = append(out, byte(runeBytes[r]))
	}
	return string(out)
}

// replaceInvalid gives s with each maximal invalid part of UTF-8 replaced by U+FFFD: the longest start of a
// character's encoding that breaks off, or else one byte (the Unicode standard's section 3.9).
func replaceInvalid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	out.Grow(len(s) + 16)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			size = invalidPrefix(s)
		}
		out.WriteRune(r)
		s = s[size:]
	}
	return out.String()
}

// invalidPrefix gives the length of the maximal invalid part at the start of s, in bytes.
func invalidPrefix(s string) int {
	n := 1
	for n < len(s) && !utf8.FullRuneInString(s[:n]) && !utf8.FullRuneInString(s[:n+1]) {
		n++
	}
	return n
}

// incompleteSuffix gives the number of bytes at the end of s that begin a character which more bytes may complete: 0 to 3.
func incompleteSuffix(s string) int {
	for n := 1; n <= min(3, len(s)); n++ {
		tail := s[len(s)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRuneInString(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
