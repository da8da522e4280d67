package gpt2

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

// each runs a subtest for each combination of variants.
func each(t *testing.T, test func(t *testing.T, v Variants)) {
	for _, text := range []string{"plain", "gated", "layer_scale", "qk_norm", "qk_norm+gated", "layer_scale+qk_norm"} {
		v, err := ParseVariants(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) { test(t, v) })
	}
}

func small(v Variants) Config {
	c := DefaultConfig()
	c.VocabSize, c.NumPositions, c.Dim, c.NumLayers, c.NumHeads = 37, 20, 12, 2, 3
	c.AddCrossAttention, c.IsDecoder, c.CrossAttentionType = true, true, v
	return c
}

// opened draws a model, the extras too, so that none of them is idle.
func opened[T float.DType](t *testing.T, v Variants) *Model {
	t.Helper()
	m, err := New[T](small(v), layers.NewRandom(4))
	if err != nil {
		t.Fatal(err)
	}
	random := layers.NewRandom(5)
	for _, p := range layers.Parameters(m) {
		if strings.Contains(p.Name, "crossattention") {
			layers.InitNormal(p.Value, 0.5, random)
		}
	}
	return m
}

// looks are a few sequences and two pictures for them.
func looks[T float.DType]() (layers.Tokens, layers.Source) {
	x := make([]T, 9*12)
	random := layers.NewRandom(6)
	for i := range x {
		x[i] = T(random.Normal())
	}
	states := mat.NewDense[T](mat.WithShape(9, 12), mat.WithBacking(x))
	return layers.PackTokens([]int{1, 2, 3, 4}, []int{5}, []int{6, 7, 8}), layers.Source{
		Packed: layers.Packed{States: states, Offsets: layers.OffsetsOf(4, 5)}, Of: []int{1, 0, 1},
	}
}

func logitsOf[T float.DType](t *testing.T, m *Model) []float64 {
	t.Helper()
	tokens, source := looks[T]()
	x, _, err := m.Decode(tokens, source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return reference.Float64s(layers.MatMulT(x, m.Head()))
}

func extraNames(m *Model) []string {
	var names []string
	for _, p := range layers.Parameters(m) {
		if strings.HasPrefix(p.Name, "transformer.h.1.crossattention.") && !strings.HasSuffix(p.Name, "weight") && !strings.HasSuffix(p.Name, "bias") {
			names = append(names, strings.TrimPrefix(p.Name, "transformer.h.1.crossattention."))
		}
	}
	return names
}

func TestTheExtrasOfAVariantAreTrainedWithTheCrossAttention(t *testing.T) {
	for text, want := range map[string][]string{
		"plain": nil, "gated": {"gate"}, "layer_scale": {"layer_scale"}, "qk_norm": {"qk_gain"}, "qk_norm+gated": {"qk_gain", "gate"},
	} {
		v, err := ParseVariants(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New[float32](small(v), layers.NewRandom(1))
		if err != nil {
			t.Fatal(err)
		}
		if got := extraNames(m); !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", text, got, want)
		}
		if err := layers.Trainable(m, "crossattention"); err != nil {
			t.Fatal(err)
		}
		for _, p := range layers.Parameters(m) {
			if want := strings.Contains(p.Name, ".crossattention."); p.Value.RequiresGrad() != want {
				t.Errorf("%s: %s is trained: %v", text, p.Name, !want)
			}
		}
	}
}

func TestVariantsStartAsTheirPapersSay(t *testing.T) {
	for _, c := range []struct {
		variant Variant
		name    string
		layers  int
		want    float64
	}{{Gated, "gate", 2, 0}, {LayerScale, "layer_scale", 18, 0.1}, {LayerScale, "layer_scale", 24, 1e-5}, {LayerScale, "layer_scale", 25, 1e-6}, {QKNorm, "qk_gain", 2, 1}} {
		config := small(Variants{c.variant})
		config.NumLayers = c.layers
		m, err := New[float32](config, layers.NewRandom(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range layers.Parameters(m) {
			if !strings.HasSuffix(p.Name, "crossattention."+c.name) {
				continue
			}
			for _, x := range reference.Float64s(p.Value) {
				if math.Abs(x-c.want) > 1e-8 {
					t.Errorf("%s of %d blocks starts at %g, want %g", p.Name, c.layers, x, c.want)
				}
			}
		}
	}
}

func TestAClosedGateLeavesTheLanguageModelAsItWas(t *testing.T) {
	m, err := New[float32](small(Variants{Gated}), layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	tokens, source := looks[float32]()
	with, _, err := m.Decode(tokens, source, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	without, _, err := m.Decode(tokens, layers.Source{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(reference.Float64s(with), reference.Float64s(without)) {
		t.Error("the pictures change the hidden states")
	}
}

func TestFoldedModelsGiveTheSameLogits(t *testing.T) {
	each(t, func(t *testing.T, v Variants) {
		t.Run("float32", func(t *testing.T) { testFolded[float32](t, v, 2e-6) })
		t.Run("float64", func(t *testing.T) { testFolded[float64](t, v, 1e-14) })
	})
}

func testFolded[T float.DType](t *testing.T, v Variants, tolerance float64) {
	m := opened[T](t, v)
	before := logitsOf[T](t, m)
	folded := m.Folded().(*Model)
	reference.CompareSlices(t, "logits", logitsOf[T](t, folded), before, tolerance)
	if !slices.Equal(logitsOf[T](t, m), before) {
		t.Error("folding changed the model itself")
	}
	var want []string // what cannot be folded
	if v.has(QKNorm) {
		want = []string{"qk_gain"}
	}
	if got := extraNames(folded); !slices.Equal(got, want) {
		t.Errorf("folded, %s has %q, want %q", v, got, want)
	}
	if plain := folded.Extras() == ""; plain != !v.has(QKNorm) || m.Extras() == "" != (len(v) == 0) {
		t.Errorf("%s: extras %q, folded %q", v, m.Extras(), folded.Extras())
	}
}

func TestDecodingWithACacheGivesTheSameHiddenStates(t *testing.T) {
	each(t, func(t *testing.T, v Variants) {
		m := opened[float64](t, v)
		layers.Freeze(m)
		_, source := looks[float64]()
		sequences := [][]int{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}
		all, _, err := m.Decode(layers.PackTokens(sequences...), source, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := reference.Float64s(all)
		cache := m.NewCache(3)
		for i := range 4 {
			x, c, err := m.Decode(layers.PackTokens(sequences[0][i:i+1], sequences[1][i:i+1], sequences[2][i:i+1]), source, cache, nil)
			if err != nil {
				t.Fatal(err)
			}
			cache, source = c, layers.Source{}
			for s := range 3 {
				got := reference.Float64s(x)[s*12 : (s+1)*12]
				reference.CompareSlices(t, fmt.Sprintf("sequence %d, token %d", s, i), got, want[(s*4+i)*12:(s*4+i+1)*12], 1e-12)
			}
		}
	})
}

func TestAttentionMapsAreThoseThatTheStatesAreMadeOf(t *testing.T) {
	each(t, func(t *testing.T, v Variants) {
		m := opened[float64](t, v)
		tokens, source := looks[float64]()
		maps, err := m.CrossAttentions(tokens, source)
		if err != nil {
			t.Fatal(err)
		}
		// Of the first block, from the definition.
		b := m.Transformer.Blocks[0]
		x := m.embed(tokens, nil, nil)
		x = b.Attn.Forward(x, b.LN1.Forward(x), tokens.Offsets, nil, nil)
		q := reference.Float64s(b.CrossAttention.QAttn.Forward(b.LNCrossAttn.Forward(x), layers.Identity))
		kv := reference.Float64s(b.CrossAttention.CAttn.Forward(source.States, layers.Identity))
		const heads, width = 3, 4
		for s := range tokens.Offsets.Len() {
			item := source.Of[s]
			keys := source.Offsets[item+1] - source.Offsets[item]
			var want []float64
			for h := range heads {
				for r := tokens.Offsets[s]; r < tokens.Offsets[s+1]; r++ {
					scores := make([]float64, keys)
					for k := range scores {
						query := q[r*12+h*width:][:width]
						key := kv[(source.Offsets[item]+k)*24+h*width:][:width]
						scores[k] = dot(query, key) / 2
						if v.has(QKNorm) {
							gain := reference.Float64s(b.CrossAttention.Norm.Gain)[h]
							scores[k] *= gain / math.Sqrt((dot(query, query)/width+1e-6)*(dot(key, key)/width+1e-6))
						}
					}
					want = append(want, softmax(scores)...)
				}
			}
			reference.CompareSlices(t, fmt.Sprintf("sequence %d", s), maps[s][0], want, 1e-6)
		}
	})
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func softmax(x []float64) []float64 {
	sum := 0.0
	for i := range x {
		x[i] = math.Exp(x[i])
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
	return x
}

func TestAVariantIsChosenWhenTheCrossAttentionIsInitialised(t *testing.T) {
	each(t, func(t *testing.T, v Variants) {
		dir := t.TempDir()
		c := small(nil)
		c.AddCrossAttention = false
		language, err := New[float32](c, layers.NewRandom(1))
		if err != nil {
			t.Fatal(err)
		}
		save(t, dir, language)
		m, err := Load(os.DirFS(dir), WithCrossAttention(layers.NewRandom(2), v...))
		if err != nil {
			t.Fatal(err)
		}
		if !m.Config.CrossAttentionType.equal(v) {
			t.Errorf("it is %s, want %s", m.Config.CrossAttentionType, v)
		}
		if m.Transformer.Blocks[1].CrossAttention.QAttn.Weight.Data().F64()[0] == 0 {
			t.Error("its weights are not drawn")
		}
		// Saved, it carries its variant, and keeps it when asked for a cross-attention of any kind.
		save(t, dir, m)
		for _, options := range [][]LoadOption{nil, {WithCrossAttention(layers.NewRandom(3))}, {WithCrossAttention(layers.NewRandom(3), append(Variants{}, orPlain(v)...)...)}} {
			again, err := Load(os.DirFS(dir), options...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logitsOf[float32](t, again), logitsOf[float32](t, m)) {
				t.Errorf("with %d options the loaded model computes something else", len(options))
			}
		}
		other := LayerScale
		if v.has(LayerScale) {
			other = Gated
		}
		if _, err := Load(os.DirFS(dir), WithCrossAttention(layers.NewRandom(3), other)); err == nil || !strings.Contains(err.Error(), v.String()) {
			t.Errorf("asked for another variant: error %v", err)
		}
	})
}

func orPlain(v Variants) Variants {
	if len(v) == 0 {
		return Variants{Plain}
	}
	return v
}

func save(t *testing.T, dir string, m *Model) {
	t.Helper()
	if err := weights.Save(dir, m, ""); err != nil {
		t.Fatal(err)
	}
	if err := hfconfig.Write(dir, "config.json", m.Config); err != nil {
		t.Fatal(err)
	}
}

func TestVariantsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "known are",
		"gatde":             "known are",
		"gated+gated":       "twice",
		"plain+gated":       "nothing else",
		"gated+layer_scale": "both",
	} {
		if _, err := ParseVariants(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
		file, err := json.Marshal(map[string]string{"cross_attention_type": text})
		if err != nil {
			t.Fatal(err)
		}
		var c Config
		err = hfconfig.Read(fstest.MapFS{"config.json": {Data: file}}, "config.json", &c)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cross_attention_type") {
			t.Errorf("config.json with %q: error %v", text, err)
		}
	}
}

func TestAPlainConfigurationHasNoFieldForIt(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(`{"cross_attention_type": "gated", "add_cross_attention": true}`), &c); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got := text(); !strings.Contains(got, `"cross_attention_type":"gated"`) {
		t.Errorf("a gated one is %s", got)
	}
	c.CrossAttentionType = nil
	if got := text(); strings.Contains(got, "cross_attention_type") {
		t.Errorf("a plain one is %s", got)
	}
}
