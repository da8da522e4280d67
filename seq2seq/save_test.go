package seq2seq_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// tinyPixels are the first n tiny pictures as the model takes them.
func tinyPixels(t *testing.T, m *seq2seq.VisionEncoderDecoder, n int) []vision.Pixels {
	t.Helper()
	out := make([]vision.Pixels, n)
	for i := range out {
		img, _ := tiny.Picture(i)
		var err error
		if out[i], err = m.Processor.Process(vision.FromImage(img)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// logits of a few tokens of three pictures.
func logits(t *testing.T, m *seq2seq.VisionEncoderDecoder) []float32 {
	t.Helper()
	states, err := m.Encode(tinyPixels(t, m, 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Logits(layers.Source{Packed: states}, layers.PackTokens([]int{599, 64, 300}, []int{599}, []int{599, 1, 2, 3, 4}))
	if err != nil {
		t.Fatal(err)
	}
	return mat.Data[float32](got.Value())
}

func reload(t *testing.T, dir string) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	m, err := seq2seq.Load(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// farthest is the largest difference, with -1 for vectors that are equal to the bit.
func farthest(a, b []float32) float64 {
	if slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) {
		return -1
	}
	d := math.Inf(1)
	if len(a) == len(b) {
		d = 0
		for i := range a {
			d = math.Max(d, math.Abs(float64(a[i]-b[i])))
		}
	}
	return d
}

func TestASavedModelSaysTheSameToTheBit(t *testing.T) {
	for name, o := range map[string]tiny.Options{"equal widths": {}, "a projection": {EncoderWidth: 48}} {
		t.Run(name, func(t *testing.T) {
			m := tiny.Captioner(t, o)
			if (m.Projection == nil) != (o.EncoderWidth == 0) {
				t.Fatal("the projection is there when it should not be, or the other way round")
			}
			m.Generation.NumBeams, m.Generation.NoRepeatNGramSize = 3, 2
			dir := filepath.Join(t.TempDir(), "model")
			if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			again := reload(t, dir)
			if d := farthest(logits(t, again), logits(t, m)); d >= 0 {
				t.Errorf("logits differ by up to %g", d)
			}
			if g := again.Generation; g.NumBeams != 3 || g.NoRepeatNGramSize != 2 || g.DecoderStartTokenID != m.Tokenizer.BOS() {
				t.Errorf("generation settings %+v", g)
			}
			if _, trained := layers.Count(again); trained != 0 {
				t.Errorf("%d parameters are not frozen", trained)
			}
		})
	}
}

func TestAModelIsSavedInHalfPrecision(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48})
	want := logits(t, m)
	for dtype, within := range map[string]float64{"F16": 1e-3, "BF16": 8e-3} {
		dir := t.TempDir()
		if err := m.Save(dir, seq2seq.SaveOptions{DType: dtype}); err != nil {
			t.Fatal(err)
		}
		if d := farthest(logits(t, reload(t, dir)), want); !(d > 0 && d < within) {
			t.Errorf("%s: logits differ by %g, want less than %g, but something", dtype, d, within)
		}
		total, _ := layers.Count(m)
		info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
		if err != nil || info.Size() < int64(2*total) || info.Size() > int64(2*total)+16384 {
			t.Errorf("%s: %d bytes for %d parameters (%v)", dtype, info.Size(), total, err)
		}
	}
}

func TestFieldsOfConfigurationsThatAreNotKnownHereAreKept(t *testing.T) {
	dir := tiny.Folder(t, tiny.Options{})
	edit(t, dir, "config.json", func(c map[string]any) {
		c["a_future_field"] = []any{1.0, "two"}
		c["encoder"].(map[string]any)["encoder_stride"] = 16.0
		c["decoder"].(map[string]any)["summary_type"] = "cls_index"
	})
	edit(t, dir, "generation_config.json", func(c map[string]any) { c["_from_model_config"] = true })
	again := t.TempDir()
	if err := reload(t, dir).Save(again, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	edit(t, again, "config.json", func(c map[string]any) {
		if x, ok := c["a_future_field"].([]any); !ok || len(x) != 2 || x[1] != "two" {
			t.Errorf("a_future_field is %v", c["a_future_field"])
		}
		if x := c["encoder"].(map[string]any)["encoder_stride"]; x != 16.0 {
			t.Errorf("encoder_stride is %v", x)
		}
		if x := c["decoder"].(map[string]any)["summary_type"]; x != "cls_index" {
			t.Errorf("summary_type is %v", x)
		}
	})
	edit(t, again, "generation_config.json", func(c map[string]any) {
		if c["_from_model_config"] != true {
			t.Errorf("_from_model_config is %v", c["_from_model_config"])
		}
	})
}

// edit changes a JSON file.
func edit(t *testing.T, dir, name string, change func(map[string]any)) {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	change(v)
	if data, err = json.Marshal(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestAViTAndAGPT2AreJoined(t *testing.T) {
	for _, width := range []int{tiny.Width, 48} {
		encoder, decoder := tiny.Parts(t, width)
		join := func(seed uint64) *seq2seq.VisionEncoderDecoder {
			m, err := seq2seq.LoadJoined(context.Background(), encoder, decoder, layers.NewRandom(seed), nil)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := join(1)
		if _, trained := layers.Count(m); trained != 0 {
			t.Errorf("%d parameters are not frozen", trained)
		}
		pretrained := map[string][]float32{}
		for _, p := range layers.Parameters(tiny.Encoder(t, width)) {
			pretrained["encoder."+p.Name] = mat.Data[float32](p.Value.Value())
		}
		for _, p := range layers.Parameters(tiny.Decoder(t, 0, false)) {
			pretrained["decoder."+p.Name] = mat.Data[float32](p.Value.Value())
		}
		fresh := 0
		for _, p := range layers.Parameters(m) {
			x := mat.Data[float32](p.Value.Value())
			if want, ok := pretrained[p.Name]; ok {
				if farthest(x, want) >= 0 {
					t.Errorf("%s is not what was saved", p.Name)
				}
				continue
			}
			fresh++
			if !strings.Contains(p.Name, "cross") && !strings.HasPrefix(p.Name, "enc_to_dec_proj") {
				t.Errorf("%s was not loaded", p.Name)
			}
			if strings.HasSuffix(p.Name, "attn.weight") && len(x) >= tiny.Width*tiny.Width {
				if s := deviation(x); s < 0.018 || s > 0.022 {
					t.Errorf("%s has deviation %.4f, want 0.02", p.Name, s)
				}
			}
		}
		if want := tiny.NumLayers * 8; fresh != want && fresh != want+2 {
			t.Errorf("%d new parameters, want %d and the projection's 2", fresh, want)
		}
		if farthest(logits(t, m), logits(t, join(1))) >= 0 {
			t.Error("the same seed joins other models")
		}
		if farthest(logits(t, m), logits(t, join(2))) < 0 {
			t.Error("another seed joins the same model")
		}
		dir := t.TempDir()
		if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if d := farthest(logits(t, reload(t, dir)), logits(t, m)); d >= 0 {
			t.Errorf("saved and loaded, the logits differ by %g", d)
		}
	}
}

func deviation(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(x)))
}

func TestABatchIsCaptionedAsOneAtATime(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48})
	layers.Freeze(m)
	for _, p := range layers.Parameters(m) { // larger weights, so that pictures and tokens matter
		for i, x := range mat.Data[float32](p.Value.Value()) {
			mat.Data[float32](p.Value.Value())[i] = x * 6
		}
	}
	pixels := tinyPixels(t, m, 7)
	for name, change := range map[string]func(*generate.Options){
		"greedy":   func(*generate.Options) {},
		"beams":    func(o *generate.Options) { o.NumBeams = 3 },
		"sampling": func(o *generate.Options) { o.DoSample, o.Seed = true, 7 },
	} {
		t.Run(name, func(t *testing.T) {
			o := m.Generation
			o.MaxNewTokens = 10
			change(&o)
			batch, err := m.GenerateFromPixels(context.Background(), pixels, o)
			if err != nil {
				t.Fatal(err)
			}
			different := map[string]bool{}
			for i, p := range pixels {
				alone, err := m.GenerateFromPixels(context.Background(), []vision.Pixels{p}, o)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(alone[0].TokenIDs, batch[i].TokenIDs) || math.Abs(alone[0].Score-batch[i].Score) > 1e-4 {
					t.Errorf("picture %d: alone %v (%v), in the batch %v (%v)", i, alone[0].TokenIDs, alone[0].Score, batch[i].TokenIDs, batch[i].Score)
				}
				different[batch[i].Text] = true
			}
			if len(different) < 3 {
				t.Errorf("only %d different captions, so the test shows little", len(different))
			}
		})
	}
}

func TestAModelHeldForGenerationSaysTheSame(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{EncoderWidth: 48})
	layers.Freeze(m)
	pixels := tinyPixels(t, m, 3)
	o := m.Generation
	o.MaxNewTokens, o.NumBeams = 10, 2
	captions := func() []seq2seq.Caption {
		c, err := m.GenerateFromPixels(context.Background(), pixels, o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := captions()
	m.Hold(layers.Float32)
	for i, c := range captions() {
		if !slices.Equal(c.TokenIDs, want[i].TokenIDs) || math.Abs(c.Score-want[i].Score) > 1e-6*math.Abs(want[i].Score) {
			t.Errorf("picture %d: %v (%v), before %v (%v)", i, c.TokenIDs, c.Score, want[i].TokenIDs, want[i].Score)
		}
	}
	dir := t.TempDir()
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	var err error
	if m, err = seq2seq.Load(context.Background(), dir, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []layers.Precision{layers.BFloat16, layers.Int8} {
		m.Hold(p)
		for i, c := range captions() {
			if math.Abs(c.Score-want[i].Score) > 0.02*math.Abs(want[i].Score) {
				t.Errorf("%v: picture %d has the score %v, in float32 %v", p, i, c.Score, want[i].Score)
			}
		}
	}
}

func TestADamagedModelFolderIsAnErrorThatNamesTheTensor(t *testing.T) {
	const query, wte = "encoder.encoder.layer.0.attention.attention.query.weight", "decoder.transformer.wte.weight"
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string
	}{
		{"truncated", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "model.safetensors"), 50_000); err != nil {
				t.Fatal(err)
			}
		}, []string{"model.safetensors", "truncated", "decoder.transformer.h.0.mlp.c_fc.weight"}},
		{"empty", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "model.safetensors"), 0); err != nil {
				t.Fatal(err)
			}
		}, []string{"model.safetensors"}},
		{"wrong shape", rewrite(func(s *safetensors.Tensor) bool {
			if s.Name == query {
				s.Shape, s.Data = []int{16, 32}, s.Data[:16*32]
			}
			return true
		}), []string{query, "[16 32]", "[32 32]"}},
		{"missing", rewrite(func(s *safetensors.Tensor) bool { return s.Name != wte }), []string{wte, "missing"}},
		{"left over", rewrite(func(s *safetensors.Tensor) bool {
			s.Name = strings.Replace(s.Name, "crossattention.c_proj.weight", "crossattention.d_proj.weight", 1)
			return true
		}), []string{"h.0.crossattention.d_proj.weight", "h.1.crossattention.c_proj.weight"}},
		{"not finite", rewrite(func(s *safetensors.Tensor) bool {
			if s.Name == wte {
				s.Data[77] = float32(math.NaN())
			}
			return true
		}), []string{wte, "NaN"}},
		{"a type that is no float", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "model.safetensors")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			head, tail, found := strings.Cut(string(data), `"`+wte+`":{"dtype":"F32"`)
			if !found {
				t.Fatal("the header has another form")
			}
			if err := os.WriteFile(path, []byte(head+`"`+wte+`":{"dtype":"I32"`+tail), 0o666); err != nil {
				t.Fatal(err)
			}
		}, []string{wte, "I32"}},
		{"no weights", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
				t.Fatal(err)
			}
		}, []string{"model.safetensors"}},
		{"no tokenizer", func(t *testing.T, dir string) {
			for _, name := range []string{"tokenizer.json", "vocab.json", "merges.txt"} {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"vocab.json"}},
		{"no processor", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, vision.ProcessorFile)); err != nil {
				t.Fatal(err)
			}
		}, []string{vision.ProcessorFile}},
		{"another model_type", func(t *testing.T, dir string) {
			edit(t, dir, "config.json", func(c map[string]any) { c["model_type"] = "llava" })
		}, []string{"config.json", `"llava"`, "vision-encoder-decoder"}},
		{"an unknown encoder", func(t *testing.T, dir string) {
			edit(t, dir, "config.json", func(c map[string]any) { c["encoder"].(map[string]any)["model_type"] = "swin9" })
		}, []string{"config.json", "encoder", `"swin9"`, "vit"}},
		{"no cross-attention", func(t *testing.T, dir string) {
			edit(t, dir, "config.json", func(c map[string]any) { c["decoder"].(map[string]any)["add_cross_attention"] = false })
		}, []string{"config.json", "add_cross_attention"}},
		{"a smaller vocabulary than the tokenizer's", func(t *testing.T, dir string) {
			edit(t, dir, "config.json", func(c map[string]any) { c["decoder"].(map[string]any)["vocab_size"] = 512 })
			rewrite(func(s *safetensors.Tensor) bool {
				if s.Name == wte {
					s.Shape, s.Data = []int{512, 32}, s.Data[:512*32]
				}
				return true
			})(t, dir)
		}, []string{"600", "512"}},
		{"no JSON", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o666); err != nil {
				t.Fatal(err)
			}
		}, []string{"config.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tiny.Folder(t, tiny.Options{})
			c.damage(t, dir)
			_, err := seq2seq.Load(context.Background(), dir, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(c.want, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error: %v", want, err)
				}
			}
		})
	}
}

// rewrite changes the tensors of a folder, and leaves out those for which
// change returns false.
func rewrite(change func(*safetensors.Tensor) bool) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "model.safetensors")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := safetensors.New(path, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		var out []safetensors.Tensor
		for _, name := range file.Names() {
			tensor := safetensors.Tensor{}
			tensor.Info, _ = file.Info(name)
			tensor.Data = make([]float32, tensor.Elements())
			if err := file.Read(name, tensor.Data); err != nil {
				t.Fatal(err)
			}
			if change(&tensor) {
				out = append(out, tensor)
			}
		}
		if err := safetensors.WriteFile(path, out, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShiftPredictsEachTokenOnceAndTheEnd(t *testing.T) {
	tokens, labels, err := seq2seq.Shift([][]int{{9, 5, 6, 9}, {9, 9}, {9, 7, 9}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{9, 5, 6, 9, 9, 7}; !slices.Equal(tokens.IDs, want) {
		t.Errorf("inputs %v, want %v", tokens.IDs, want)
	}
	if want := []int{5, 6, 9, 9, 7, 9}; !slices.Equal(labels, want) {
		t.Errorf("labels %v, want %v", labels, want)
	}
	if want := (layers.Offsets{0, 3, 4, 6}); !slices.Equal(tokens.Offsets, want) {
		t.Errorf("offsets %v, want %v", tokens.Offsets, want)
	}
	for _, bad := range [][][]int{{}, {{9}}, {{9, 9}, {}}} {
		if _, _, err := seq2seq.Shift(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}
