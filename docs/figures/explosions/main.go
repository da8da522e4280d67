// Command explosions measures when the training of a new cross-attention
// explodes, and what helps: it fine-tunes the embedded sample at many learning
// rates, plainly and with each cure, and writes the results, the figure and
// the table of docs/stability.md. Run it at the top of the repository:
//
//	go run ./docs/figures/explosions            # all, anew: half an hour on two cores
//	go run ./docs/figures/explosions --resume   # only what explosions.json lacks
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
)

const about = `
Fine-tune the embedded sample at learning rates from 1e-5 to 1e-2, plainly and
with each cure for exploding gradients, and write what came of it: the results
as JSON, a figure, and the tables of docs/stability.md.`

// Files, relative to --docs.
const (
	resultsFile = "figures/explosions/explosions.json"
	figureFile  = "images/explosions.svg"
	pageFile    = "stability.md"
)

func main() { cli.Main("explosions", run) }

func run(ctx context.Context, args []string) error {
	var docs string
	var resume bool
	f := cli.Flags("explosions [flags]", about)
	f.StringVar(&docs, "docs", "docs", "folder to write to")
	f.BoolVar(&resume, "resume", false, "keep the results that are there, and add what is missing")
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	results := Results{Steps: steps, BatchSize: batchSize}
	if resume {
		if err := read(filepath.Join(docs, resultsFile), &results); err != nil {
			return err
		}
	}
	if err := measure(ctx, &results, func() error { return hfconfig.Write(docs, resultsFile, results) }); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, figureFile), draw(results), 0o666); err != nil {
		return err
	}
	return updatePage(filepath.Join(docs, pageFile), results)
}

// read reads results, if there are any; they must be of runs of the same kind.
func read(path string, r *Results) error {
	want := *r
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.Steps != want.Steps || r.BatchSize != want.BatchSize {
		return fmt.Errorf("%s is of runs of %d updates of %d pictures, now they have %d of %d: start anew without --resume", path, r.Steps, r.BatchSize, want.Steps, want.BatchSize)
	}
	return nil
}
