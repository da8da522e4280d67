package seq2seq

import (
	"log/slog"

	"github.com/nlpodyssey/spago/nn"
)

// extended is implemented by a decoder that can have what the class of
// Hugging Face that its configuration names has no place for.
type extended interface {
	// Extras names what that is; "" if there is nothing.
	Extras() string
	// Folded returns a [Decoder] that computes the same with as few extras as
	// is exact.
	Folded() nn.Model
}

// Extras names what the model has that transformers has no place for, and
// that saving cannot fold into other weights; "" if there is nothing.
func (m *VisionEncoderDecoder) Extras() string { return extras(m.folded().Decoder) }

func extras(d Decoder) string {
	if e, ok := d.(extended); ok {
		return e.Extras()
	}
	return ""
}

// missedByTransformers says what transformers would miss of the model, and "" if
// there is nothing.
func (m *VisionEncoderDecoder) missedByTransformers() string {
	e := extras(m.Decoder)
	if e == "" {
		return ""
	}
	return "the decoder has " + e + ": transformers would load the model without that, and talk nonsense; Ekphrasis loads it as it is"
}

// folded is the model with as few extras as is exact.
func (m *VisionEncoderDecoder) folded() *VisionEncoderDecoder {
	e, ok := m.Decoder.(extended)
	if !ok {
		return m
	}
	f := *m
	f.Decoder = e.Folded().(Decoder)
	return &f
}

func (o SaveOptions) warn(dir, message string) {
	if o.Warn != nil {
		o.Warn(message)
		return
	}
	slog.Warn(message, "model", dir)
}
