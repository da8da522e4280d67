package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// param makes a parameter of counting values, start, start+1, and so on.
func param(name string, start float32, shape ...int) Param {
	n := 1
	for _, d := range shape {
		n *= d
	}
	p := Param{Name: name, Shape: shape, Data: make([]float32, n)}
	for i := range p.Data {
		p.Data[i] = start + float32(i)
	}
	return p
}

// empty returns parameters of the same names and shapes whose values are all -1.
func empty(params []Param) []Param {
	out := make([]Param, len(params))
	for i, p := range params {
		out[i] = param(p.Name, 0, p.Shape...)
		for j := range out[i].Data {
			out[i].Data[j] = -1
		}
	}
	return out
}

func equal(a, b []Param) bool {
	return slices.EqualFunc(a, b, func(a, b Param) bool {
		return a.Name == b.Name && slices.Equal(a.Shape, b.Shape) && slices.Equal(a.Data, b.Data)
	})
}

// bytesOf is a safetensors file of the parameters.
func bytesOf(t *testing.T, params ...Param) []byte {
	t.Helper()
	var tensors []safetensors.Tensor
	for _, p := range params {
		tensors = append(tensors, safetensors.Tensor{Info: safetensors.Info{Name: p.Name, DType: safetensors.F32, Shape: p.Shape}, Data: p.Data})
	}
	var buf bytes.Buffer
	if err := safetensors.Write(&buf, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func folder(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

func open(t *testing.T, fsys fs.FS) *Checkpoint {
	t.Helper()
	c, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// load reads a folder, of which no file is open then.
func load(t *testing.T, dir string, params []Param, o Options) (Report, error) {
	t.Helper()
	c := open(t, os.DirFS(dir))
	report, err := Load(c, params, o)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return report, err
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	params := []Param{param("wte.weight", 1, 5, 3), param("h.0.bias", 2, 7), param("scalar", 3), param("proj", 4, 2, 3, 2, 2), param("none", 0, 0)}
	for _, dtype := range []safetensors.DType{"", safetensors.F32, safetensors.F16, safetensors.BF16} {
		for _, max := range []int64{0, 1, 40, 60, 1 << 20} {
			dir := filepath.Join(t.TempDir(), "new", "folder")
			if err := Save(dir, params, SaveOptions{DType: dtype, MaxShardSize: max}); err != nil {
				t.Fatal(err)
			}
			c := open(t, os.DirFS(dir))
			got := empty(params)
			report, err := Load(c, got, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, params) || len(report.Loaded) != len(params) {
				t.Errorf("%q, shards of %d: loaded %v, %v", dtype, max, got, report)
			}
			info, _ := c.Info("proj")
			if want := cmpDType(dtype); info.DType != want {
				t.Errorf("type %s, want %s", info.DType, want)
			}
		}
	}
}

func cmpDType(d safetensors.DType) safetensors.DType {
	if d == "" {
		return safetensors.F32
	}
	return d
}

func TestShardsAreFilledInOrderAndNamedAsHuggingFaceDoes(t *testing.T) {
	dir := t.TempDir()
	params := []Param{param("d", 0, 5), param("c", 0, 5), param("b", 0, 20), param("a", 0, 1), param("e", 0, 9)}
	if err := Save(dir, params, SaveOptions{MaxShardSize: 40}); err != nil {
		t.Fatal(err)
	}
	want := []string{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", indexFile}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	got, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{
  "metadata": {
    "total_size": 160
  },
  "weight_map": {
    "a": "model-00003-of-00003.safetensors",
    "b": "model-00002-of-00003.safetensors",
    "c": "model-00001-of-00003.safetensors",
    "d": "model-00001-of-00003.safetensors",
    "e": "model-00003-of-00003.safetensors"
  }
}
`; string(got) != want {
		t.Errorf("index %s", got)
	}
}

func TestSavingAgainLeavesNothingStale(t *testing.T) {
	dir := t.TempDir()
	other := []string{"config.json", "model-card.md", "my-model.safetensors", "pytorch_model.bin"}
	for _, name := range other {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i, max := range []int64{0, 8, 12, 4, 0, 4} {
		params := []Param{param("a", float32(i), 2), param("b", float32(10*i), 1), param("c", float32(100*i), 1)}
		if err := Save(dir, params, SaveOptions{MaxShardSize: max}); err != nil {
			t.Fatal(err)
		}
		got := empty(params)
		if _, err := load(t, dir, got, Options{}); err != nil {
			t.Fatal(err)
		}
		if !equal(got, params) {
			t.Errorf("save %d: loaded %v", i, got)
		}
		wantFiles := map[int64]int{0: 1, 4: 3 + 1, 8: 2 + 1, 12: 2 + 1}[max] + len(other)
		if names := files(t, dir); len(names) != wantFiles {
			t.Errorf("save %d: files %v", i, names)
		}
	}
}

func TestAFailedSaveLeavesTheOldWeights(t *testing.T) {
	dir := t.TempDir()
	params := []Param{param("a", 1, 2), param("b", 2, 2)}
	for _, max := range []int64{0, 8} {
		if err := Save(dir, params, SaveOptions{MaxShardSize: max}); err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		broken := []Param{param("a", 5, 2), param("b", 70000, 2)}
		err := Save(dir, broken, SaveOptions{DType: safetensors.F16, MaxShardSize: 4})
		if err == nil || !strings.Contains(err.Error(), `"b"`) {
			t.Fatalf("error %v", err)
		}
		if after := files(t, dir); !slices.Equal(before, after) {
			t.Errorf("files %v, were %v", after, before)
		}
		got := empty(params)
		if _, err := load(t, dir, got, Options{}); err != nil {
			t.Fatal(err)
		}
		if !equal(got, params) {
			t.Errorf("loaded %v", got)
		}
	}
}

func TestTheFirstKindOfWeightsInHuggingFacesOrderIsTaken(t *testing.T) {
	single, shard := param("single", 0, 1), param("sharded", 0, 1)
	bin, err := os.ReadFile("testdata/pytorch_model.bin")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{
		singleFile:      bytesOf(t, single),
		indexFile:       []byte(`{"weight_map":{"sharded":"a.safetensors"}}`),
		pytorchFile:     bin,
		pytorchIndex:    []byte(`{"weight_map":{"bias":"b.bin"}}`),
		"a.safetensors": bytesOf(t, shard),
		"b.bin":         bin,
	}
	for _, step := range []struct{ file, name string }{
		{singleFile, "single"}, {indexFile, "sharded"}, {pytorchFile, "weight"}, {pytorchIndex, "bias"},
	} {
		c := open(t, folder(all))
		names := c.Names()
		if !slices.Contains(names, step.name) {
			t.Errorf("with %s first, names are %v", step.file, names)
		}
		info, _ := c.Info(names[0])
		if err := c.Read(names[0], make([]float32, info.Elements())); err != nil {
			t.Error(err)
		}
		delete(all, step.file)
	}
}

func TestWeightsThatCannotBeOpenedAreNamed(t *testing.T) {
	w := bytesOf(t, param("w", 0, 1))
	index := func(s string) []byte { return []byte(s) }
	tests := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"no weights", map[string][]byte{"config.json": nil}, "no weights: expected model.safetensors"},
		{"empty file", map[string][]byte{singleFile: nil}, "model.safetensors: no safetensors file"},
		{"truncated file", map[string][]byte{singleFile: w[:len(w)-1]}, "model.safetensors: truncated"},
		{"git-lfs pointer", map[string][]byte{singleFile: []byte(lfsPointer + "oid sha256:4d7a\nsize 12345\n")}, "git lfs pull"},
		{"index that is no JSON", map[string][]byte{indexFile: index("x")}, indexFile + ": invalid"},
		{"index without a map", map[string][]byte{indexFile: index("{}")}, indexFile + ": no weight_map"},
		{"missing shard", map[string][]byte{indexFile: index(`{"weight_map":{"w":"z.safetensors","v":"b"}}`), "z.safetensors": w}, "open b"},
		{"shard outside of the folder", map[string][]byte{indexFile: index(`{"weight_map":{"w":"../a"}}`)}, "open ../a"},
		{"damaged shard", map[string][]byte{indexFile: index(`{"weight_map":{"w":"a.safetensors"}}`), "a.safetensors": w[:9]}, "a.safetensors: truncated"},
		{"tensor that is not in its shard", map[string][]byte{indexFile: index(`{"weight_map":{"w":"a.safetensors","v":"a.safetensors"}}`), "a.safetensors": w}, indexFile + `: tensor "v" is not in a.safetensors`},
		{"damaged pytorch_model.bin", map[string][]byte{pytorchFile: w}, "pytorch_model.bin: no PyTorch file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(folder(test.files))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// plain hides everything of a file but fs.File's methods.
type plain struct{ fs.FS }

func (p plain) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return struct{ fs.File }{f}, nil
}

func TestAFileSystemWithoutReadAtIsReadToo(t *testing.T) {
	p := []Param{param("w", 1, 3)}
	got := empty(p)
	if _, err := Load(open(t, plain{folder(map[string][]byte{singleFile: bytesOf(t, p...)})}), got, Options{}); err != nil {
		t.Fatal(err)
	}
	if !equal(got, p) {
		t.Errorf("loaded %v", got)
	}
}

// brokenFile has an integer tensor, and one for every other problem.
func brokenFile(t *testing.T) fstest.MapFS {
	header := `{"ids":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},` +
		`"old.fine":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},` +
		`"old.flat":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},` +
		`"old.h.0.attn.c_attn.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]},` +
		`"old.h.0.mlp.weight":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},` +
		`"mask":{"dtype":"BOOL","shape":[4],"data_offsets":[32,36]},` +
		`"extra":{"dtype":"F32","shape":[],"data_offsets":[36,40]},` +
		`"fine":{"dtype":"F32","shape":[1],"data_offsets":[40,44]}}`
	data := append([]byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}, header...)
	return folder(map[string][]byte{singleFile: append(data, make([]byte, 44)...)})
}

func TestAllProblemsAreListedAtOnceAndNothingIsTouched(t *testing.T) {
	c := open(t, brokenFile(t))
	params := []Param{
		param("fine", 5, 1), param("ids", 5, 1), param("flat", 5, 1, 2), param("h.0.attn.c_atn.weight", 5, 1, 2),
		param("transformer.h.0.mlp.weight", 5, 2), param("cross", 5, 3), param("lost", 5, 3),
	}
	before := slices.Clone(params)
	for i := range before {
		before[i].Data = slices.Clone(before[i].Data)
	}
	_, err := Load(c, params, Options{
		Rename:       func(name string) string { return strings.TrimPrefix(name, "old.") },
		Ignore:       func(name string) bool { return name == "mask" },
		AllowMissing: func(name string) bool { return name == "cross" },
	})
	var load *LoadError
	if !errors.As(err, &load) {
		t.Fatalf("error %v", err)
	}
	want := `model.safetensors: 9 of the weights do not fit the model:
	fine: found twice, as "fine" and "old.fine"
	ids: type I32, expected F32, F16, BF16 or F64
	flat: shape [2], expected [1 2] ("old.flat" in the file)
	h.0.attn.c_atn.weight: missing, expected [1 2]; did you mean "h.0.attn.c_attn.weight"?
	transformer.h.0.mlp.weight: missing, expected [2]; did you mean "h.0.mlp.weight"?
	lost: missing, expected [3]
	extra: not in the model, found F32 []
	h.0.attn.c_attn.weight: not in the model, found F32 [1 2] ("old.h.0.attn.c_attn.weight" in the file)
	h.0.mlp.weight: not in the model, found F32 [2] ("old.h.0.mlp.weight" in the file)`
	if err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if !equal(params, before) {
		t.Error("parameters were changed")
	}
}

func TestIgnoredAndMissingTensorsAreReported(t *testing.T) {
	c := open(t, folder(map[string][]byte{singleFile: bytesOf(t, param("b", 1, 1), param("a.mask", 0, 1), param("a", 2, 1), param("b.mask", 0, 1))}))
	params := []Param{param("b", 0, 1), param("cross", 7, 2), param("a", 0, 1)}
	report, err := Load(c, params, Options{
		Ignore:       func(name string) bool { return strings.HasSuffix(name, ".mask") },
		AllowMissing: func(name string) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Report{Loaded: []string{"b", "a"}, Missing: []string{"cross"}, Ignored: []string{"a.mask", "b.mask"}}); fmt.Sprint(report) != fmt.Sprint(want) {
		t.Errorf("report %v, want %v", report, want)
	}
	if !slices.Equal(params[1].Data, []float32{7, 8}) {
		t.Errorf("the missing parameter is now %v", params[1].Data)
	}
}

func TestValuesThatAreNotFiniteAreCounted(t *testing.T) {
	bad := param("bad", 1, 5)
	bad.Data[1], bad.Data[3], bad.Data[4] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
	c := open(t, folder(map[string][]byte{singleFile: bytesOf(t, param("good", 1, 5), bad)}))
	params := []Param{param("good", 0, 5), param("bad", 0, 5)}
	_, err := Load(c, params, Options{})
	if err == nil || !strings.HasSuffix(err.Error(), "1 of the weights do not fit the model:\n\tbad: 3 of 5 values are NaN or infinite") {
		t.Errorf("error %v", err)
	}
	if _, err := Load(c, params, Options{AllowNonFinite: true}); err != nil {
		t.Error(err)
	}
	if got := params[1].Data[3]; !math.IsInf(float64(got), 1) {
		t.Errorf("an allowed infinity was loaded as %g", got)
	}
}

func TestReadNamesATensorThatIsNotThere(t *testing.T) {
	c := open(t, folder(map[string][]byte{singleFile: bytesOf(t, param("encoder.weight", 1, 1))}))
	err := c.Read("encoder.wieght", make([]float32, 1))
	if err == nil || err.Error() != `model.safetensors: no tensor "encoder.wieght"; did you mean "encoder.weight"?` {
		t.Errorf("error %v", err)
	}
	if err := c.Read("head", nil); err == nil || strings.Contains(err.Error(), "mean") {
		t.Errorf("error %v", err)
	}
}

func TestMistakesOfTheProgrammerPanic(t *testing.T) {
	c := open(t, folder(map[string][]byte{singleFile: bytesOf(t, param("w", 1, 1))}))
	dir := t.TempDir()
	for name, call := range map[string]func(){
		"loading two of a name": func() { _, _ = Load(c, []Param{param("w", 0, 1), param("w", 0, 1)}, Options{}) },
		"loading a bad shape":   func() { _, _ = Load(c, []Param{{Name: "w", Shape: []int{2}, Data: make([]float32, 1)}}, Options{}) },
		"saving two of a name":  func() { _ = Save(dir, []Param{param("w", 0, 1), param("w", 0, 1)}, SaveOptions{MaxShardSize: 4}) },
		"saving a bad shape":    func() { _ = Save(dir, []Param{{Name: "w", Shape: []int{2}, Data: make([]float32, 1)}}, SaveOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}
