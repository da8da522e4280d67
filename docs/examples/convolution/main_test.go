package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

func TestAModelIsTrainedSavedLoadedAndRead(t *testing.T) {
	out := t.TempDir()
	random := layers.NewRandom(1)
	if err := run(context.Background(), newEncoder(random), random, 3, 4, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors", "lines.png"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
