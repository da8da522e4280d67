package pytorch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

func open(name string, data []byte) (*File, error) {
	return New(name, bytes.NewReader(data), int64(len(data)))
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTorchsFilesReadAsTorchReadsThem(t *testing.T) {
	dtypes := map[string]safetensors.DType{
		"float64": safetensors.F64, "float32": safetensors.F32, "float16": safetensors.F16, "bfloat16": safetensors.BF16,
		"int64": safetensors.I64, "int32": safetensors.I32, "int16": safetensors.I16, "int8": safetensors.I8,
		"uint8": safetensors.U8, "bool": safetensors.Bool,
	}
	for _, name := range []string{
		"dtypes.zip.bin", "dtypes.legacy.bin", "dtypes.protocol4.bin",
		"views.zip.bin", "views.legacy.bin", "views.deflated.bin",
		"parameters.zip.bin", "parameters.legacy.bin",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := open(name, readFile(t, name))
			if err != nil {
				t.Fatal(err)
			}
			stem, _, _ := strings.Cut(name, ".")
			var want map[string]struct {
				DType  string
				Shape  []int
				Values []float64
			}
			if err := json.Unmarshal(readFile(t, stem+".json"), &want); err != nil {
				t.Fatal(err)
			}
			if len(f.Names()) != len(want) {
				t.Errorf("names %v, want %d", f.Names(), len(want))
			}
			for name, w := range want {
				info, ok := f.Info(name)
				if !ok || info.Name != name || info.DType != dtypes[w.DType] || !slices.Equal(info.Shape, w.Shape) {
					t.Errorf("%s: %+v, want %s %v", name, info, w.DType, w.Shape)
					continue
				}
				got := make([]float32, info.Elements())
				if err := f.Read(name, got); !info.DType.Floats() {
					if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("tensor %q is %s", name, info.DType)) {
						t.Errorf("%s read as floats: error %v", name, err)
					}
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				for i, v := range w.Values {
					if got[i] != float32(v) {
						t.Errorf("%s: got %v, want %v", name, got, w.Values)
						break
					}
				}
			}
		})
	}
}

func TestNamesKeepTheFilesOrder(t *testing.T) {
	f, err := open("x", readFile(t, "views.zip.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names()[:4]; !slices.Equal(got, []string{"whole", "tied", "rows", "columns"}) {
		t.Errorf("names %v", got)
	}
}

func TestAStateDictWithinACheckpointIsFound(t *testing.T) {
	f, err := open("x", readFile(t, "nested.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !slices.Equal(got, []string{"w"}) {
		t.Errorf("names %v", got)
	}
}

func TestRareTypesDoNotHinderTheOthers(t *testing.T) {
	f, err := open("x", readFile(t, "rare.bin"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]safetensors.DType{"u16": "U16", "f8": "F8_E4M3", "c128": "C128", "x": "F32"} {
		if info, _ := f.Info(name); info.DType != want {
			t.Errorf("%s is %s, want %s", name, info.DType, want)
		}
	}
	if err := f.Read("x", make([]float32, 2)); err != nil {
		t.Error(err)
	}
}

func TestReadNamesWhatIsWrong(t *testing.T) {
	f, err := open("dir/model.bin", readFile(t, "views.zip.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Read("nobody", nil); err == nil || err.Error() != `dir/model.bin: no tensor "nobody"` {
		t.Error(err)
	}
	if err := f.Read("rows", make([]float32, 3)); err == nil || !strings.Contains(err.Error(), `"rows" has 12 elements [2 6], expected 3`) {
		t.Error(err)
	}
}

func TestWhatIsNoDictionaryOfTensorsIsRefused(t *testing.T) {
	views := readFile(t, "views.zip.bin")
	legacy := readFile(t, "views.legacy.bin")
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"code, zip", readFile(t, "evil.zip.bin"), `"posix.system" is refused`},
		{"code, legacy", readFile(t, "evil.legacy.bin"), `"posix.system" is refused`},
		{"a whole module", readFile(t, "module.bin"), `"torch.nn.modules.linear.Linear" is refused`},
		{"a big-endian machine", readFile(t, "bigendian.bin"), `byte order "big"`},
		{"a storage that is not there", readFile(t, "lost.bin"), `storage "0" is not in the archive`},
		{"a storage cut short", readFile(t, "short.bin"), `storage "0" has 11 bytes, expected 12`},
		{"a lone tensor", readFile(t, "tensor.bin"), "expected a dictionary"},
		{"a negated view", readFile(t, "negated.bin"), "negated"},
		{"nothing", nil, "no PyTorch file: 0 bytes"},
		{"text", []byte("version https://git-lfs"), "no PyTorch file"},
		{"another archive", []byte("PK\x03\x04 and no more"), "zip"},
		{"half an archive", views[:len(views)/2], "zip"},
		{"half a legacy file", legacy[:len(legacy)-10], "unexpected EOF"},
		{"a legacy file's magic number alone", legacy[:15], "EOF"},
		{"another legacy version", bytes.Replace(legacy, []byte("M\xe9\x03."), []byte("M\xea\x03."), 1), "version 1002"},
		{"a legacy big-endian machine", bytes.Replace(legacy, []byte("little_endianq\x02\x88"), []byte("little_endianq\x02\x89"), 1), "big-endian"},
		{"no tensors", legacyFile("}", "]", ""), "no tensors"},
		{"two objects", archive(t, func(z *zip.Writer) { add(t, z, "a/data.pkl", "}."); add(t, z, "b/data.pkl", "}.") }), "both a/data.pkl and b/data.pkl"},
		{"two entries of a name", archive(t, func(z *zip.Writer) { add(t, z, "a/data.pkl", "}."); add(t, z, "a/data.pkl", "}.") }), `two entries "a/data.pkl"`},
		{"an archive without an object", archive(t, func(z *zip.Writer) { add(t, z, "a/version", "3") }), "without data.pkl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := open("dir/model.bin", test.data)
			if err == nil || !strings.HasPrefix(err.Error(), "dir/model.bin: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	for _, name := range []string{"parameters.zip.bin", "parameters.legacy.bin"} {
		data := readFile(t, name)
		for n := range data {
			if _, err := open(name, data[:n]); err == nil {
				t.Fatalf("%s cut to %d of %d bytes was opened", name, n, len(data))
			}
		}
	}
}

// archive makes an archive.
func archive(t *testing.T, fill func(z *zip.Writer)) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	fill(z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func add(t *testing.T, z *zip.Writer, name, content string) {
	t.Helper()
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
}

// text is a pickled string, number a pickled 32-bit integer.
func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n int32) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// stored is a pickled storage of floats, view the fields after it.
func stored(key string, elements int32, view string) string {
	return "(" + text("storage") + "ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(elements) + view + "tQ"
}

// rebuilt is a pickled tensor; shape and strides are pickled tuples.
func rebuilt(storage string, offset int32, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + shape + strides + "\x89}tR"
}

func legacyFile(pickle, keys, blocks string) []byte {
	return []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + "\x80\x02M\xe9\x03." + "\x80\x02}" + text("little_endian") + "\x88s." +
		"\x80\x02" + pickle + "." + "\x80\x02" + keys + "." + blocks)
}

// floats is a legacy block of 1, 2, 3, and so on.
func floats(n int) string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(n))
	for i := range n {
		b, _ = binary.Append(b, binary.LittleEndian, float32(i+1))
	}
	return string(b)
}

func TestALegacyViewOfAStorageIsRead(t *testing.T) {
	view := "(" + text("view") + number(2) + number(3) + "t"
	keys := "]" + text("k") + "a"
	data := legacyFile("}"+text("w")+rebuilt(stored("k", 6, view), 1, "K\x02\x85", "K\x01\x85")+"s", keys, floats(6))
	f, err := open("x", data)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 2)
	if err := f.Read("w", got); err != nil {
		t.Fatal(err)
	}
	if want := []float32{4, 5}; !slices.Equal(got, want) { // the storage's third element is the view's first
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTensorsOutsideOfTheirStorageAreRefused(t *testing.T) {
	one, two := "K\x01\x85", "K\x02\x85"
	huge := "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
	keys := "]" + text("k") + "a"
	for _, test := range []struct {
		name, tensor, keys, blocks, want string
	}{
		{"in bounds", rebuilt(stored("k", 6, "N"), 4, two, one), keys, floats(6), ""},
		{"offset too large", rebuilt(stored("k", 6, "N"), 5, two, one), keys, floats(6), "storage \"k\" of 6 elements"},
		{"offset at the end of nothing", rebuilt(stored("k", 6, "N"), 6, "K\x00\x85", one), keys, floats(6), ""},
		{"offset behind the end of nothing", rebuilt(stored("k", 6, "N"), 7, "K\x00\x85", one), keys, floats(6), "6 elements"},
		{"negative offset", rebuilt(stored("k", 6, "N"), -1, two, one), keys, floats(6), "offset -1"},
		{"negative dimension", rebuilt(stored("k", 6, "N"), 0, number(-2)+"\x85", one), keys, floats(6), "dimension"},
		{"negative stride", rebuilt(stored("k", 6, "N"), 3, two, number(-1)+"\x85"), keys, floats(6), "stride"},
		{"large stride", rebuilt(stored("k", 6, "N"), 0, two, "K\x06\x85"), keys, floats(6), "6 elements"},
		{"stride that overflows", rebuilt(stored("k", 6, "N"), 0, "K\x03K\x03\x86", huge+huge+"\x86"), keys, floats(6), "6 elements"},
		{"shape that overflows", rebuilt(stored("k", 6, "N"), 0, huge+huge+"\x86", "K\x00K\x00\x86"), keys, floats(6), "larger than memory"},
		{"more strides than dimensions", rebuilt(stored("k", 6, "N"), 0, two, "K\x01K\x01\x86"), keys, floats(6), "1 dimensions and 2 strides"},
		{"65 dimensions", rebuilt(stored("k", 6, "N"), 0, "("+strings.Repeat("K\x01", 65)+"t", "("+strings.Repeat("K\x01", 65)+"t"), keys, floats(6), "65 dimensions"},
		{"dimension that is text", rebuilt(stored("k", 6, "N"), 0, text("a")+"\x85", one), keys, floats(6), "string"},
		{"storage of negative size", rebuilt(stored("k", -1, "N"), 0, one, one), keys, floats(6), "storage of"},
		{"view behind the end", rebuilt(stored("k", 6, "("+text("v")+number(4)+number(3)+"t"), 0, one, one), keys, floats(6), "outside"},
		{"view before the start", rebuilt(stored("k", 6, "("+text("v")+number(-1)+number(3)+"t"), 0, one, one), keys, floats(6), "outside"},
		{"storage that no tensor has", rebuilt(stored("k", 6, "N"), 0, one, one), "]" + text("j") + "a", floats(6), `"j" belongs to no tensor`},
		{"storage that is not there", rebuilt(stored("k", 6, "N"), 0, one, one), "]", "", `"k" is not in the file`},
		{"storage of another size", rebuilt(stored("k", 6, "N"), 0, one, one), keys, floats(5), "5 elements, expected 6"},
		{"storage cut short", rebuilt(stored("k", 6, "N"), 0, one, one), keys, floats(6)[:31], "EOF"},
		{"keys that are no list", rebuilt(stored("k", 6, "N"), 0, one, one), "}", floats(6), "expected a list"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := open("x", legacyFile("}"+text("w")+test.tensor+"s", test.keys, test.blocks))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestPicklesOfPlainDataAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		pickle string
		want   any
	}{
		"nothing":               {"N.", nil},
		"bytes":                 {"K\xff.", int64(255)},
		"two bytes":             {"M\xfe\xff.", int64(65534)},
		"negative":              {"J\xfe\xff\xff\xff.", int64(-2)},
		"long zero":             {"\x8a\x00.", int64(0)},
		"long negative":         {"\x8a\x02\x00\xff.", int64(-256)},
		"long of eight bytes":   {"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", int64(-1 << 63)},
		"longer":                {"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", new(big.Int).Lsh(big.NewInt(1), 64)},
		"longer negative":       {"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xff.", new(big.Int).Lsh(big.NewInt(-1), 64)},
		"float":                 {"G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5},
		"texts":                 {"\x8c\x02hiU\x01!\x86.", tuple{"hi", "!"}},
		"long text":             {"\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi.", "hi"},
		"binary":                {"C\x01aB\x01\x00\x00\x00b\x86.", tuple{[]byte("a"), []byte("b")}},
		"tuples":                {"K\x01K\x02K\x03\x87\x85).", tuple{}},
		"nested marks":          {"(K\x01(\x88\x89tt.", tuple{int64(1), tuple{true, false}}},
		"list":                  {"](K\x01K\x02eK\x03a.", &list{[]any{int64(1), int64(2), int64(3)}}},
		"memory":                {"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N\x94K\x07\x94K\x08r\x00\x01\x00\x00000h\x01j\x00\x01\x00\x00\x86.", tuple{int64(7), int64(8)}},
		"pop":                   {"K\x01K\x020.", int64(1)},
		"ordered dict of pairs": {"ccollections\nOrderedDict\n](\x8c\x01aK\x01\x86](\x8c\x01bK\x02ee\x85R.", &dict{[]pair{{"a", int64(1)}, {"b", int64(2)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newUnpickler(strings.NewReader(test.pickle), &builder{storages: map[string]*storage{}}).load()
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, %v, want %#v", got, err, test.want)
			}
		})
	}
}

func TestMalformedPicklesAreErrors(t *testing.T) {
	dict := "ccollections\nOrderedDict\n"
	for name, test := range map[string]struct{ pickle, want string }{
		"empty":                          {"", "EOF"},
		"no stop":                        {"N", "EOF"},
		"stop with nothing":              {".", "stack is empty"},
		"stop behind a mark":             {"N(.", "stack is empty"},
		"pop through a mark":             {"N(0.", "stack is empty"},
		"pair through a mark":            {"NN(\x86.", "stack is empty"},
		"no mark":                        {"Nt.", "no mark"},
		"protocol 1":                     {"\x80\x01N.", "protocol 1"},
		"protocol 6":                     {"\x80\x06N.", "protocol 6"},
		"unknown instruction":            {"i.", "0x69"},
		"text longer than the file":      {"X\xff\xff\xff\x03a.", "EOF"},
		"text of 4 GB":                   {"X\xff\xff\xff\xffa.", "4294967295 bytes"},
		"text of 16 EB":                  {"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", "bytes"},
		"nothing remembered":             {"h\x01.", "remembered as 1"},
		"remembering nothing":            {"q\x01N.", "stack is empty"},
		"append to no list":              {"}Na.", "append to *pytorch.dict"},
		"set in no dict":                 {"]NNs.", "pairs and a dict"},
		"set of three":                   {"}(NNNu.", "set 3"},
		"refused global":                 {"cbuiltins\neval\n.", `"builtins.eval" is refused`},
		"refused global, protocol 4":     {"\x80\x04\x8c\x02os\x8c\x06system\x93.", `"os.system" is refused`},
		"global named by numbers":        {"K\x01K\x02\x93.", "expected text"},
		"endless name":                   {"c" + strings.Repeat("a", 2000) + "\n\n.", "1024"},
		"call of text":                   {"X\x01\x00\x00\x00a)R.", "call of string"},
		"call without a tuple":           {dict + "NR.", "call of"},
		"call of a type":                 {"ctorch\nFloatStorage\n)R.", "torch.FloatStorage with 0 arguments"},
		"new object of a type":           {"ctorch.nn.parameter\nParameter\n)\x81.", "Parameter with 0 arguments"},
		"dict of a number":               {dict + "K\x01\x85R.", "OrderedDict with 1 arguments"},
		"dict of numbers":                {dict + "]K\x01a\x85R.", "expected pairs"},
		"size of a number":               {"ctorch\nSize\nK\x01\x85R.", "torch.Size"},
		"tensor of nothing":              {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "0 arguments, expected 6"},
		"tensor of numbers":              {"ctorch._utils\n_rebuild_tensor\n(K\x01K\x01K\x01K\x01tR.", "int64"},
		"parameter of nothing":           {"ctorch._utils\n_rebuild_parameter\n)R.", "_rebuild_parameter"},
		"typed tensor of itself":         {"ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00NN)tR.", "_rebuild_from_type_v2"},
		"attributes of a list":           {"]Nb.", "attributes for *pytorch.list"},
		"stored object that is no tuple": {"NQ.", "stored object"},
		"stored module":                  {"(" + text("module") + "NNNNtQ.", "expected a storage"},
		"storage without a type":         {"(" + text("storage") + "NNNNtQ.", "a storage of"},
		"storage of two sizes":           {stored("k", 1, "") + stored("k", 2, "") + ".", "8 bytes of F32 here and 4"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := newUnpickler(strings.NewReader(test.pickle), &builder{storages: map[string]*storage{}}).load()
			if err == nil || !strings.HasPrefix(err.Error(), "pickle") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, error %v, want one with %q", v, err, test.want)
			}
		})
	}
}

// A few bytes must not make gigabytes: here one list of a thousand pairs becomes a dictionary again and again.
func TestAPickleCannotMultiplyItsSize(t *testing.T) {
	pairs := "](" + strings.Repeat("NN\x86", 1000) + "eq\x00"
	pickle := "ccollections\nOrderedDict\nq\x01" + pairs + strings.Repeat("h\x01h\x00\x85R", 10_000) + "."
	_, err := newUnpickler(strings.NewReader(pickle), &builder{}).load()
	if err == nil || !strings.Contains(err.Error(), "more than 4194304 pairs") {
		t.Errorf("error %v", err)
	}
	_, err = newUnpickler(strings.NewReader(strings.Repeat("N", maxOperations+1)), &builder{}).load()
	if err == nil || !strings.Contains(err.Error(), "operations") {
		t.Errorf("error %v", err)
	}
}

func FuzzNew(f *testing.F) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".bin") {
			f.Add(readFile(f, e.Name()))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := open("fuzz", data)
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			info, ok := file.Info(name)
			if !ok {
				t.Errorf("%q is listed but not there", name)
			}
			if n := info.Elements(); n <= 1<<16 && info.DType.Floats() { // an expanded tensor may have any number
				_ = file.Read(name, make([]float32, n))
			}
		}
	})
}
