package seq2seq_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// A decoder that this repository does not have, made of what it exports: like
// OPT (Zhang et al., 2022, arXiv:2205.01068), pre-norm with ReLU and positions
// from 2 on, and with cross-attention in every layer.

type outsideConfig struct {
	ModelType string `json:"model_type"`
	VocabSize int    `json:"vocab_size"`
	Positions int    `json:"max_position_embeddings"`
	Dim       int    `json:"hidden_size"`
	Layers    int    `json:"num_hidden_layers"`
	Heads     int    `json:"num_attention_heads"`
}

func init() {
	seq2seq.RegisterDecoder("outside", func(config json.RawMessage) (seq2seq.Decoder, error) {
		var c outsideConfig
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		return newOutside(c, layers.NewRandom(0)), nil
	})
}

type outside struct {
	nn.Module
	Config    outsideConfig
	Tokens    *layers.Embedding `param:"model.decoder.embed_tokens"`
	Positions *layers.Embedding `param:"model.decoder.embed_positions"`
	Layers    []*outsideLayer   `param:"model.decoder.layers"`
	Norm      *layers.LayerNorm `param:"model.decoder.final_layer_norm"`
}

type outsideLayer struct {
	nn.Module
	SelfNorm  *layers.LayerNorm `param:"self_attn_layer_norm"`
	Self      *outsideAttention `param:"self_attn"`
	CrossNorm *layers.LayerNorm `param:"encoder_attn_layer_norm"`
	Cross     *outsideAttention `param:"encoder_attn"`
	MLPNorm   *layers.LayerNorm `param:"final_layer_norm"`
	Up        *layers.Linear    `param:"fc1"`
	Down      *layers.Linear    `param:"fc2"`
}

type outsideAttention struct {
	nn.Module
	Query    *layers.Linear `param:"q_proj"`
	KeyValue *layers.Conv1D `param:"kv_proj"` // side by side
	Out      *layers.Linear `param:"out_proj"`
}

func newOutside(c outsideConfig, random *layers.Random) *outside {
	norm := func() *layers.LayerNorm { return layers.NewLayerNorm[float32](c.Dim, 1e-5) }
	attention := func() *outsideAttention {
		return &outsideAttention{
			Query:    layers.NewLinear[float32](c.Dim, c.Dim, true),
			KeyValue: layers.NewConv1D[float32](c.Dim, 2*c.Dim),
			Out:      layers.NewLinear[float32](c.Dim, c.Dim, true),
		}
	}
	m := &outside{Config: c, Norm: norm(), Tokens: layers.NewEmbedding[float32](c.VocabSize, c.Dim), Positions: layers.NewEmbedding[float32](2+c.Positions, c.Dim)}
	for range c.Layers {
		m.Layers = append(m.Layers, &outsideLayer{
			SelfNorm: norm(), Self: attention(), CrossNorm: norm(), Cross: attention(), MLPNorm: norm(),
			Up: layers.NewLinear[float32](c.Dim, 4*c.Dim, true), Down: layers.NewLinear[float32](4*c.Dim, c.Dim, true),
		})
	}
	for _, p := range layers.Parameters(m) {
		if len(p.Shape) > 1 {
			layers.InitNormal(p.Value, 0.05, random)
		}
	}
	return m
}

func (m *outside) Dim() int         { return m.Config.Dim }
func (m *outside) VocabSize() int   { return m.Config.VocabSize }
func (m *outside) MaxLength() int   { return m.Config.Positions }
func (m *outside) Head() mat.Tensor { return m.Tokens.Weight }
func (m *outside) ModelConfig() any { return m.Config }

// outsideCache remembers keys and values: of tokens, and of the source.
type outsideCache struct {
	*layers.KeyValues
	cross  []mat.Tensor
	source layers.Source
}

func (m *outside) NewCache(sequences int) layers.Cache {
	return &outsideCache{KeyValues: layers.NewKeyValues(m.Config.Layers, sequences, m.Config.Dim)}
}

func (c *outsideCache) Keep(keep []int) {
	c.KeyValues.Keep(keep)
	of := make([]int, len(keep))
	for n, i := range keep {
		if of[n] = i; c.source.Of != nil {
			of[n] = c.source.Of[i]
		}
	}
	c.source.Of = of
}

func (m *outside) Decode(tokens layers.Tokens, source layers.Source, cache layers.Cache, _ *layers.Random) (mat.Tensor, layers.Cache, error) {
	c, _ := cache.(*outsideCache)
	positions := make([]int, len(tokens.IDs))
	for i, span := range tokens.Offsets.Spans() {
		past := 0
		if c != nil {
			past = c.Length(i)
		}
		if n := past + span.End - span.Start; n > m.Config.Positions {
			return nil, nil, fmt.Errorf("sequence %d has %d tokens; there are %d positions", i, n, m.Config.Positions)
		}
		for r := span.Start; r < span.End; r++ {
			positions[r] = 2 + past + r - span.Start
		}
	}
	if err := m.Tokens.Check(tokens.IDs); err != nil {
		return nil, nil, err
	}
	if c != nil {
		if c.cross == nil {
			c.source = source
			for _, l := range m.Layers {
				c.cross = append(c.cross, l.Cross.KeyValue.Forward(source.States, layers.Identity))
			}
		}
		source = c.source
		c.Extend(tokens.Offsets)
	}
	x := layers.Residual(m.Tokens.Forward(tokens.IDs), m.Positions.Forward(positions))
	for i, l := range m.Layers {
		x = layers.Residual(m.attendSelf(i, l, x, tokens.Offsets, c), x)
		x = layers.Residual(m.attendCross(i, l, x, tokens.Offsets, source, c), x)
		source.States = layers.Share(source.States)
		x = layers.MLP(x, l.MLPNorm.Forward(x), l.Up, l.Down, layers.ReLU, 0, nil)
	}
	x = m.Norm.Forward(x)
	if c == nil {
		return x, nil, nil
	}
	return x, c, nil
}

func (m *outside) options(queries layers.Offsets) layers.AttentionOptions {
	return layers.AttentionOptions{NumHeads: m.Config.Heads, Dim: m.Config.Dim, Query: queries.Spans()}
}

func (m *outside) attendSelf(i int, l *outsideLayer, x mat.Tensor, offsets layers.Offsets, c *outsideCache) mat.Tensor {
	h := l.SelfNorm.Forward(x)
	kv := l.Self.KeyValue.Forward(h, layers.Identity)
	k, v := layers.Columns{X: kv}, layers.Columns{X: kv, From: m.Config.Dim}
	o := m.options(offsets)
	o.Causal, o.Source = true, o.Query
	if c != nil {
		layer := c.Layer(i)
		layer.Append(k)
		k, v, o.Source, o.SourceRows = layer.All()
	}
	q := layers.Columns{X: l.Self.Query.Forward(h, layers.Identity)}
	return l.Self.Out.Forward(layers.Attention(q, k, v, o), layers.Identity)
}

func (m *outside) attendCross(i int, l *outsideLayer, x mat.Tensor, offsets layers.Offsets, source layers.Source, c *outsideCache) mat.Tensor {
	q := layers.Columns{X: l.Cross.Query.Forward(l.CrossNorm.Forward(x), layers.Identity)}
	o := m.options(offsets)
	o.Source, o.Of = source.Offsets.Spans(), source.Of
	if c == nil {
		return l.Cross.Out.Forward(layers.CrossAttention(q, source.States, l.Cross.KeyValue, o), layers.Identity)
	}
	k, v := layers.Columns{X: c.cross[i]}, layers.Columns{X: c.cross[i], From: m.Config.Dim}
	return l.Cross.Out.Forward(layers.Attention(q, k, v, o), layers.Identity)
}

func TestADecoderFromOutsideIsTrainedDecodedSavedAndLoaded(t *testing.T) {
	ctx := context.Background()
	m := joinOutside(t)
	trainOutside(t, ctx, m)

	var pictures []vision.Image
	for i := range 3 {
		e, err := emoji.Train().Example(i)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, picture)
	}
	dir := t.TempDir()
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	loaded, err := seq2seq.LoadFS(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := loaded.Decoder.(*outside); !ok {
		t.Fatalf("the loaded decoder is a %T", loaded.Decoder)
	}
	for _, beams := range []int{1, 3} {
		o := m.Generation
		o.NumBeams, o.MaxNewTokens = beams, 12
		said, err := m.Generate(ctx, pictures, o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := loaded.Generate(ctx, pictures, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range said {
			if said[i].Text == "" || said[i].Text != again[i].Text || !slices.Equal(said[i].TokenIDs, again[i].TokenIDs) {
				t.Errorf("%d beams, picture %d: %q before it was saved, %q after", beams, i, said[i].Text, again[i].Text)
			}
			if beams == 1 {
				wantMostProbable(t, m, pictures[i], said[i].TokenIDs)
			}
		}
	}
}

// joinOutside joins the decoder with the embedded ViT; only the ViT is frozen.
func joinOutside(t *testing.T) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	encoder, err := vit.Load(sample.FS(sample.Encoder))
	if err != nil {
		t.Fatal(err)
	}
	processor, err := vision.LoadProcessor(sample.FS(sample.Encoder))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.GPT2().Cut(600)
	if err != nil {
		t.Fatal(err)
	}
	random := layers.NewRandom(1)
	decoder := newOutside(outsideConfig{ModelType: "outside", VocabSize: tok.VocabSize(), Positions: 40, Dim: 48, Layers: 2, Heads: 4}, random)
	m, err := seq2seq.Join(encoder, decoder, processor, tok, random)
	if err != nil {
		t.Fatal(err)
	}
	if err := layers.Trainable(m, "decoder", "enc_to_dec_proj"); err != nil {
		t.Fatal(err)
	}
	return m
}

func trainOutside(t *testing.T, ctx context.Context, m *seq2seq.VisionEncoderDecoder) {
	t.Helper()
	few := datasets.Subset(emoji.Train(), []int{0, 1, 2, 3, 4, 5, 6, 7})
	data, err := train.Pictures(few, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 4, Caption: datasets.FirstCaption})
	if err != nil {
		t.Fatal(err)
	}
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.WarmupSteps = 30, 3e-3, 5
	tr, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 1<<20), data, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	tr.Hooks.Epoch = func(e train.Epoch) error { losses = append(losses, e.TrainLoss); return nil }
	if err := tr.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if first, last := losses[0], losses[len(losses)-1]; !(last < first/4) {
		t.Errorf("the loss fell from %.3f to %.3f only", first, last)
	}
}

// wantMostProbable compares what was decoded with a cache with the scores of
// all tokens at once, without one.
func wantMostProbable(t *testing.T, m *seq2seq.VisionEncoderDecoder, picture vision.Image, ids []int) {
	t.Helper()
	pixels, err := m.Processor.Process(picture)
	if err != nil {
		t.Fatal(err)
	}
	states, err := m.Encode([]vision.Pixels{pixels}, nil)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := m.Logits(layers.Source{Packed: states}, layers.PackTokens(append([]int{m.Tokenizer.BOS()}, ids...)))
	if err != nil {
		t.Fatal(err)
	}
	scores, n := mat.Data[float32](logits.Value().(mat.Matrix)), m.Decoder.VocabSize()
	for i, id := range ids {
		row := scores[i*n : (i+1)*n]
		if best := slices.Max(row); row[id] != best && best-row[id] > 1e-4 {
			t.Errorf("token %d is %d with score %v; the best is %v", i, id, row[id], best)
		}
	}
}

func TestADecoderNobodyRegisteredIsNamed(t *testing.T) {
	m := joinOutside(t)
	dir := t.TempDir()
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	config, err := fs.ReadFile(os.DirFS(dir), "config.json")
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte(`"outside"`), []byte(`"unknown"`), 1)
	if err := os.WriteFile(dir+"/config.json", config, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := seq2seq.LoadFS(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), `"unknown"; known are gpt2, outside`) {
		t.Errorf("the error is %v", err)
	}
}
