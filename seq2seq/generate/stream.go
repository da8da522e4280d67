package generate

import (
	"context"
	"fmt"
	"iter"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

// Stream gives the tokens of [Sequence.Tokens] of a single item as they come:
// the prefix first, and no end token. The last pair has an error if there is
// one, and no token; the end of ctx is one. Beam search and several sequences
// cannot be streamed.
func Stream(ctx context.Context, d Decoder, source layers.Source, o Options) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		items, err := o.prepare(d, source)
		switch {
		case err != nil:
		case items != 1:
			err = fmt.Errorf("generate: a stream is of one item; the source has %d", items)
		case o.NumBeams > 1 || o.NumReturnSequences > 1:
			err = fmt.Errorf("generate: a stream is one sequence: num_beams is %d and num_return_sequences %d, both must be 1", o.NumBeams, o.NumReturnSequences)
		}
		if err != nil {
			yield(0, err)
			return
		}
		sent := 0
		stopped := false
		err = search(ctx, d, source, &o, 1, func(s *sequence, _ bool) bool {
			tokens := o.strip(s.tokens)
			for ; sent < len(tokens) && !stopped; sent++ {
				stopped = !yield(tokens[sent], nil)
			}
			return !stopped
		})
		if err != nil && !stopped {
			yield(0, err)
		}
	}
}

// TextStream turns tokens into text one by one, whole characters at a time,
// as a tokenizer's stream does.
type TextStream interface {
	Add(id int) string
	Close() string
}

// Text gives the text of a stream of tokens as it becomes complete; no piece
// is empty or ends inside a character. An error ends it.
func Text(tokens iter.Seq2[int, error], s TextStream) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for id, err := range tokens {
			if err != nil {
				yield("", err)
				return
			}
			if text := s.Add(id); text != "" && !yield(text, nil) {
				return
			}
		}
		if text := s.Close(); text != "" {
			yield(text, nil)
		}
	}
}
