package seq2seq_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

var (
	caseFlag = flag.String("case", "testdata/checkpoint", "the `folder` of the golden checkpoint; internal/reference/fidelity.py makes one of full size")
	saveFlag = flag.String("save", "", "an empty `folder` for what TestASavedCheckpointIsTheSame and TestASavedModelWithExtrasIsFolded save; internal/reference/roundtrip.py reads it")
)

// captioner is the meta.json of a golden checkpoint.
type captioner struct {
	Captions []string // of the pictures
	Said     []struct {
		Options   json.RawMessage
		Sequences [][]int // with start token and padding
		Captions  []string
	}
}

func TestACheckpointComputesWhatTransformersCompute(t *testing.T) {
	c := reference.Open(t, *caseFlag)
	m := load(t, c.Dir)
	for _, p := range layers.Parameters(m) {
		p.Value.SetRequiresGrad(c.Has("grad." + p.Name))
	}
	compare(t, c, &m.EncoderDecoder, 1e-5, 1e-6, 1e-5)
}

func TestACheckpointPreparesPicturesAndCaptionsAsTransformersDo(t *testing.T) {
	c := reference.Open(t, *caseFlag)
	m := load(t, c.Dir)
	var meta captioner
	reference.ReadJSON(t, filepath.Join(c.Dir, "meta.json"), &meta)
	var pixels []float32
	for _, picture := range open(t, c.Dir, len(meta.Captions)) {
		p, err := m.Processor.Process(picture)
		if err != nil {
			t.Fatal(err)
		}
		pixels = append(pixels, p.Data...)
	}
	reference.Compare(t, c, "pixel_values", pixels, 0)

	var sequences [][]int
	for _, caption := range meta.Captions {
		sequences = append(sequences, m.Tokenizer.EncodeCaption(caption, 0))
	}
	tokens, labels, err := seq2seq.Shift(sequences)
	if err != nil {
		t.Fatal(err)
	}
	if want := c.Ints(t, "input_ids"); !slices.Equal(tokens.IDs, want) {
		t.Errorf("the decoder's input is %v, want %v", tokens.IDs, want)
	}
	if want := c.Ints(t, "targets"); !slices.Equal(labels, want) {
		t.Errorf("the labels are %v, want %v", labels, want)
	}
	if want := c.Ints(t, "offsets"); !slices.Equal(tokens.Offsets, want) {
		t.Errorf("the offsets are %v, want %v", tokens.Offsets, want)
	}
}

func TestACheckpointSaysWhatItSaysInTransformers(t *testing.T) {
	c := reference.Open(t, *caseFlag)
	m := load(t, c.Dir)
	var meta captioner
	reference.ReadJSON(t, filepath.Join(c.Dir, "meta.json"), &meta)
	if len(meta.Said) == 0 {
		t.Fatal("the case says nothing")
	}
	compareSaid(t, m, meta, c.Dir)
	t.Attr("compared", fmt.Sprintf("%d captions of a true checkpoint, by greedy and beam search", len(meta.Said)*len(meta.Captions)))
}

// The folder has the same model in the files of transformers 4.15: a pickle with mask buffers, no tokenizer.json, no
// generation_config.json, and configurations with other fields.
func TestACheckpointOf2022IsTheSameModel(t *testing.T) {
	const dir = "testdata/checkpoint"
	m, now := load(t, dir+"_of_2022"), load(t, dir)
	compareParameters(t, m, now)
	if !reflect.DeepEqual(m.Processor, now.Processor) {
		t.Errorf("the processor is %+v, want %+v", m.Processor, now.Processor)
	}
	var meta captioner
	reference.ReadJSON(t, filepath.Join(dir, "meta.json"), &meta)
	compareSaid(t, m, meta, dir)
}

// compareSaid holds the captions of the pictures in a folder to those of transformers.
func compareSaid(t *testing.T, m *seq2seq.VisionEncoderDecoder, meta captioner, dir string) {
	t.Helper()
	for _, said := range meta.Said {
		o := m.Generation
		if err := json.Unmarshal(said.Options, &o); err != nil {
			t.Fatal(err)
		}
		got, err := m.Generate(context.Background(), open(t, dir, len(said.Captions)), o)
		if err != nil {
			t.Fatal(err)
		}
		for i, caption := range got {
			want := said.Sequences[i][1:]
			if end := slices.Index(want, m.Tokenizer.EOS()); end >= 0 {
				want = want[:end]
			}
			if !slices.Equal(caption.TokenIDs, want) {
				t.Errorf("%s: picture %d has tokens %v, want %v", said.Options, i, caption.TokenIDs, want)
			}
			if want := strings.TrimSpace(said.Captions[i]); caption.Text != want {
				t.Errorf("%s: picture %d is %q, want %q", said.Options, i, caption.Text, want)
			}
		}
	}
}

func TestASavedCheckpointIsTheSame(t *testing.T) {
	c := reference.Open(t, *caseFlag)
	m := load(t, c.Dir)
	dir := *saveFlag
	if dir == "" {
		dir = t.TempDir()
	}
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	again := load(t, dir)
	compareParameters(t, again, m)

	said := writeGo(t, dir, c.Dir, again)
	for i, picture := range open(t, c.Dir, len(said.IDs)) {
		if !slices.Equal(logitsOf(t, m, picture, said.IDs[i]), said.Logits[i]) {
			t.Errorf("picture %d: the saved model computes other logits", i)
		}
	}
}

// A gate and a layer scale are folded when the model is saved, so that transformers can load it.
func TestASavedModelWithExtrasIsFolded(t *testing.T) {
	c := reference.Open(t, *caseFlag)
	for _, v := range []gpt2.Variant{gpt2.Gated, gpt2.LayerScale} {
		t.Run(string(v), func(t *testing.T) {
			m := load(t, c.Dir)
			addOutputScale(t, m, v)
			dir := filepath.Join(*saveFlag, string(v))
			if *saveFlag == "" {
				dir = t.TempDir()
			}
			warn := func(message string) { t.Errorf("warned of %s", message) }
			if err := m.Save(dir, seq2seq.SaveOptions{Warn: warn}); err != nil {
				t.Fatal(err)
			}
			said := writeGo(t, dir, c.Dir, load(t, dir))
			plain := load(t, c.Dir)
			for i, picture := range open(t, c.Dir, len(said.IDs)) {
				want := logitsOf(t, m, picture, said.IDs[i])
				reference.CompareSlices(t, fmt.Sprintf("logits of picture %d", i), said.Logits[i], want, 2e-6)
				if slices.Equal(logitsOf(t, plain, picture, said.IDs[i]), want) {
					t.Error("the extras do nothing, so the test shows nothing")
				}
			}
		})
	}
}

// addOutputScale gives the cross-attention of a plain model drawn extras.
func addOutputScale(t *testing.T, m *seq2seq.VisionEncoderDecoder, v gpt2.Variant) {
	t.Helper()
	d := m.Decoder.(*gpt2.Model)
	config := d.Config
	config.CrossAttentionType = gpt2.Variants{v}
	extended, err := gpt2.New[float32](config, layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	d.Config = config
	random := layers.NewRandom(2)
	for i, b := range d.Transformer.Blocks {
		b.CrossAttention.Output = extended.Transformer.Blocks[i].CrossAttention.Output
		for _, p := range layers.Parameters(b.CrossAttention.Output) {
			layers.InitNormal(p.Value, 0.7, random)
		}
	}
}

// goSaid is go.json, which internal/reference/roundtrip.py reads.
type goSaid struct {
	MaxNewTokens int         `json:"max_new_tokens"`
	Pictures     []string    `json:"pictures"`
	Captions     []string    `json:"captions"`
	IDs          [][]int     `json:"input_ids"`
	Logits       [][]float64 `json:"logits"`
}

// writeGo writes to the folder that m was loaded from what m says of the first pictures of another folder, and them.
func writeGo(t *testing.T, dir, from string, m *seq2seq.VisionEncoderDecoder) goSaid {
	t.Helper()
	const n = 3
	said := goSaid{MaxNewTokens: 10}
	pictures := open(t, from, n)
	o := m.Generation
	o.MaxNewTokens = said.MaxNewTokens
	generated, err := m.Generate(context.Background(), pictures, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range generated {
		name := fmt.Sprintf("picture-%d.png", i)
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
		fed := append([]int{m.Generation.DecoderStartTokenID}, g.TokenIDs...)
		said.Pictures, said.Captions = append(said.Pictures, name), append(said.Captions, g.Text)
		said.IDs, said.Logits = append(said.IDs, fed), append(said.Logits, logitsOf(t, m, pictures[i], fed))
	}
	data, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	return said
}

func compareParameters(t *testing.T, got, want *seq2seq.VisionEncoderDecoder) {
	t.Helper()
	ours, theirs := layers.Parameters(got), layers.Parameters(want)
	if len(ours) != len(theirs) {
		t.Fatalf("%d parameters, want %d", len(ours), len(theirs))
	}
	for i, p := range ours {
		if p.Name != theirs[i].Name || !slices.Equal(p.Shape, theirs[i].Shape) ||
			!slices.Equal(reference.Float64s(p.Value), reference.Float64s(theirs[i].Value)) {
			t.Errorf("%s %v differs from %s %v", p.Name, p.Shape, theirs[i].Name, theirs[i].Shape)
		}
	}
}

func logitsOf(t *testing.T, m *seq2seq.VisionEncoderDecoder, picture vision.Image, ids []int) []float64 {
	t.Helper()
	pixels, err := m.Processor.Process(picture)
	if err != nil {
		t.Fatal(err)
	}
	states, err := m.Encode([]vision.Pixels{pixels}, nil)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := m.Logits(layers.Source{Packed: states}, layers.PackTokens(ids))
	if err != nil {
		t.Fatal(err)
	}
	return reference.Float64s(logits)
}

func load(t *testing.T, dir string) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	m, err := seq2seq.LoadFS(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// open reads the first n pictures of a golden checkpoint.
func open(t *testing.T, dir string, n int) []vision.Image {
	t.Helper()
	var out []vision.Image
	for i := range n {
		picture, err := vision.Open(filepath.Join(dir, fmt.Sprintf("picture-%d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, picture)
	}
	return out
}
