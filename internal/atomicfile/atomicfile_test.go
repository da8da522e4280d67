package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// content reads a folder's only file; it fails if there are others, such as temporary ones left behind.
func content(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Fatalf("the folder holds %v", entries)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	for _, text := range []string{"first, longer", "second"} {
		if err := WriteBytes(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "new"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
			t.Errorf("before the end the file is %q, %v", got, err)
		}
		return broken
	})
	if err != broken {
		t.Errorf("error %v", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("%q, want the old content", got)
	}
}

func TestErrorsNameThePath(t *testing.T) {
	for _, path := range []string{
		filepath.Join(t.TempDir(), "missing", "a.json"), // no such folder
		t.TempDir(), // a folder cannot be replaced
	} {
		err := WriteBytes(path, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), "write "+path+": ") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

func TestANewFileHasTheUsualMode(t *testing.T) {
	dir := t.TempDir()
	usual, err := os.Create(filepath.Join(dir, "usual"))
	if err != nil {
		t.Fatal(err)
	}
	usual.Close()
	path := filepath.Join(dir, "ours")
	if err := WriteBytes(path, nil); err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(usual.Name())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if a.Mode() != b.Mode() {
		t.Errorf("mode %v, want %v", b.Mode(), a.Mode())
	}
}
