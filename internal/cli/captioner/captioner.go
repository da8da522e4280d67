// Package captioner holds the flags of the commands that let a model caption:
// which model, in which precision, how it reads pictures and how it chooses
// words.
package captioner

import (
	"context"
	"fmt"
	"image/color"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/spf13/pflag"
)

// Flags are what the flags say. Add them, parse the command line, and then
// Check.
type Flags struct {
	Model      string
	Background string
	Precision  layers.Precision

	precision string
	options   func(base generate.Options, tok *tokenizer.Tokenizer, positions int, seed uint64) (generate.Options, error)
}

// AddModel defines the flags of the model.
func (s *Flags) AddModel(f *pflag.FlagSet) {
	f.StringVar(&s.Model, "model", "", "folder or hub name of the model")
	f.StringVar(&s.Background, "background", "", "colour to lay transparent pictures on, as #rrggbb (default: as the model's preprocessor_config.json says)")
	f.StringVar(&s.precision, "precision", "fp32", "of the weights: fp32, or with less memory and more speed bf16 or, in the decoder, int8")
}

// AddGeneration defines the flags of how a model chooses words.
func (s *Flags) AddGeneration(f *pflag.FlagSet) { s.options = generation(f) }

// Check completes the flags; an error is of usage.
func (s *Flags) Check() (err error) {
	if s.Precision, err = layers.ParsePrecision(s.precision); err != nil {
		return cli.Usagef("--%v", err)
	}
	_, err = s.background()
	return err
}

// Load reads the model that the flags name: without a name the newest run of
// finetune, or else the embedded one.
func (s *Flags) Load(ctx context.Context) (*seq2seq.VisionEncoderDecoder, error) {
	name := s.Model
	if name == "" {
		newest, err := train.NewestModel("runs")
		if err != nil {
			return nil, err
		}
		if name = newest; name == "" {
			fmt.Fprintln(os.Stderr, "model: the embedded sample's")
			return sample.Captioner()
		}
		fmt.Fprintf(os.Stderr, "model: %s\n", name)
	}
	return seq2seq.Load(ctx, name, cli.Download())
}

// Generation are a model's own settings, under those of the flags.
func (s *Flags) Generation(m *seq2seq.VisionEncoderDecoder, seed uint64) (generate.Options, error) {
	o, err := s.options(m.Generation, m.Tokenizer, m.Decoder.MaxLength(), seed)
	if err != nil {
		return o, err
	}
	if err := o.Check(m.Decoder.VocabSize(), m.Decoder.MaxLength()); err != nil {
		return o, cli.Usage{Err: err}
	}
	return o, nil
}

// Assist gives options for so many pictures, captioned one at a time, the
// model's own assistant where that saves time, and reports whether it does.
func (s *Flags) Assist(m *seq2seq.VisionEncoderDecoder, o *generate.Options, pictures int) bool {
	tokens := o.MaxNewTokens
	if tokens == 0 {
		tokens = 20
	}
	weights, _ := layers.Count(m.Decoder)
	if o.NumAssistantTokens > 0 && o.NumBeams == 1 && !o.DoSample && assistantPays(s.Precision, weights, pictures*tokens) {
		o.AssistantModel = m.Assistant()
	}
	return o.AssistantModel != nil
}

// assistantPays reports whether it takes less time to make an assistant of a
// decoder with so many weights and to use it for so many new tokens, of all
// pictures together, than to do without. In bfloat16 it does not where the
// weights fit in a cache.
func assistantPays(p layers.Precision, weights, tokens int) bool {
	switch p {
	case layers.Float32:
		return tokens >= 12
	case layers.BFloat16:
		return tokens >= 24 && weights >= 16e6
	}
	return false
}

// Decoder reads pictures as the flags or else the model want transparent ones
// to be read.
func (s *Flags) Decoder(m *seq2seq.VisionEncoderDecoder) vision.Decoder {
	if s.Background == "" {
		return m.Processor.Decoder()
	}
	c, _ := s.background() // was checked
	return vision.Decoder{Background: c}
}

func (s *Flags) background() (color.RGBA, error) {
	c := color.RGBA{A: 255}
	if s.Background == "" {
		return c, nil
	}
	if n, err := fmt.Sscanf(s.Background, "#%02x%02x%02x", &c.R, &c.G, &c.B); n != 3 || err != nil || len(s.Background) != 7 {
		return c, cli.Usagef("--background is %q, expected #rrggbb", s.Background)
	}
	return c, nil
}
