package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/optim"
)

// Stage is a part of a run with its own trained parameters and learning rate,
// such as an epoch of the cross-attention alone, and then one of the whole
// decoder. It lasts for Epochs, or until MaxSteps updates, whichever comes
// first; 0 is no limit, and one of them must be given. What else is zero is as
// in [Options].
//
// The optimiser remembers what it knows of a parameter from one stage to the
// next if both train it. Each stage has its own warm-up and schedule, and the
// guard begins anew.
type Stage struct {
	Epochs   int `json:"epochs,omitempty"`
	MaxSteps int `json:"steps,omitempty"`
	// Train has the patterns of the trained parameters, for [layers.Trainable].
	// None: those that are trained when the run is made.
	Train        []string `json:"train,omitempty"`
	LearningRate float64  `json:"lr,omitempty"`
	LRScheduler  string   `json:"schedule,omitempty"`
	WarmupSteps  *int     `json:"warmup,omitempty"`
	// Rates are the learning rates of some of the trained parameters: the first
	// whose pattern matches counts.
	Rates []Rate `json:"rates,omitempty"`
}

// Rate is the learning rate of the parameters that match a pattern.
type Rate struct {
	Pattern      string  `json:"pattern"`
	LearningRate float64 `json:"lr"`
}

// ParseStage reads a stage written as words with spaces between, such as
// "epochs=1 train=decoder.* lr=1e-5 lr.wte=1e-6": epochs, steps, train
// (patterns with commas between), lr, schedule, warmup, and lr.PATTERN.
func ParseStage(text string) (Stage, error) {
	var s Stage
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return s, fmt.Errorf("stage %q: %q is not NAME=VALUE", text, word)
		}
		if seen[name] {
			return s, fmt.Errorf("stage %q: %s is given twice", text, name)
		}
		seen[name] = true
		if err := s.set(name, value); err != nil {
			return s, fmt.Errorf("stage %q: %s: %w", text, word, err)
		}
	}
	return s, nil
}

func (s *Stage) set(name, value string) (err error) {
	switch name {
	case "epochs":
		s.Epochs, err = strconv.Atoi(value)
	case "steps":
		s.MaxSteps, err = strconv.Atoi(value)
	case "train":
		s.Train = strings.Split(value, ",")
	case "lr":
		s.LearningRate, err = strconv.ParseFloat(value, 64)
		if err == nil && s.LearningRate == 0 {
			err = errors.New("must be positive")
		}
	case "schedule":
		s.LRScheduler = value
	case "warmup":
		var n int
		n, err = strconv.Atoi(value)
		s.WarmupSteps = &n
	default:
		pattern, ok := strings.CutPrefix(name, "lr.")
		if !ok || pattern == "" {
			return errors.New("no such setting: there are epochs, steps, train, lr, lr.PATTERN, schedule and warmup")
		}
		r := Rate{Pattern: pattern}
		r.LearningRate, err = strconv.ParseFloat(value, 64)
		s.Rates = append(s.Rates, r)
	}
	if n := (*strconv.NumError)(nil); errors.As(err, &n) {
		return errors.New("not a number of that kind")
	}
	return err
}

// String writes a stage as [ParseStage] reads it.
func (s Stage) String() string {
	var words []string
	add := func(name string, value any) { words = append(words, fmt.Sprintf("%s=%v", name, value)) }
	if s.Epochs != 0 {
		add("epochs", s.Epochs)
	}
	if s.MaxSteps != 0 {
		add("steps", s.MaxSteps)
	}
	if len(s.Train) > 0 {
		add("train", strings.Join(s.Train, ","))
	}
	if s.LearningRate != 0 {
		add("lr", s.LearningRate)
	}
	for _, r := range s.Rates {
		add("lr."+r.Pattern, r.LearningRate)
	}
	if s.LRScheduler != "" {
		add("schedule", s.LRScheduler)
	}
	if s.WarmupSteps != nil {
		add("warmup", *s.WarmupSteps)
	}
	return strings.Join(words, " ")
}

// ReadStages reads stages from a file: either a JSON list of them, or a line
// as [ParseStage] reads it for each, without those that are empty or begin
// with #.
func ReadStages(r io.Reader) ([]Stage, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	var out []Stage
	if strings.HasPrefix(text, "[") {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&out); err != nil {
			return nil, err
		}
	} else {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			s, err := ParseStage(line)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there are no stages in it")
	}
	return out, nil
}

// check returns the first thing that makes no sense.
func (s Stage) check() error {
	bad := func(rate float64) bool { return !(rate > 0) || math.IsInf(rate, 1) }
	switch {
	case s.Epochs < 0 || s.MaxSteps < 0:
		return errors.New("epochs and steps must not be negative")
	case s.Epochs == 0 && s.MaxSteps == 0:
		return errors.New("needs epochs or steps: how long it lasts")
	case s.LearningRate != 0 && bad(s.LearningRate):
		return errors.New("lr must be positive and finite")
	case s.WarmupSteps != nil && *s.WarmupSteps < 0:
		return errors.New("warmup must not be negative")
	}
	for _, r := range s.Rates {
		if bad(r.LearningRate) {
			return fmt.Errorf("lr.%s must be positive and finite", r.Pattern)
		}
	}
	if s.LRScheduler != "" {
		if _, err := optim.NewSchedule(s.LRScheduler, 0, 1); err != nil {
			return errors.New("schedule must be constant, linear or cosine")
		}
	}
	return nil
}

// plan is a stage with all that was left open filled in.
type plan struct {
	Stage
	warmup        int
	epochs, steps int // at most; all of the stage's updates, if none is skipped
	params        []optim.Param
}

// plans fills in the stages of a run over a model, whose trained parameters
// are then those of the last. A run without stages is one of one stage.
func (o Options) plans(model any, perEpoch int) ([]*plan, error) {
	stages := o.Stages
	if len(stages) == 0 {
		stages = []Stage{{Epochs: o.Epochs}}
	}
	first := trained(model)
	left := math.MaxInt // updates
	if o.MaxSteps > 0 {
		left = o.MaxSteps
	}
	var out []*plan
	for i, s := range stages {
		p := &plan{Stage: s, warmup: o.WarmupSteps, epochs: s.Epochs, params: first}
		if s.LearningRate == 0 {
			p.LearningRate = o.LearningRate
		}
		if s.LRScheduler == "" {
			p.LRScheduler = o.LRScheduler
		}
		if s.WarmupSteps != nil {
			p.warmup = *s.WarmupSteps
		}
		if len(s.Train) > 0 {
			if err := layers.Trainable(model, s.Train...); err != nil {
				return nil, &OptionError{"stage", fmt.Sprintf("%d: train: %v", i+1, err)}
			}
			p.params = trained(model)
		}
		if len(p.params) == 0 {
			return nil, errors.New("no parameter is trained: all are frozen")
		}
		if p.steps = s.Epochs * perEpoch; s.Epochs == 0 {
			p.epochs, p.steps = math.MaxInt, s.MaxSteps
		} else if s.MaxSteps > 0 {
			p.steps = min(p.steps, s.MaxSteps)
		}
		p.steps = min(p.steps, left)
		left -= p.steps
		if _, err := p.groups(o.WeightDecay, 0); err != nil {
			return nil, &OptionError{"stage", fmt.Sprintf("%d: %v", i+1, err)}
		}
		out = append(out, p)
		if left == 0 {
			break
		}
	}
	return out, nil
}

// groups are those of the optimiser, for a stage that begins after so many
// updates.
func (p *plan) groups(weightDecay float64, after int) ([]*optim.Group, error) {
	base, err := optim.NewSchedule(p.LRScheduler, p.warmup, p.steps)
	if err != nil {
		return nil, err
	}
	schedule := func(step int) float64 { return base(step - after) }
	named := make([]layers.Parameter, len(p.params))
	for i, q := range p.params {
		named[i] = layers.Parameter{Name: q.Name, Value: q.Value}
	}
	groups := []*optim.Group{{LearningRate: p.LearningRate}}
	of := make([]int, len(named)) // group of each parameter
	for _, r := range p.Rates {
		matched, err := layers.Match(named, r.Pattern)
		if err != nil {
			return nil, fmt.Errorf("lr.%s: of what is trained, %w", r.Pattern, err)
		}
		groups = append(groups, &optim.Group{LearningRate: r.LearningRate})
		for i, m := range matched {
			if m && of[i] == 0 {
				of[i] = len(groups) - 1
			}
		}
	}
	for i, q := range p.params {
		groups[of[i]].Params = append(groups[of[i]].Params, q)
	}
	var out []*optim.Group
	for _, g := range groups {
		if len(g.Params) > 0 {
			g.WeightDecay, g.Schedule = weightDecay, schedule
			out = append(out, g)
		}
	}
	return out, nil
}

// trains reports for each name whether the stage trains it.
func (p *plan) trains() map[string]bool {
	names := make(map[string]bool, len(p.params))
	for _, q := range p.params {
		names[q.Name] = true
	}
	return names
}

// position is where the current stage is and began: kept in the state of a
// run.
type position struct {
	Stage int `json:"stage"` // from 0
	Epoch int `json:"epoch"` // epochs and
	Step  int `json:"step"`  // updates before it
}

// Stager is a [Model] that wants to know when other parameters are trained
// than before: when a stage begins, and before a state of another stage is
// loaded.
type Stager interface{ Retrained() }

// enter begins a stage, or goes back to where one began.
func (t *Trainer[B]) enter(at position) error {
	p := t.plans[at.Stage]
	trains := p.trains()
	for _, q := range layers.Parameters(t.Model) {
		q.Value.ZeroGrad()
		q.Value.SetRequiresGrad(trains[q.Name])
	}
	if s, ok := t.Model.(Stager); ok {
		s.Retrained()
	}
	groups, err := p.groups(t.options.WeightDecay, at.Step)
	if err != nil {
		return err
	}
	fresh, err := t.options.newOptimizer(groups)
	if err != nil {
		return err
	}
	if t.Optimizer != nil {
		if err := fresh.LoadState(ofThese(t.Optimizer.State(), trains)); err != nil {
			return err
		}
	}
	t.average = averageFor(t.options.EMADecay, p.params, t.average)
	t.Optimizer, t.params, t.at, t.guard = fresh, p.params, at, guard{}
	return nil
}

// ofThese keeps what an optimiser remembers of some parameters.
func ofThese(s optim.State, names map[string]bool) optim.State {
	out := optim.State{Steps: s.Steps, Updates: map[string]int{}, Moments: map[string][]float32{}}
	for name, n := range s.Updates {
		if names[name] {
			out.Updates[name] = n
		}
	}
	for name, m := range s.Moments {
		if names[name[:strings.LastIndexByte(name, '.')]] { // see optim.MomentName
			out.Moments[name] = m
		}
	}
	return out
}

// stageEnd is the number of updates after which the current stage is over.
func (t *Trainer[B]) stageEnd() int { return t.at.Step + t.plans[t.at.Stage].steps }

// stageOver tells whether no epoch of the current stage is left.
func (t *Trainer[B]) stageOver() bool {
	return t.batch == 0 && (t.step >= t.stageEnd() || t.epoch-t.at.Epoch >= t.plans[t.at.Stage].epochs)
}

// next goes to the next stage when one is over; false: there is none.
func (t *Trainer[B]) next() (bool, error) {
	for t.stageOver() {
		if t.at.Stage+1 == len(t.plans) {
			return false, nil
		}
		if err := t.enter(position{t.at.Stage + 1, t.epoch, t.step}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Stage is the current stage from 1, with what it leaves open filled in, and
// how many there are.
func (t *Trainer[B]) Stage() (number, of int, s Stage) {
	p := t.plans[t.at.Stage]
	s = p.Stage
	s.WarmupSteps = &p.warmup
	return t.at.Stage + 1, len(t.plans), s
}

// begin tells the hooks of the current stage.
func (t *Trainer[B]) begin() error {
	if t.Hooks.Stage == nil {
		return nil
	}
	number, of, s := t.Stage()
	return t.Hooks.Stage(StageStart{Stage: s, Number: number, Of: of, Epoch: t.epoch + 1, Step: t.step + 1, Steps: t.plans[t.at.Stage].steps})
}

// StageStart is a stage that begins.
type StageStart struct {
	Stage
	Number, Of  int // from 1
	Epoch, Step int // the first ones, from 1
	Steps       int // updates it will make, if none is skipped
}
