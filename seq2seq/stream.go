package seq2seq

import (
	"context"
	"iter"
	"strings"
	"unicode"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Stream puts one picture into words as they come: pieces of text in whole
// characters, which together are the Text that
// [VisionEncoderDecoder.Generate] gives. The last pair has an error if there
// is one, and no text; the end of ctx is one. Beam search and several captions
// cannot be streamed.
func (m *VisionEncoderDecoder) Stream(ctx context.Context, picture vision.Image, o generate.Options) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		stopped := false
		err := layers.WithoutGradients(m, func() error {
			pixels, err := m.Processor.Process(picture)
			if err != nil {
				return err
			}
			states, err := m.Encode([]vision.Pixels{pixels}, nil)
			if err != nil {
				return err
			}
			tokens := generate.Stream(ctx, m.Decoder, layers.Source{Packed: states}, m.own(o, []vision.Pixels{pixels}))
			for text, err := range trimmed(generate.Text(tokens, m.Tokenizer.Stream(true))) {
				if err != nil {
					return err
				}
				if stopped = !yield(text, nil); stopped {
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield("", err)
		}
	}
}

// trimmed leaves out the space around a stream of text: what may be at its
// end is held back until more follows.
func trimmed(pieces iter.Seq2[string, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		begun, held := false, ""
		for text, err := range pieces {
			if err == nil {
				if !begun {
					text = strings.TrimLeftFunc(text, unicode.IsSpace)
				}
				text = held + text
				held = text[len(strings.TrimRightFunc(text, unicode.IsSpace)):]
				if text = text[:len(text)-len(held)]; text == "" {
					continue
				}
				begun = true
			}
			if !yield(text, err) {
				return
			}
		}
	}
}
