package mmap

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// numbers writes 0, 1, 2, … to a file, after some bytes, and maps it.
func numbers(t *testing.T, n, before int) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "numbers")
	b := make([]byte, before)
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err = Private(f, int64(len(b)))
	if errors.Is(err, errors.ErrUnsupported) {
		return path, b // what follows holds for plain memory too
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestPrivateMemoryHoldsTheFileAndKeepsChangesToItself(t *testing.T) {
	const n = 100_000
	path, data := numbers(t, n, 8)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x, ok := Floats(data[8:])
	if !ok {
		t.Fatal("the bytes are not seen as numbers")
	}
	for i := range x {
		if x[i] != float32(i) {
			t.Fatalf("number %d is %v", i, x[i])
		}
		x[i]++
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("writing to memory changed the file")
	}
}

func TestReleasingLosesNothing(t *testing.T) {
	const n = 1 << 20
	_, data := numbers(t, n, 8)
	x, _ := Floats(data[8:])
	want := make([]float32, n)
	copy(want, x)
	for _, i := range []int{3, 5000, 5001, 700_000, n - 1} { // pages that now differ from the file
		x[i], want[i] = -1, -1
	}
	heap := append([]float32(nil), want...)
	for _, released := range [][]float32{x, x[1:], x[4097:], x[:100], x[:0], nil, heap, heap[77:]} {
		Release(released)
		for i := range want {
			if x[i] != want[i] || heap[i] != want[i] {
				t.Fatalf("number %d is %v, in the heap %v, want %v", i, x[i], heap[i], want[i])
			}
		}
	}
}

func TestRowsAreCopiedAsTheyAre(t *testing.T) {
	const n, dim = 1 << 20, 77
	_, data := numbers(t, n, 8)
	x, _ := Floats(data[8:])
	rows := []int{0, 3, 3, 900, 13_000, n/dim - 1}
	want := make([]float32, 0, len(rows)*dim)
	for i := range rows {
		for j := range dim {
			want = append(want, float32(rows[i]*dim+j))
		}
	}
	check := func(what string) {
		t.Helper()
		got := make([]float32, len(want))
		CopyRows(got, x, rows, dim)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], want[i])
			}
		}
	}
	check("not in memory")
	x[3*dim+5], want[dim+5], want[2*dim+5] = -1, -1, -1
	check("changed in memory")
	for i := range x {
		x[i] += 0.5
	}
	for i := range want {
		want[i] += 0.5
	}
	check("all changed")
	Release(x)
	check("released")
}

func TestBytesThatAreNoNumbersAreNotSeenAsSuch(t *testing.T) {
	b := make([]byte, 16)
	for _, bad := range [][]byte{b[1:5], b[2:6], b[3:7], b[:3]} {
		if _, ok := Floats(bad); ok {
			t.Errorf("%d bytes are taken for numbers", len(bad))
		}
	}
	if x, ok := Floats(nil); !ok || len(x) != 0 {
		t.Error("no bytes are no numbers")
	}
}

func TestAnEmptyFileIsRefused(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Private(f, 0); err == nil {
		t.Error("no error")
	}
}

func TestSharedMemoryHoldsTheFile(t *testing.T) {
	path, want := numbers(t, 5000, 3)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, unmap, err := Shared(f, int64(len(want)))
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != string(want) {
		t.Error("the memory differs from the file")
	}
	if err := unmap(); err != nil {
		t.Error(err)
	}
	if _, _, err := Shared(f, 0); err == nil {
		t.Error("nothing was mapped without an error")
	}
}
