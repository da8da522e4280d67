package tokenizer

// A Stream decodes ids one at a time, for text that is shown as it is generated. The texts of its calls, joined, are
// what [Tokenizer.Decode] gives for all the ids; none ends inside a character.
type Stream struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	held        string // the start of a character, to be completed
}

// Stream begins a stream, without the text of special tokens if skipSpecial. A Stream is for one goroutine.
func (t *Tokenizer) Stream(skipSpecial bool) *Stream {
	return &Stream{tokenizer: t, skipSpecial: skipSpecial}
}

// Add takes the next id and gives the text that is now complete, which may be empty.
func (s *Stream) Add(id int) string {
	text := s.held + s.tokenizer.bytes(id, s.skipSpecial)
	complete := len(text) - incompleteSuffix(text)
	s.held = text[complete:]
	return replaceInvalid(text[:complete])
}

// Close gives what is left: U+FFFD if the ids ended inside a character, else nothing. The stream may then be used anew.
func (s *Stream) Close() string {
	text := replaceInvalid(s.held)
	s.held = ""
	return text
}
