package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openFile(t *testing.T, path string) *File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(filepath.Base(path), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readAll(t *testing.T, f *File, name string) []float32 {
	t.Helper()
	info, ok := f.Info(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	dst := make([]float32, info.Elements())
	if err := f.Read(name, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestATorchFileReadsAsTorchReadsIt(t *testing.T) {
	f := openFile(t, "testdata/dtypes.safetensors")
	text, err := os.ReadFile("testdata/dtypes.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		DType  string
		Shape  []int
		Values []float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	dtypes := map[string]DType{
		"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16, "int64": I64, "int32": I32, "int16": I16,
		"int8": I8, "uint8": U8, "bool": Bool,
	}
	if got, want := slices.Sorted(slices.Values(f.Names())), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Fatalf("names %v, want %v", got, want)
	}
	if got := f.Metadata()["format"]; got != "pt" {
		t.Errorf("format %q", got)
	}
	for name, w := range want {
		info, _ := f.Info(name)
		if info.DType != dtypes[w.DType] || !slices.Equal(info.Shape, w.Shape) || info.Name != name {
			t.Errorf("%+v, want %s %v", info, w.DType, w.Shape)
		}
		if !info.DType.Floats() {
			err := f.Read(name, make([]float32, info.Elements()))
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s read as floats: error %v", info.DType, err)
			}
			continue
		}
		for i, v := range readAll(t, f, name) {
			if v != float32(w.Values[i]) {
				t.Errorf("%s[%d] = %g, want %g", name, i, v, w.Values[i])
			}
		}
	}
}

func TestATorchFileIsWrittenByteForByte(t *testing.T) {
	want, err := os.ReadFile("testdata/floats.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f := openFile(t, "testdata/floats.safetensors")
	var tensors []Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		tensors = append(tensors, Tensor{Info: info, Data: readAll(t, f, name)})
	}
	slices.Reverse(tensors) // the caller's order does not count
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := WriteFile(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestLargeTensorsAreReadAndWrittenInPieces(t *testing.T) {
	for _, d := range []DType{F32, F16, BF16} {
		for _, n := range []int{0, 1, pieceSize/4 - 1, pieceSize / 4, pieceSize/2 + 1, 200_003} {
			data := make([]float32, n)
			for i := range data {
				data[i] = float32(i % 251)
			}
			odd := []float32{1, 2, 3} // shifts the next tensor away from the buffer's start
			var buf bytes.Buffer
			err := Write(&buf, []Tensor{
				{Info{"a", F16, []int{3}}, odd}, {Info{"b", d, []int{n}}, data}, {Info{"c", BF16, []int{3, 1}}, odd},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := New("x", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(readAll(t, f, "b"), data) || !slices.Equal(readAll(t, f, "a"), odd) || !slices.Equal(readAll(t, f, "c"), odd) {
				t.Errorf("%s [%d] did not come back", d, n)
			}
		}
	}
}

// file builds a file from a header and a number of data bytes.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestABrokenFileIsRefused(t *testing.T) {
	one := func(shape, offsets string) string {
		return fmt.Sprintf(`{"w":{"dtype":"F32","shape":%s,"data_offsets":%s}}`, shape, offsets)
	}
	two := func(a, b string) string {
		return fmt.Sprintf(`{"a":{"dtype":"U8","shape":[2],"data_offsets":%s},"b":{"dtype":"U8","shape":[2],"data_offsets":%s}}`, a, b)
	}
	hugeHeader := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	tests := []struct {
		name string
		file []byte
		want string // in the error
	}{
		{"empty", nil, "0 bytes"},
		{"seven bytes", make([]byte, 7), "7 bytes"},
		{"no header", make([]byte, 8), "'{'"},
		{"header of 2^64-1 bytes", append(hugeHeader, '{', '}'), "at most 100000000"},
		{"header longer than the file", file(`{}`, 0)[:9], "truncated"},
		{"text in front of the object", file(` {}`, 0), "'{'"},
		{"unfinished object", file(`{"w":`, 0), "EOF"},
		{"unfinished entry", file(`{"w":{"dtype":"F32"`, 0), "EOF"},
		{"second object", file(`{}{}`, 0), "after the JSON"},
		{"invalid UTF-8", file("{\"\xff\":{}}", 0), "UTF-8"},
		{"name twice", file(`{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), `"w" occurs twice`},
		{"dtype twice", file(`{"w":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), `"dtype" occurs twice`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
		{"metadata that is no text", file(`{"__metadata__":{"format":1}}`, 0), `"format"`},
		{"metadata that is null", file(`{"__metadata__":{"format":null}}`, 0), `"format"`},
		{"entry that is no object", file(`{"w":[]}`, 0), `"w"`},
		{"unknown dtype", file(`{"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4), `"F31"`},
		{"no dtype", file(`{"w":{"shape":[1],"data_offsets":[0,4]}}`, 4), "dtype"},
		{"no shape", file(`{"w":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "no shape"},
		{"null shape", file(one("null", "[0,4]"), 4), "null"},
		{"null dimension", file(one("[null]", "[0,0]"), 0), "null"},
		{"fraction in the shape", file(one("[1.5]", "[0,4]"), 4), "shape"},
		{"negative dimension", file(one("[-1]", "[0,4]"), 4), "do not fit"},
		{"negative dimensions that multiply to one", file(one("[-1,-1]", "[0,4]"), 4), "do not fit"},
		{"shape that overflows", file(one("[4294967296,4294967296,4]", "[0,0]"), 0), "do not fit"},
		{"shape that overflows to its bytes", file(one("[4611686018427387905]", "[0,4]"), 4), "do not fit"},
		{"shape larger than its bytes", file(one("[2]", "[0,4]"), 4), "do not fit"},
		{"half a byte", file(`{"w":{"dtype":"F4","shape":[1],"data_offsets":[0,0]}}`, 0), "do not fit"},
		{"one offset", file(one("[1]", "[0]"), 4), "start and end"},
		{"three offsets", file(one("[1]", "[0,4,8]"), 4), "start and end"},
		{"offsets backwards", file(one("[0]", "[4,0]"), 4), "do not fit"},
		{"negative offset", file(one("[1]", "[-4,0]"), 4), "do not fit"},
		{"hole at the start", file(one("[1]", "[4,8]"), 8), "expected 0"},
		{"hole", file(two("[0,2]", "[3,5]"), 5), `"b" starts at byte 3`},
		{"overlap", file(two("[0,2]", "[1,3]"), 3), `"b" starts at byte 1`},
		{"the same bytes", file(two("[0,2]", "[0,2]"), 2), `"b" starts at byte 0`},
		{"truncated data", file(two("[2,4]", "[0,2]"), 3), `truncated: tensor "a" ends at byte 4 of the data, the file has 3`},
		{"trailing bytes", file(one("[1]", "[0,4]"), 5), "1 bytes after"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New("dir/model.safetensors", bytes.NewReader(test.file), int64(len(test.file)))
			if err == nil || !strings.HasPrefix(err.Error(), "dir/model.safetensors: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestUnusualButValidFilesAreRead(t *testing.T) {
	for name, data := range map[string][]byte{
		"no tensors":                     file(`{}`, 0),
		"padded header":                  file("{}   ", 0),
		"data in another order":          file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 3),
		"an empty tensor between":        file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},"c":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 1),
		"a member that nobody knows":     file(`{"b":{"dtype":"F4","shape":[2],"note":{"a":[1]},"data_offsets":[0,1]}}`, 1),
		"a zero beside a huge dimension": file(`{"b":{"dtype":"F32","shape":[0,4294967296],"data_offsets":[0,0]}}`, 0),
	} {
		if _, err := New("x", bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadNamesWhatIsWrong(t *testing.T) {
	f := openFile(t, "testdata/dtypes.safetensors")
	if err := f.Read("nobody", nil); err == nil || !strings.Contains(err.Error(), `dtypes.safetensors: no tensor "nobody"`) {
		t.Error(err)
	}
	if err := f.Read("f32", make([]float32, 14)); err == nil || !strings.Contains(err.Error(), `"f32" has 15 elements [3 5], expected 14`) {
		t.Error(err)
	}
}

func TestAFileThatShrankAfterOpeningIsAnError(t *testing.T) {
	whole := file(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)
	f, err := New("x", bytes.NewReader(whole[:len(whole)-1]), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Read("w", make([]float32, 2)); err == nil || !strings.Contains(err.Error(), `x: tensor "w": unexpected EOF`) {
		t.Error(err)
	}
}

func TestAValueTooLargeForF16IsAnErrorAndTheOldFileStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	write := func(v float32) error {
		return WriteFile(path, []Tensor{{Info{"w", F16, []int{2}}, []float32{1, v}}}, nil)
	}
	err := write(-65520)
	if err == nil || !strings.Contains(err.Error(), `"w": element 1 is -65520`) {
		t.Error(err)
	}
	if old, _ := os.ReadFile(path); string(old) != "old" {
		t.Errorf("the old file is now %q", old)
	}
	for _, v := range []float32{65519, float32(math.Inf(1)), float32(math.NaN())} {
		if err := write(v); err != nil {
			t.Errorf("%g: %v", v, err)
		}
	}
}

func TestMistakesOfTheProgrammerPanic(t *testing.T) {
	for name, tensors := range map[string][]Tensor{
		"name twice":    {{Info{"w", F32, []int{0}}, nil}, {Info{"w", F32, []int{0}}, nil}},
		"metadata name": {{Info{"__metadata__", F32, []int{0}}, nil}},
		"integer":       {{Info{"w", I64, []int{0}}, nil}},
		"shape":         {{Info{"w", F32, []int{2, 3}}, make([]float32, 5)}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = Write(new(bytes.Buffer), tensors, nil)
		})
	}
}

func FuzzNew(f *testing.F) {
	for _, path := range []string{"testdata/dtypes.safetensors", "testdata/floats.safetensors"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(file(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := New("fuzz", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			total += info.Elements() * info.DType.Size()
			if info.DType.Floats() {
				if err := file.Read(name, make([]float32, info.Elements())); err != nil {
					t.Error(err)
				}
			}
		}
		if total > len(data) {
			t.Errorf("tensors of %d bytes in a file of %d", total, len(data))
		}
	})
}
