// Command finetune teaches a vision encoder-decoder to describe pictures.
//
// Without flags it joins the small ViT and GPT-2 of the embedded sample,
// freezes both, and trains the cross-attention between them on the sample's
// pictures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func main() { cli.Main("finetune", run) }

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	r, err := prepare(ctx, s)
	if err != nil {
		return err
	}
	return r.train(ctx)
}

// job is a run that is ready to go.
type job struct {
	settings
	model    *seq2seq.VisionEncoderDecoder
	task     *train.Captioning[vision.Pixels]
	data     parts
	trainer  *train.Trainer[train.Batch[vision.Pixels]]
	folder   *train.Folder
	progress *cli.Progress
	out      io.Writer // tables, or JSON lines with --json
	warned   bool
	said     []captioned // of all validation pictures after the last epoch, if CIDEr is measured
	saved    time.Time   // when a state last was
	reported int         // updates when the last epoch was reported
}

// prepare loads the model and the data, says what will be done, and opens the
// run folder, so that what can go wrong does so before training starts.
func prepare(ctx context.Context, s settings) (*job, error) {
	j := &job{settings: s, out: os.Stdout}
	if s.JSON {
		j.out = io.Discard
	}
	var err error
	if j.model, err = s.loadModel(ctx); err != nil {
		return nil, err
	}
	if err := s.setDropout(j.model); err != nil {
		return nil, err
	}
	if g := &j.model.Generation; g.MaxNewTokens == 0 && g.MaxLength == 0 {
		g.MaxNewTokens = s.maxNewTokens(j.model) // as long as what it learns from
	}
	if err := layers.Trainable(j.model, s.trainable(j.model)...); err != nil {
		return nil, cli.Usagef("--trainable: %w", err)
	}
	if j.task, err = s.newTask(j.model, j.warn); err != nil {
		return nil, err
	}
	if j.data, err = s.loadData(j.model, j.task.Lacks); err != nil {
		return nil, err
	}
	if j.trainer, err = train.New(j.task, train.Data[train.Batch[vision.Pixels]](j.data.train), j.data.validation(), s.Training); err != nil {
		if o := (*train.OptionError)(nil); errors.As(err, &o) {
			return nil, cli.Usage{Err: flagOf(err)}
		}
		return nil, err
	}
	if err := j.judge(); err != nil {
		return nil, err
	}
	j.trainer.Hooks = train.Hooks{Stage: j.stage, Step: j.step, Skip: j.skip, Epoch: j.epoch}
	if err := j.checkRoom(); err != nil {
		return nil, err
	}
	if s.resume != "" {
		err = j.reopen()
	} else if j.folder, err = train.NewFolder(s.Out, s); err != nil {
		err = fmt.Errorf("--out: %w", err)
	}
	if err != nil {
		return nil, err
	}
	j.describe()
	return j, nil
}

// reopen goes on with the newest state of a run folder.
func (j *job) reopen() error {
	states, err := train.States(j.stateDir())
	if err != nil {
		return err
	}
	if len(states) > 0 {
		if err := j.trainer.LoadState(states[len(states)-1]); err != nil {
			return err
		}
	}
	j.folder, err = train.ResumeFolder(j.Out, j.trainer.StepsDone(), j.trainer.EpochsDone())
	return err
}

func (j *job) train(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, j.folder.Close()) }()
	j.progress = cli.NewProgress("training", "pairs", j.pairsAfter(j.trainer.TotalSteps()))
	j.reported, j.saved = j.trainer.StepsDone(), time.Now()
	j.progress.Skip(j.pairsAfter(j.trainer.StepsDone()))
	err = j.trainer.Run(ctx)
	j.progress.Done()
	err = errors.Join(err, j.folder.Report()) // also of a run that broke off
	if errors.Is(err, context.Canceled) {
		if saveErr := j.saveState(); saveErr != nil {
			return errors.Join(err, saveErr)
		}
		return fmt.Errorf("stopped after step %d; go on with: finetune --resume %s", j.trainer.StepsDone(), j.Out)
	}
	if err == nil {
		err = j.loadBest()
	}
	if err != nil {
		return err
	}
	if err := j.trainer.Averaged(func() error {
		if err := j.saveModel(); err != nil {
			return err
		}
		return j.conclude(ctx)
	}); err != nil {
		return err
	}
	if j.EncoderCache != "" {
		fmt.Fprintf(os.Stderr, "the encoder ran on %s pictures; %s has %s\n", comma(j.task.Encoded()), j.EncoderCache, comma(j.task.CacheLen()))
	}
	return j.task.CloseCache()
}

// stage is called before the first update of each stage.
func (j *job) stage(s train.StageStart) error {
	if s.Of > 1 {
		j.progress.Clear()
		_, trained := layers.Count(j.model)
		fmt.Fprintf(os.Stderr, "\nstage %d of %d from update %s: %s (%s parameters trained, %s updates)\n", s.Number, s.Of, comma(s.Step), s.Stage, comma(trained), comma(s.Steps))
	}
	return j.folder.Stage(s)
}

// step is called after each update.
func (j *job) step(s train.Step) error {
	j.progress.Add(j.pairsAfter(s.Step)-j.pairsAfter(s.Step-1), fmt.Sprintf("loss %.3f", s.Loss))
	if err := j.folder.Step(s); err != nil {
		return err
	}
	if s.Step == 1 || s.Step%50 == 0 {
		if err := j.folder.Histograms(j.model, s.Step); err != nil {
			return err
		}
	}
	due := j.SaveMinutes > 0 && time.Since(j.saved).Minutes() >= j.SaveMinutes
	if due || j.SaveSteps > 0 && s.Step%j.SaveSteps == 0 {
		return j.saveState()
	}
	return nil
}

// skip is called after each update that the guard did not make.
func (j *job) skip(s train.Skip) error {
	j.progress.Clear()
	fmt.Fprintf(os.Stderr, "update %d: %s\n", s.Step, s.Why)
	return j.folder.Skip(s)
}

// epoch is called after each epoch and its validation.
func (j *job) epoch(e train.Epoch) error {
	if err := j.folder.Epoch(e); err != nil {
		return err
	}
	samples, err := j.samples()
	if err != nil {
		return err
	}
	j.progress.Clear()
	j.report(e, samples)
	if err := j.record(e, samples); err != nil {
		return err
	}
	if !j.LoadBestModelAtEnd || e.Best {
		if err := j.saveModel(); err != nil {
			return err
		}
	}
	return j.saveState()
}

func (j *job) stateDir() string { return filepath.Join(j.Out, train.StateDir) }

func (j *job) saveState() error {
	j.saved = time.Now()
	return j.trainer.SaveState(j.stateDir(), max(j.SaveTotalLimit, 1))
}

func (j *job) saveModel() error {
	return j.model.Save(filepath.Join(j.Out, train.ModelDir), seq2seq.SaveOptions{Warn: j.warnOnce})
}

// warn tells of what the run goes on in spite of.
func (j *job) warn(message string) {
	if j.progress != nil {
		j.progress.Clear()
	}
	fmt.Fprintln(os.Stderr, "warning:", message)
}

// warnOnce tells a warning that comes each time the model is saved.
func (j *job) warnOnce(message string) {
	if !j.warned {
		fmt.Fprintln(os.Stderr, "warning:", message)
	}
	j.warned = true
}

// printJSON writes a line to standard output with --json.
func (j *job) printJSON(v any) error {
	if !j.JSON {
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}
