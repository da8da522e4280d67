package statestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var format = Format{Encoder: [32]byte{1, 2, 3}, Dim: 5}

// warnings collects what a store tells.
type warnings struct {
	t    *testing.T
	said []string
}

func (w *warnings) add(message string) { w.said = append(w.said, message) }

// want checks that so many warnings came, all of which say some words.
func (w *warnings) want(n int, words ...string) {
	w.t.Helper()
	if len(w.said) != n {
		w.t.Fatalf("%d warnings, want %d: %q", len(w.said), n, w.said)
	}
	for _, message := range w.said {
		for _, word := range words {
			if !strings.Contains(message, word) {
				w.t.Errorf("%q does not say %q", message, word)
			}
		}
	}
	w.said = nil
}

func open(t *testing.T, dir string, f Format) (*Store, *warnings) {
	t.Helper()
	w := &warnings{t: t}
	s, err := Open(dir, f, w.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, w
}

func key(i int) Key { return sha256.Sum256(fmt.Append(nil, i)) }

// states are those of input i: 0 to 6 rows.
func states(i int) []float32 {
	out := make([]float32, i%7*format.Dim)
	for k := range out {
		out[k] = float32(i) + float32(k)/16
	}
	return out
}

// onlyFile is the one file below a folder.
func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"+extension))
	if err != nil || len(paths) != 1 {
		t.Fatalf("files %q, %v", paths, err)
	}
	return paths[0]
}

// fill opens a new folder's store, puts n inputs into it, and closes it.
func fill(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, w := open(t, dir, format)
	for i := range n {
		if !s.Put(key(i), states(i)) {
			t.Fatalf("%d is not kept", i)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.want(0)
	return dir
}

// check looks for the first n inputs, each of which must be right or missing,
// and counts those that are there.
func check(t *testing.T, s *Store, n int) (found int) {
	t.Helper()
	for i := range n {
		if got := s.Get(key(i)); got != nil {
			if found++; !slices.Equal(got, states(i)) {
				t.Fatalf("the states of %d are %v, want %v", i, got, states(i))
			}
		}
	}
	return found
}

func TestStatesAreFoundAtOnceAndAfterOpeningAgain(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		s, w := open(t, dir, format)
		if s.Len() != 50*run {
			t.Errorf("run %d: %d inputs are there", run, s.Len())
		}
		for i := range 50 * (run + 1) {
			if !s.Put(key(i), states(i)) {
				t.Errorf("%d is not kept", i)
			}
		}
		if found := check(t, s, 1000); found != 50*(run+1) {
			t.Errorf("run %d: %d found", run, found)
		}
		w.want(0)
	}
	s, _ := open(t, dir, format)
	check(t, s, 150)
	if paths, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(paths) != 3 {
		t.Errorf("files %q: a run that adds nothing has none", paths)
	}
}

func TestNumbersKeepTheirBitsOrTheirBFloat16(t *testing.T) {
	odd := []float32{0, float32(math.Copysign(0, -1)), 1, 1.00390625, 1.01171875, float32(math.Inf(-1)), math.MaxFloat32, math.SmallestNonzeroFloat32, math.Float32frombits(0x7f800001), -3.14159274}
	for _, c := range []struct {
		bfloat16 bool
		want     []uint32
	}{
		{false, []uint32{0, 1 << 31, 0x3f800000, 0x3f808000, 0x3f818000, 0xff800000, 0x7f7fffff, 1, 0x7f800001, 0xc0490fdb}},
		{true, []uint32{0, 1 << 31, 0x3f800000, 0x3f800000, 0x3f820000, 0xff800000, 0x7f800000, 0, 0x7fc00000, 0xc0490000}},
	} {
		f := format
		f.BFloat16 = c.bfloat16
		dir := t.TempDir()
		s, _ := open(t, dir, f)
		s.Put(key(1), odd)
		again, _ := open(t, dir, f)
		for _, s := range []*Store{s, again} {
			var got []uint32
			for _, x := range s.Get(key(1)) {
				got = append(got, math.Float32bits(x))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("bfloat16 %v: %x, want %x", c.bfloat16, got, c.want)
			}
		}
	}
}

func TestStatesOfAnotherFormatAreNotFound(t *testing.T) {
	dir := fill(t, 5)
	encoder, dim, half := format, format, format
	encoder.Encoder[31]++ // the folder's name is the same
	dim.Dim++
	half.BFloat16 = true
	for _, c := range []struct {
		Format
		warnings int
	}{{encoder, 1}, {dim, 1}, {half, 0}} {
		s, w := open(t, dir, c.Format)
		w.want(c.warnings, "is not used", "other states")
		if s.Len() != 0 || s.Get(key(1)) != nil {
			t.Errorf("%+v: states were found", c.Format)
		}
	}
}

func TestAFileCutShortAnywhereLosesOnlyTheLastStates(t *testing.T) {
	const n = 8
	whole, err := os.ReadFile(onlyFile(t, fill(t, n)))
	if err != nil {
		t.Fatal(err)
	}
	path := onlyFile(t, fill(t, n))
	before := n
	for size := len(whole); size >= 0; size-- {
		if err := os.Truncate(path, int64(size)); err != nil {
			t.Fatal(err)
		}
		s, w := open(t, filepath.Dir(filepath.Dir(path)), format)
		found := check(t, s, n)
		if found > before || found < before-1 {
			t.Fatalf("%d bytes: %d found, one byte more: %d", size, found, before)
		}
		before = found
		w.want(0)
		s.Close()
	}
	if before != 0 {
		t.Errorf("an empty file has %d", before)
	}
}

func TestAByteChangedAnywhereLosesOneInputAndIsTold(t *testing.T) {
	const n = 8
	dir := fill(t, n)
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 0x10
		if err := os.WriteFile(path, changed, 0o666); err != nil {
			t.Fatal(err)
		}
		s, w := open(t, dir, format)
		found := check(t, s, n)
		switch {
		case i < block: // whose states these are is not known
			if found != 0 {
				t.Fatalf("byte %d: %d found", i, found)
			}
			w.want(1, path, "is not used")
		case found == n:
			w.want(0) // zeros at the end of a record
		case found == n-1:
			told++
			w.want(1, path, "damaged")
		default:
			t.Fatalf("byte %d: %d found", i, found)
		}
		s.Close()
	}
	if headers := n * block; told < headers {
		t.Errorf("%d changes were told, those of headers alone are %d", told, headers)
	}
}

func TestDamagedStatesAreReplaced(t *testing.T) {
	dir := fill(t, 8)
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, binary.LittleEndian.AppendUint32(nil, math.Float32bits(states(3)[0])))
	whole[at]++
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	s, w := open(t, dir, format)
	if s.Get(key(3)) != nil {
		t.Fatal("damaged states were served")
	}
	w.want(1, "damaged", "checksum")
	if !s.Put(key(3), states(3)) || check(t, s, 8) != 8 {
		t.Error("they are not there after a second Put")
	}
	again, w := open(t, dir, format)
	if check(t, again, 8) != 8 {
		t.Error("they are not there when the folder is opened again")
	}
	w.want(0)
}

func TestAFileThatIsCutShortWhileInUseIsNoCrash(t *testing.T) {
	// More than a page, so that the memory behind the end is gone.
	wide := Format{Dim: 1 << 16}
	dir := t.TempDir()
	s, _ := open(t, dir, wide)
	for i := range 3 {
		s.Put(key(i), make([]float32, wide.Dim))
	}
	reader, w := open(t, dir, wide)
	if err := os.Truncate(onlyFile(t, dir), block+block+4*1<<16+100); err != nil {
		t.Fatal(err)
	}
	if reader.Get(key(0)) == nil {
		t.Error("what is still there is not found")
	}
	if reader.Get(key(1)) != nil || reader.Get(key(2)) != nil {
		t.Error("what is gone was served")
	}
	w.want(1, "damaged")
}

func TestManyMayPutAndGetAtOnce(t *testing.T) {
	dir := t.TempDir()
	var running sync.WaitGroup
	for range 3 {
		s, _ := open(t, dir, format)
		for worker := range 4 {
			running.Go(func() {
				for i := range 100 {
					i = (i + 25*worker) % 100
					s.Put(key(i), states(i))
					if got := s.Get(key(i)); !slices.Equal(got, states(i)) {
						t.Errorf("the states of %d are %v", i, got)
					}
				}
			})
		}
	}
	running.Wait()
	s, w := open(t, dir, format)
	if s.Len() != 100 || check(t, s, 100) != 100 {
		t.Errorf("%d inputs are there", s.Len())
	}
	w.want(0)
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "cache"), format, nil); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

func TestAFolderThatGoesAwayTurnsWritingOffOnce(t *testing.T) {
	dir := t.TempDir()
	s, w := open(t, dir, format)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if s.Put(key(i), states(i)) || s.Get(key(i)) != nil {
			t.Errorf("%d is kept", i)
		}
	}
	w.want(1, "no more encoder states are written", dir)
}
