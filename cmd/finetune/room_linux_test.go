package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
)

func TestARunThatCannotWriteItsFilesEndsBeforeTraining(t *testing.T) {
	model, data := tiny.Folder(t, tiny.Options{}), tiny.Data(t, 8)
	out := filepath.Join(t.TempDir(), "run")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"more states than any disk holds": {quick(model, data, out, "--epochs", "100000000", "--save-total-limit", "1000000000"), []string{"--out " + out, "left", "--save-total-limit"}},
		"no folder can be made there":     {quick(model, data, "/proc/run"), []string{"--out", "/proc/run"}},
	} {
		r := finetune.Run(t, "", c.args...)
		r.Want(t, 1, c.want...)
		if strings.Contains(r.Stderr, "epoch 1") {
			t.Errorf("%s: found too late:\n%s", name, r.Stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a folder was made", name)
		}
	}
}
