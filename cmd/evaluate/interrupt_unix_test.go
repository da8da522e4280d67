//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
)

func TestCtrlCEndsItAndLeavesNoFile(t *testing.T) {
	data := tiny.Data(t, 1)
	var lines strings.Builder
	for i := range 5000 { // one picture by many names
		fmt.Fprintf(&lines, "{\"image\": \"%s00.png\", \"caption\": \"a red square\"}\n", strings.Repeat("./", i%2000)+strings.Repeat("../"+filepath.Base(filepath.Dir(data))+"/", i/2000))
	}
	if err := os.WriteFile(data, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	p := command.Start(t, "", "--model", model(t), "--data", data, "--batch-size", "1", "--per-caption", filepath.Join(out, "captions.jsonl"))
	for written := int64(0); written == 0; time.Sleep(time.Millisecond) { // until it is under way
		files, _ := filepath.Glob(filepath.Join(out, ".captions*"))
		if len(files) == 1 {
			if info, err := os.Stat(files[0]); err == nil {
				written = info.Size()
			}
		}
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	tiny.Finish(t, p).Want(t, 1, "interrupted")
	if left, _ := os.ReadDir(out); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
