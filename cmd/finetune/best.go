package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
)

// judge has the epochs judged as --metric-for-best-model says.
func (j *job) judge() error {
	byCIDEr := j.Training.MetricForBestModel == "cider"
	switch {
	case j.data.val == nil && byCIDEr:
		return cli.Usagef("--metric-for-best-model cider needs validation data")
	case j.data.val == nil && j.LoadBestModelAtEnd:
		return cli.Usagef("--load-best-model-at-end needs validation data")
	case byCIDEr:
		j.trainer.Score = j.cider
	}
	return nil
}

// cider captions all validation pictures and scores what was said.
func (j *job) cider(ctx context.Context) (float64, error) {
	all := j.data.val.Dataset().Len()
	var err error
	if j.said, err = j.caption(ctx, j.data.val, all, func(done int) {
		j.progress.Add(0, fmt.Sprintf("captioned %s/%s", comma(done), comma(all)))
	}); err != nil {
		return 0, err
	}
	pictures := make([]metrics.Picture, len(j.said))
	for i, s := range j.said {
		pictures[i] = metrics.Picture{Candidate: s.Generated, References: s.example.Captions}
	}
	scores, _, err := metrics.Evaluate(pictures)
	return scores.CIDEr, err
}

// loadBest puts the best epoch's weights into the model, if they are to be
// kept, and says which they are.
func (j *job) loadBest() error {
	epoch, value := j.trainer.Best()
	if epoch > 0 {
		fmt.Fprintf(os.Stderr, "\nthe best epoch was %d, with a validation %s of %.3f\n", epoch, j.Training.MetricForBestModel, value)
	}
	if !j.LoadBestModelAtEnd {
		return nil
	}
	if epoch == 0 {
		j.warn("no epoch has a finite validation loss: the model of the last one is kept")
		return nil
	}
	state, err := j.trainer.BestState(j.stateDir())
	if err != nil {
		return err
	}
	return j.trainer.LoadState(state)
}
