package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestAModelIsTrainedSavedLoadedAndRead(t *testing.T) {
	out := t.TempDir()
	if err := run(context.Background(), 3, 4, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors", "lines.png"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
