package atomicfile

import (
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A limit on the size of files stands in for a full disk: the kernel cuts the write short and the next one fails.
func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := syscall.Rlimit{Cur: 1 << 20, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}()
	err := Write(path, func(w io.Writer) error {
		for piece := make([]byte, 300_000); ; {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("%q, want the old content", got)
	}
}
