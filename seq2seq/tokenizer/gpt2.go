package tokenizer

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
)

// mergesGZ is GPT-2's merges.txt as OpenAI published it (github.com/openai/gpt-2; gpt2/LICENSE), compressed.
//
//go:embed gpt2/merges.txt.gz
var mergesGZ []byte

// GPT2 gives GPT-2's tokenizer: 50,000 merges and 50,257 tokens. It needs no file.
func GPT2() *Tokenizer { return gpt2() }

var gpt2 = sync.OnceValue(func() *Tokenizer {
	unzip, err := gzip.NewReader(bytes.NewReader(mergesGZ))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		panic(err)
	}
	merges, err := parseMerges(string(text))
	if err != nil {
		panic(err)
	}
	t, err := fromMerges(merges)
	if err != nil {
		panic(err)
	}
	return t
})

// fromMerges makes the tokenizer whose ids are GPT-2's: the 256 bytes, what each merge makes, and <|endoftext|>.
func fromMerges(merges [][2]string) (*Tokenizer, error) {
	vocab := make(map[string]int, 256+len(merges)+1)
	for id, b := range byteOrder() {
		vocab[string(byteRunes[b])] = id
	}
	for _, pair := range merges {
		vocab[pair[0]+pair[1]] = len(vocab)
	}
	vocab[EndOfText] = len(vocab)
	return New(vocab, merges, Special{})
}

// Cut gives the tokenizer with only the first merges of t, size tokens in all: the 256 bytes, size-257 merges and
// <|endoftext|> with the last id. Each prefix of the merges is a valid byte-pair encoding, so a small model can
// have a small vocabulary whose frequent words are GPT-2's.
//
// It returns an error when size is below 257 or t has too few merges.
func (t *Tokenizer) Cut(size int) (*Tokenizer, error) {
	if least, most := 257, 257+len(t.merges); size < least || size > most {
		return nil, fmt.Errorf("tokenizer: a cut to %d tokens: expected %d to %d", size, least, most)
	}
	cut, err := fromMerges(t.merges[:size-257])
	if err != nil {
		return nil, fmt.Errorf("tokenizer: a cut to %d tokens: %w", size, err)
	}
	return cut, nil
}

// parseMerges reads the text of a merges.txt: a line "left right" for each merge, after a line "#version: …".
func parseMerges(text string) ([][2]string, error) {
	var merges [][2]string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.HasPrefix(line, "#version") || line == "" {
			continue
		}
		pair, err := parseMerge(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", i+1, err)
		}
		merges = append(merges, pair)
	}
	return merges, nil
}

// parseMerge reads "left right".
func parseMerge(line string) ([2]string, error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("is %q: expected two tokens with a space between", line)
	}
	return [2]string{left, right}, nil
}
