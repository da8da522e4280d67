package generate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
)

// searches is the meta.json of testdata/search_*.
type searches struct {
	reference.Meta
	Images   int
	Defaults json.RawMessage
	Runs     []struct {
		Seed      uint64
		Options   json.RawMessage
		Sequences [][]int // with their end tokens
		Scores    []float64
	}
}

func TestSearchesFindWhatTransformersFind(t *testing.T) {
	for _, layersOfDecoder := range []string{"1_layers", "2_layers"} {
		dir := filepath.Join("testdata", "search_"+layersOfDecoder)
		var s searches
		reference.ReadJSON(t, filepath.Join(dir, "meta.json"), &s)
		if len(s.Runs) < 100 {
			t.Fatalf("%s has %d searches, want at least 100", dir, len(s.Runs))
		}
		t.Attr("compared", fmt.Sprintf("%d searches, an option at a time: tokens", len(s.Runs)))
		c := &reference.Case{Dir: dir, Meta: s.Meta}
		m := newModel(t, c)
		for _, run := range s.Runs {
			c.Meta.Weights.Seed = run.Seed
			reference.Draw[float32](t, c, m)
			layers.Freeze(m)
			states, err := m.Encode(pictures(s.Images, run.Seed), nil)
			if err != nil {
				t.Fatal(err)
			}
			o := generate.DefaultOptions()
			o.DecoderStartTokenID, o.EOSTokenID, o.PadTokenID = 12, generate.IDs{12}, 12
			for _, options := range []json.RawMessage{s.Defaults, run.Options} {
				if err := json.Unmarshal(options, &o); err != nil {
					t.Fatal(err)
				}
			}
			got, err := generate.Generate(context.Background(), m.Decoder, layers.Source{Packed: states}, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(run.Sequences) {
				t.Fatalf("seed %d, %s: %d sequences, want %d", run.Seed, run.Options, len(got), len(run.Sequences))
			}
			for i, want := range run.Sequences {
				ended := slices.Contains(o.EOSTokenID, want[len(want)-1])
				if ended {
					want = want[:len(want)-1]
				}
				if !slices.Equal(got[i].Tokens, want) || ended && !got[i].Finished {
					t.Errorf("seed %d, %s, sequence %d: %v, finished %v; want %v, finished %v",
						run.Seed, run.Options, i, got[i].Tokens, got[i].Finished, want, ended)
				}
				if d := math.Abs(got[i].Score - run.Scores[i]); !(d <= 1e-5*math.Abs(run.Scores[i])+1e-6) {
					t.Errorf("seed %d, %s, sequence %d: score %v, want %v", run.Seed, run.Options, i, got[i].Score, run.Scores[i])
				}
			}
		}
	}
}

func newModel(t *testing.T, c *reference.Case) *seq2seq.EncoderDecoder[vision.Pixels] {
	t.Helper()
	var config struct {
		Encoder vit.Config
		Decoder gpt2.Config
	}
	c.Config(t, &config)
	encoder, err := vit.New[float32](config.Encoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	encoder.Pooler = nil // transformers made none
	decoder, err := gpt2.New[float32](config.Decoder, layers.NewRandom(0))
	if err != nil {
		t.Fatal(err)
	}
	return seq2seq.NewEncoderDecoder[float32](seq2seq.Encoder[vision.Pixels](encoder), decoder, layers.NewRandom(0))
}

func pictures(n int, seed uint64) []vision.Pixels {
	const size = 12
	values := reference.Fill("pixels", n*3*size*size, 1.7, seed)
	out := make([]vision.Pixels, n)
	for i := range out {
		out[i] = vision.Pixels{Height: size, Width: size, Data: values[i*3*size*size:][:3*size*size]}
	}
	return out
}
