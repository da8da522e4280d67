package main

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/ekphrasis-ml/ekphrasis/internal/system"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// checkRoom returns an error if the disk has no room for what the run will
// write: the model, and a second one while it is replaced; the states that are
// kept, that of the best epoch, and one that is being written.
func (j *job) checkRoom() error {
	total, _ := layers.Count(j.model)
	model, state := 4*int64(total), j.trainer.StateBytes()
	states := int64(min(max(j.SaveTotalLimit, 1), j.trainer.TotalSteps(), 1<<20) + 2)
	need := 2*model + states*state - written(filepath.Join(j.Out, train.ModelDir)) - written(j.stateDir())
	free, known := system.FreeSpace(j.Out)
	if !known || need <= free {
		return nil
	}
	size := func(n int64) string { return humanize.Bytes(uint64(n)) }
	return fmt.Errorf("--out %s: the disk has %s left, and the run needs %s: for the model twice %s, for %d states %s each; choose a folder on another disk, or lower --save-total-limit",
		j.Out, size(free), size(need), size(model), states, size(state))
}

// written is how many bytes the files below a folder have; of one that is not
// there, none.
func written(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // what cannot be looked at is not counted
	})
	return n
}
