package seq2seq

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"strings"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// VisionEncoderDecoder puts pictures into words: an image processor, an
// encoder, a decoder and a tokenizer. In Hugging Face's terms it is a
// VisionEncoderDecoderModel with all the files of its folder.
type VisionEncoderDecoder struct {
	EncoderDecoder[vision.Pixels] `param:""`
	Processor                     *vision.Processor
	Tokenizer                     *tokenizer.Tokenizer
	// Generation are the model's own settings, from generation_config.json.
	Generation generate.Options

	raw hfconfig.Raw // fields of config.json that are not used here
}

// config is the config.json of a VisionEncoderDecoderModel.
type config struct {
	Architectures       []string        `json:"architectures"`
	ModelType           string          `json:"model_type"`
	IsEncoderDecoder    bool            `json:"is_encoder_decoder"`
	TieWordEmbeddings   bool            `json:"tie_word_embeddings"`
	Encoder             json.RawMessage `json:"encoder"`
	Decoder             json.RawMessage `json:"decoder"`
	DecoderStartTokenID *int            `json:"decoder_start_token_id,omitempty"`
	EOSTokenID          *int            `json:"eos_token_id,omitempty"`
	PadTokenID          *int            `json:"pad_token_id,omitempty"`
	// NotInTransformers says what transformers would miss.
	NotInTransformers string `json:"not_in_transformers,omitempty"`
}

// Join makes a captioner of two pretrained models. A projection between
// different widths is drawn from random. Which parameters are trained stays
// as it was, but the projection is, being new.
func Join(encoder Encoder[vision.Pixels], decoder Decoder, processor *vision.Processor, tok *tokenizer.Tokenizer, random *layers.Random) (*VisionEncoderDecoder, error) {
	if n := tok.VocabSize(); n > decoder.VocabSize() {
		return nil, fmt.Errorf("the tokenizer has %d tokens, the decoder only %d", n, decoder.VocabSize())
	}
	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.EOSTokenID, o.PadTokenID, o.Text = tok.BOS(), generate.IDs{tok.EOS()}, tok.Pad(), tok
	return &VisionEncoderDecoder{
		EncoderDecoder: *NewEncoderDecoder[float32](encoder, decoder, random),
		Processor:      processor, Tokenizer: tok, Generation: o,
	}, nil
}

// LoadFS reads a captioner from a Hugging Face folder: config.json, weights,
// preprocessor_config.json, tokenizer files and, if there, generation_config.json.
// Every tensor must be there in its shape; the error lists those that are
// not. All parameters come frozen: see [layers.Trainable].
//
// Large float32 weights of safetensors stay in their file, which is mapped
// into memory, until they are used or trained: do not overwrite it in place
// while the model is in use. Saving a model there is fine.
func LoadFS(fsys fs.FS) (*VisionEncoderDecoder, error) {
	var c config
	var raw hfconfig.Raw
	if err := hfconfig.Read(fsys, "config.json", &raw); err != nil {
		return nil, err
	}
	if err := hfconfig.Read(fsys, "config.json", &c); err != nil {
		return nil, err
	}
	if c.ModelType != "vision-encoder-decoder" {
		return nil, fmt.Errorf("config.json: model_type is %q, expected %q; for an encoder and a decoder of their own, join two folders", c.ModelType, "vision-encoder-decoder")
	}
	m := &VisionEncoderDecoder{raw: raw}
	if err := m.build(c); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	// The tokenizer's files keep one processor busy, the weights wait for memory.
	var reading sync.WaitGroup
	var noTokenizer error
	reading.Go(func() { m.Tokenizer, noTokenizer = tokenizer.Load(fsys) })
	_, err := weights.Load(fsys, m, m.mayLack)
	reading.Wait()
	if err != nil {
		return nil, err
	}
	layers.Freeze(m)
	if m.Processor, err = vision.LoadProcessor(fsys); err != nil {
		return nil, err
	}
	if noTokenizer != nil {
		return nil, noTokenizer
	}
	if n := m.Tokenizer.VocabSize(); n > m.Decoder.VocabSize() {
		return nil, fmt.Errorf("the tokenizer has %d tokens, the decoder only %d", n, m.Decoder.VocabSize())
	}
	return m, m.loadGeneration(fsys, c)
}

// build makes the two models, with weights yet to be read.
func (m *VisionEncoderDecoder) build(c config) error {
	encoder, err := newEncoder(c.Encoder)
	if err != nil {
		return fmt.Errorf("encoder: %w", err)
	}
	decoder, err := newDecoder(c.Decoder)
	if err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	m.EncoderDecoder = *NewEncoderDecoder[float32](encoder, decoder, layers.NewRandom(0))
	return nil
}

// loadGeneration reads generation_config.json; where neither it nor
// config.json names a token, the tokenizer's is used.
func (m *VisionEncoderDecoder) loadGeneration(fsys fs.FS, c config) (err error) {
	o := generate.DefaultOptions()
	if c.DecoderStartTokenID != nil {
		o.DecoderStartTokenID = *c.DecoderStartTokenID
	}
	if c.EOSTokenID != nil {
		o.EOSTokenID = generate.IDs{*c.EOSTokenID}
	}
	if c.PadTokenID != nil {
		o.PadTokenID = *c.PadTokenID
	}
	if m.Generation, err = generate.LoadOptions(fsys, o); err != nil {
		return err
	}
	m.Generation.Text = m.Tokenizer
	if m.Generation.DecoderStartTokenID < 0 {
		m.Generation.DecoderStartTokenID = m.Tokenizer.BOS()
	}
	if m.Generation.EOSTokenID == nil {
		m.Generation.EOSTokenID = generate.IDs{m.Tokenizer.EOS()}
	}
	if m.Generation.PadTokenID < 0 {
		m.Generation.PadTokenID = m.Tokenizer.Pad()
	}
	return nil
}

// CheckpointName maps a tensor of a checkpoint to the parameter that it is,
// as the encoder and the decoder do theirs.
func (m *VisionEncoderDecoder) CheckpointName(tensor string) (string, bool) {
	for _, part := range []struct {
		prefix string
		model  any
	}{{"encoder.", m.Encoder}, {"decoder.", m.Decoder}} {
		rest, ok := strings.CutPrefix(tensor, part.prefix)
		if !ok {
			continue
		}
		if r, ok := part.model.(weights.Renamer); ok {
			name, used := r.CheckpointName(rest)
			return part.prefix + name, used
		}
	}
	return tensor, true
}

func (m *VisionEncoderDecoder) mayLack(name string) bool {
	rest, ok := strings.CutPrefix(name, "encoder.")
	l, lacks := m.Encoder.(interface{ MayLack(string) bool })
	return ok && lacks && l.MayLack(rest)
}

// configured is implemented by models that can be saved.
type configured interface {
	// ModelConfig is what config.json says of the model; it must marshal to a
	// JSON object with a model_type.
	ModelConfig() any
}

// SaveOptions say how a model is stored.
type SaveOptions struct {
	DType string // "F32" (the default, ""), "F16" or "BF16"
	// KeepExtras saves what transformers has no place for as it is, where it
	// could be folded into other weights: to go on training it.
	KeepExtras bool
	// Warn is told if transformers cannot load the model for what it is; nil:
	// slog.Warn.
	Warn func(message string)
}

// Save writes a folder that transformers loads with no missing and no
// unexpected keys, and [Load] as well: weights, configurations and tokenizer.
// Each file replaces its predecessor only when it is complete, config.json at
// last.
//
// A decoder's extras, such as the cross-attention of [gpt2.Gated], are folded
// into other weights where that is exact. Those that are left only [Load]
// understands: they stand in config.json, and o.Warn is told.
func (m *VisionEncoderDecoder) Save(dir string, o SaveOptions) error {
	if !o.KeepExtras {
		m = m.folded()
	}
	left := m.missedByTransformers()
	if left != "" {
		o.warn(dir, left)
	}
	encoder, ok1 := m.Encoder.(configured)
	decoder, ok2 := m.Decoder.(configured)
	if !ok1 || !ok2 {
		return errors.New("seq2seq: a model without ModelConfig cannot be saved")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := weights.Save(dir, m, safetensors.DType(o.DType)); err != nil {
		return err
	}
	c, err := m.config(encoder, decoder, left)
	if err != nil {
		return err
	}
	if err := m.Processor.Save(dir); err != nil {
		return err
	}
	if err := m.Tokenizer.Save(dir); err != nil {
		return err
	}
	if err := m.Generation.Save(dir); err != nil {
		return err
	}
	return hfconfig.Write(dir, "config.json", c) // the last: where it is, all is
}

// config is what config.json becomes.
func (m *VisionEncoderDecoder) config(encoder, decoder configured, notInTransformers string) (hfconfig.Raw, error) {
	c := config{
		Architectures: []string{"VisionEncoderDecoderModel"}, ModelType: "vision-encoder-decoder", IsEncoderDecoder: true,
		DecoderStartTokenID: &m.Generation.DecoderStartTokenID, PadTokenID: &m.Generation.PadTokenID,
		NotInTransformers: notInTransformers,
	}
	if len(m.Generation.EOSTokenID) > 0 {
		c.EOSTokenID = &m.Generation.EOSTokenID[0]
	}
	var err error
	if c.Encoder, err = json.Marshal(encoder.ModelConfig()); err != nil {
		return nil, err
	}
	if c.Decoder, err = json.Marshal(decoder.ModelConfig()); err != nil {
		return nil, err
	}
	raw := maps.Clone(m.raw)
	delete(raw, "not_in_transformers") // what the file said is not true any more
	return raw.With(c)
}

// Caption is what a model says of a picture.
type Caption struct {
	Text     string
	TokenIDs []int   // without start and end
	Score    float64 // log-probability, as generate.Sequence has it
}

// Generate puts each picture into words; with o.NumReturnSequences above 1,
// as many captions of the first picture come first, and so on. Start from the
// model's own settings, [VisionEncoderDecoder.Generation].
//
// o.Prefix are the tokens that every caption begins with, such as
// m.Tokenizer.Encode("a photo of"); the text has them, too. With o.DoSample a
// picture draws by o.Seed and its pixels, unless o.Items is set: what it gets
// does not depend on the other pictures nor on their order, and the same
// picture gets the same.
func (m *VisionEncoderDecoder) Generate(ctx context.Context, pictures []vision.Image, o generate.Options) ([]Caption, error) {
	pixels := make([]vision.Pixels, len(pictures))
	for i, p := range pictures {
		var err error
		if pixels[i], err = m.Processor.Process(p); err != nil {
			return nil, fmt.Errorf("picture %d: %w", i, err)
		}
	}
	return m.GenerateFromPixels(ctx, pixels, o)
}

// GenerateFromPixels is [VisionEncoderDecoder.Generate] for pictures that the
// processor has prepared.
func (m *VisionEncoderDecoder) GenerateFromPixels(ctx context.Context, pixels []vision.Pixels, o generate.Options) (captions []Caption, err error) {
	err = layers.WithoutGradients(m, func() error {
		states, err := m.Encode(pixels, nil)
		if err != nil {
			return err
		}
		captions, err = m.GenerateFromStates(ctx, pixels, states, o)
		return err
	})
	return captions, err
}

// GenerateFromStates is [VisionEncoderDecoder.Generate] for pictures that are
// encoded already, since something else needs their states too: states are
// what Encode made of the pixels. It builds no graph only if the decoder is
// frozen, or within [layers.WithoutGradients].
func (m *VisionEncoderDecoder) GenerateFromStates(ctx context.Context, pixels []vision.Pixels, states layers.Packed, o generate.Options) ([]Caption, error) {
	sequences, err := generate.Generate(ctx, m.Decoder, layers.Source{Packed: states}, m.own(o, pixels))
	var captions []Caption
	for _, s := range sequences {
		captions = append(captions, Caption{Text: strings.TrimSpace(m.Tokenizer.Decode(s.Tokens, true)), TokenIDs: s.Tokens, Score: s.Score})
	}
	return captions, err
}

// own completes options: the tokenizer, and a number for each picture.
func (m *VisionEncoderDecoder) own(o generate.Options, pixels []vision.Pixels) generate.Options {
	if o.Text == nil {
		o.Text = m.Tokenizer
	}
	if o.Items == nil && o.DoSample {
		for _, p := range pixels {
			o.Items = append(o.Items, number(p))
		}
	}
	return o
}

// number is a picture's own, the same wherever and whenever it is captioned.
func number(p vision.Pixels) uint64 {
	h, buffer := sha256.New(), make([]byte, 0, 1<<14)
	buffer = binary.LittleEndian.AppendUint64(buffer, uint64(p.Width))
	for _, x := range p.Data {
		if buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(x)); len(buffer) > cap(buffer)-4 {
			h.Write(buffer)
			buffer = buffer[:0]
		}
	}
	h.Write(buffer)
	return binary.LittleEndian.Uint64(h.Sum(nil))
}
