package tokenizer

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// tokenIDs are the tokens' ids as JSON has them: an object. Together with the merges they take a tenth of the time to the first
// caption, so the plain form that the files have is read by a scanner; encoding/json takes whatever else there may be.
type tokenIDs map[string]int

func (v *tokenIDs) UnmarshalJSON(data []byte) error {
	s := scanner{text: string(data)}
	ids := make(map[string]int, strings.Count(s.text, ":"))
	for more := s.open('{', '}'); more; more = s.more('}') {
		token := s.string()
		s.expect(':')
		ids[token] = s.number()
	}
	if !s.ended() {
		return json.Unmarshal(data, (*map[string]int)(v))
	}
	*v = ids
	return nil
}

// scanner goes through JSON that is known to be valid, as that is which UnmarshalJSON gets. It knows objects, lists, strings
// and whole numbers. The strings that it gives keep the text in memory.
type scanner struct {
	text string
	at   int
	lost bool // it met something else
}

// ended reports whether all was read and understood.
func (s *scanner) ended() bool { return s.peek() == 0 && !s.lost }

// peek is the next character that is no space, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// expect passes over a character.
func (s *scanner) expect(c byte) {
	if s.peek() == c {
		s.at++
	} else {
		s.lost = true
	}
}

// open begins an object or a list and reports whether there is something in it.
func (s *scanner) open(first, last byte) bool {
	if s.expect(first); s.peek() != last {
		return !s.lost
	}
	s.at++
	return false
}

// more reports whether there is another element, and passes over what is between or behind them.
func (s *scanner) more(last byte) bool {
	c := s.peek()
	s.at++
	s.lost = s.lost || c != ',' && c != last
	return c == ',' && !s.lost
}

func (s *scanner) number() (n int) {
	s.peek()
	start := s.at
	for ; s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' && s.at < start+9; s.at++ {
		n = 10*n + int(s.text[s.at]-'0')
	}
	s.lost = s.lost || s.at == start
	return n // if there are more digits, or a fraction, they are not what has to follow
}

func (s *scanner) string() string {
	s.expect('"')
	if s.lost {
		return ""
	}
	start := s.at
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '"':
			text := s.text[start:s.at]
			s.at++
			s.lost = !utf8.ValidString(text) // it would be repaired
			return text
		case '\\':
			return s.escaped(start)
		}
	}
	s.lost = true
	return ""
}

// escaped is the rest of a string that has an escape, from its start.
func (s *scanner) escaped(start int) (text string) {
	for ; s.at < len(s.text) && s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	if s.at > len(s.text) || json.Unmarshal([]byte(s.text[start-1:s.at]), &text) != nil {
		s.lost = true
	}
	return text
}
