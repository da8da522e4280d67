package train

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/optim"
)

// A state is a folder such as state-0000120-0003, for the state after 120
// updates and 3 whole epochs, which holds the trained weights, their averages, the optimiser's moments and where the run was.
// What is frozen is not in it, but its fingerprint is.
const (
	statePrefix = "state-"
	stateFile   = "state.json"
	weightsDir  = "weights"
	momentsDir  = "moments"
	averageDir  = "average"
)

type savedState struct {
	Options    Options        `json:"options"`
	At         position       `json:"stage"`
	Epoch      int            `json:"epoch"`
	Batch      int            `json:"batch"`
	Step       int            `json:"step"`
	LossSum    string         `json:"loss_sum"` // hexadecimal, so that no bit is lost
	Labels     int            `json:"labels"`
	Updates    map[string]int `json:"optimizer_updates"`          // of each parameter
	Averaged   map[string]int `json:"averaged_updates,omitempty"` // of each parameter
	Guard      guard          `json:"guard"`
	Best       bestEpoch      `json:"best"`
	Frozen     string         `json:"frozen_sha256"`
	NumBatches int            `json:"num_batches"`
}

func stateName(step, epoch int) string { return fmt.Sprintf("%s%07d-%04d", statePrefix, step, epoch) }

// SaveState writes the state of the run to a new folder inside dir, and
// removes all but the newest keep ones and that of the best epoch. The folder appears under its name only
// when it is complete, so a run can be killed at any moment.
func (t *Trainer[B]) SaveState(dir string, keep int) error {
	final := filepath.Join(dir, stateName(t.step, t.epoch))
	if _, err := os.Stat(final); err == nil {
		return nil // nothing was done since it was saved
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	opt := t.Optimizer.State()
	for _, part := range []struct {
		dir    string
		params []checkpoint.Param
	}{
		{weightsDir, t.average.unaveraged(t.trainedWeights())}, {momentsDir, moments(opt)}, {averageDir, t.average.saved()},
	} {
		if len(part.params) == 0 {
			continue
		}
		if err := checkpoint.Save(filepath.Join(temp, part.dir), part.params, checkpoint.SaveOptions{}); err != nil {
			return err
		}
	}
	if err := hfconfig.Write(temp, stateFile, savedState{
		Options: t.options, At: t.at, Epoch: t.epoch, Batch: t.batch, Step: t.step,
		LossSum: fmt.Sprintf("%x", math.Float64bits(t.lossSum)), Labels: t.labels,
		Updates: opt.Updates, Averaged: t.average.counts(), Guard: t.guard, Best: t.best,
		Frozen: t.fingerprint(), NumBatches: t.train.NumBatches(),
	}); err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		return err
	}
	all, err := States(dir)
	if err != nil {
		return err
	}
	best := stateName(t.best.Step, t.best.Epoch)
	for _, old := range all[:max(0, len(all)-keep)] {
		if t.best.Epoch > 0 && filepath.Base(old) == best {
			continue
		}
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	return nil
}

// StateBytes is about how much a state takes on the disk: the weights of all
// stages, and of those of one stage their averages and two moments.
func (t *Trainer[B]) StateBytes() int64 {
	each := 0 // numbers for each weight of a stage
	if t.options.Optimizer != "sgd" {
		each += 2
	}
	if t.options.EMADecay > 0 {
		each++
	}
	weights, most := 0, 0
	for _, p := range t.trainedWeights() {
		weights += len(p.Data)
	}
	for _, p := range t.plans {
		size := 0
		for _, q := range p.params {
			size += q.Value.Size()
		}
		most = max(most, size)
	}
	return 4 * int64(weights+each*most)
}

// States lists the states in a folder, oldest first. A folder that is not
// there has none.
func States(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), statePrefix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(out)
	return out, nil
}

// LoadState goes on where SaveState was called. The model, the data and the
// options must be those of the saved run; the error says what is not.
func (t *Trainer[B]) LoadState(dir string) error {
	fsys, err := hfconfig.FS(dir)
	if err != nil {
		return err
	}
	var s savedState
	if err := hfconfig.Read(fsys, stateFile, &s); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	switch {
	case !reflect.DeepEqual(s.Options, t.options):
		return fmt.Errorf("%s was saved with other options: %+v, now %+v", dir, s.Options, t.options)
	case s.Frozen != t.fingerprint():
		return fmt.Errorf("%s belongs to another model: the frozen weights differ", dir)
	case s.NumBatches != t.train.NumBatches():
		return fmt.Errorf("%s belongs to other data: %d batches an epoch, now %d", dir, s.NumBatches, t.train.NumBatches())
	case s.At.Stage < 0 || s.At.Stage >= len(t.plans):
		return fmt.Errorf("%s: %s: there is no stage %d", dir, stateFile, s.At.Stage)
	}
	var bits uint64
	if _, err := fmt.Sscanf(s.LossSum, "%x", &bits); err != nil {
		return fmt.Errorf("%s: %s: loss_sum %q is not a number", dir, stateFile, s.LossSum)
	}
	opt := optim.State{Steps: s.Step, Updates: s.Updates, Moments: map[string][]float32{}}
	if _, err := fs.Stat(fsys, momentsDir); err == nil {
		if err := readMoments(fsys, opt.Moments); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	if s.At != t.at {
		for i := range s.At.Stage { // the model is told of all that were trained
			if err := t.enter(position{Stage: i}); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		if err := t.enter(s.At); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	if err := readAll(fsys, weightsDir, t.trainedWeights()); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := t.average.load(fsys, s.Averaged); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	layers.Changed(t.Model)
	if err := t.Optimizer.LoadState(opt); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	t.epoch, t.batch, t.step = s.Epoch, s.Batch, s.Step
	scaleRates(t.Optimizer, math.Pow(0.5, float64(s.Guard.Halved-t.guard.Halved)))
	t.guard, t.best = s.Guard, s.Best
	t.lossSum, t.labels = math.Float64frombits(bits), s.Labels
	return nil
}

// trainedWeights are those that any stage trains.
func (t *Trainer[B]) trainedWeights() []checkpoint.Param {
	var params []layers.Parameter
	names := t.everTrained()
	for _, p := range layers.Parameters(t.Model) {
		if names[p.Name] {
			params = append(params, p)
		}
	}
	return weights.Params(params)
}

func (t *Trainer[B]) everTrained() map[string]bool {
	names := map[string]bool{}
	for _, p := range t.plans {
		maps.Copy(names, p.trains())
	}
	return names
}

// fingerprint is the hash of the names and elements of all parameters that no
// stage trains.
func (t *Trainer[B]) fingerprint() string {
	h := sha256.New()
	names := t.everTrained()
	for _, p := range layers.Parameters(t.Model) {
		if !names[p.Name] {
			h.Write([]byte(p.Name))
			data := weights.Params([]layers.Parameter{p})[0].Data
			hashFloats(h, data)
			mmap.Release(data) // not all that is frozen is used in training
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashFloats(h interface{ Write([]byte) (int, error) }, x []float32) {
	var buf [4096]byte
	for len(x) > 0 {
		n := min(len(x), len(buf)/4)
		for i, v := range x[:n] {
			bits := math.Float32bits(v)
			buf[4*i], buf[4*i+1], buf[4*i+2], buf[4*i+3] = byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24)
		}
		h.Write(buf[:4*n])
		x = x[n:]
	}
}

func moments(s optim.State) []checkpoint.Param {
	var out []checkpoint.Param
	for name, x := range s.Moments {
		out = append(out, checkpoint.Param{Name: name, Shape: []int{len(x)}, Data: x})
	}
	slices.SortFunc(out, func(a, b checkpoint.Param) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func readMoments(fsys fs.FS, into map[string][]float32) error {
	sub, err := fs.Sub(fsys, momentsDir)
	if err != nil {
		return err
	}
	ck, err := checkpoint.Open(sub)
	if err != nil {
		return err
	}
	defer ck.Close()
	for _, name := range ck.Names() {
		info, _ := ck.Info(name)
		into[name] = make([]float32, info.Elements())
		if err := ck.Read(name, into[name]); err != nil {
			return err
		}
	}
	return nil
}

func readAll(fsys fs.FS, dir string, params []checkpoint.Param) error {
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		return err
	}
	ck, err := checkpoint.Open(sub)
	if err != nil {
		return err
	}
	defer ck.Close()
	_, err = checkpoint.Load(ck, params, checkpoint.Options{})
	return err
}
