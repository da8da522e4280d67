// Package optim changes weights by their gradients: AdamW, Adam and SGD with the
// arithmetic of PyTorch 2.15 (torch.optim on a CPU, one tensor at a time), parameter
// groups, learning-rate schedules and clipping by the global norm.
//
// Start from [NewAdamW]. A [Group] is a list of named parameters which share a
// learning rate, a weight decay and a [Schedule]:
//
//	schedule, err := optim.NewSchedule("linear", 100, totalSteps)
//	o, err := optim.NewAdamW([]*optim.Group{{
//		Params: params, LearningRate: 1e-4, WeightDecay: 0.01, Schedule: schedule,
//	}}, optim.DefaultAdam())
//	for each batch {
//		o.ZeroGrad()
//		// forward, ag.Backward(loss)
//		norm, err := optim.ClipGradNorm(params, 1)
//		err = o.Step()
//	}
//
// Spago's own optimizers differ from PyTorch in bias correction, epsilon and decay, and its
// clipper fails on frozen parameters. Here a frozen parameter is refused when an optimizer
// is made, so memory is spent on what is trained only.
package optim

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Param is a parameter of a model and its name, under which messages and
// checkpoints know it.
type Param struct {
	Name  string
	Value *nn.Param
}

// Group is a set of parameters with their own options. The options may be
// changed between steps.
type Group struct {
	Params       []Param
	LearningRate float64
	WeightDecay  float64  // AdamW: decoupled from the gradient; Adam, SGD: added to it (L2)
	Schedule     Schedule // multiplies LearningRate; nil: 1 always
}

// Rate is the learning rate of the update that follows the given number of updates.
func (g *Group) Rate(steps int) float64 {
	if g.Schedule == nil {
		return g.LearningRate
	}
	return g.LearningRate * g.Schedule(steps)
}

// Optimizer changes parameters by their gradients.
type Optimizer interface {
	// Step makes one update of each parameter that has a gradient, in place. A parameter
	// without a gradient, or frozen meanwhile, is left alone together with its moments. An
	// error is returned before anything is changed.
	Step() error
	// Steps is the number of updates made: what a Schedule counts.
	Steps() int
	// ZeroGrad forgets the gradients of all parameters.
	ZeroGrad()
	// Groups are the groups the optimizer was made with, and those added.
	Groups() []*Group
	// AddGroup takes on more parameters, for unfreezing in stages. Its errors are those of
	// the constructors.
	AddGroup(*Group) error
	// State is what must be kept to go on later as if nothing had happened.
	State() State
	// LoadState puts back what State gave. It fails, and changes nothing, when a name is not a
	// trained parameter's, a length differs, or the state is that of another kind of optimizer.
	LoadState(State) error
}

// State is an optimizer's memory by the names of the parameters.
type State struct {
	Steps int // updates made, as Optimizer.Steps
	// Updates has the number of updates of each parameter that has had one.
	Updates map[string]int
	// Moments has PyTorch's exp_avg and exp_avg_sq (Adam, AdamW) or momentum_buffer (SGD
	// with momentum) of each parameter in Updates, in the order of its values, under the
	// name MomentName gives. State shares them with the optimizer, so they are good until the
	// next Step. Those of a float64 parameter are copies rounded to float32.
	Moments map[string][]float32
}

// MomentName is the key in State.Moments of one moment of a parameter:
// MomentName("wte.weight", "exp_avg") is "wte.weight.exp_avg".
func MomentName(param, moment string) string { return param + "." + moment }

// rule is what tells one optimizer from another. update changes the weights w and the moments
// m by the gradient g times scale for the t-th time (from 1), with learning rate lr and weight decay wd.
// Moments are zero at first.
type rule struct {
	name     string
	moments  []string
	update32 update[float32]
	update64 update[float64]
}

type update[T float32 | float64] func(w, g []T, m [][]T, scale, lr, wd float64, t int)

// slot is the memory of one parameter. Moments are nil before its first update, and of the
// parameter's own type.
type slot struct {
	updates int
	m32     [][]float32
	m64     [][]float64
}

type optimizer struct {
	rule
	groups []*Group
	steps  int
	slots  map[string]*slot
	owner  map[*nn.Param]string
}

func newOptimizer(r rule, groups []*Group) (Optimizer, error) {
	o := &optimizer{rule: r, slots: map[string]*slot{}, owner: map[*nn.Param]string{}}
	for _, g := range groups {
		if err := o.AddGroup(g); err != nil {
			return nil, err
		}
	}
	if len(o.slots) == 0 {
		return nil, fmt.Errorf("optim: %s got no parameters", r.name)
	}
	return o, nil
}

func (o *optimizer) AddGroup(g *Group) error {
	if err := o.check(g); err != nil {
		return err
	}
	o.groups = append(o.groups, g)
	for _, p := range g.Params {
		o.slots[p.Name] = &slot{}
		o.owner[p.Value] = p.Name
	}
	return nil
}

func (o *optimizer) check(g *Group) error {
	if err := g.checkOptions(); err != nil {
		return err
	}
	names := map[string]bool{}
	values := map[*nn.Param]string{}
	for i, p := range g.Params {
		switch {
		case p.Name == "":
			return fmt.Errorf("optim: parameter %d of a group has no name", i)
		case p.Value == nil || p.Value.Matrix == nil:
			return fmt.Errorf("optim: parameter %q has no value", p.Name)
		case !p.Value.RequiresGrad():
			return fmt.Errorf("optim: parameter %q is frozen, give only trainable parameters to an optimizer", p.Name)
		case names[p.Name] || o.slots[p.Name] != nil:
			return fmt.Errorf("optim: parameter %q is given twice", p.Name)
		}
		for _, seen := range []map[*nn.Param]string{values, o.owner} {
			if first, ok := seen[p.Value]; ok {
				return fmt.Errorf("optim: parameters %q and %q are the same tensor (tied weights), give it once", first, p.Name)
			}
		}
		if err := checkType(p); err != nil {
			return err
		}
		names[p.Name], values[p.Value] = true, p.Name
	}
	return nil
}

func (g *Group) checkOptions() error {
	if !(g.LearningRate >= 0) || math.IsInf(g.LearningRate, 1) {
		return fmt.Errorf("optim: learning rate %v, want a finite number, 0 or more", g.LearningRate)
	}
	if !(g.WeightDecay >= 0) || math.IsInf(g.WeightDecay, 1) {
		return fmt.Errorf("optim: weight decay %v, want a finite number, 0 or more", g.WeightDecay)
	}
	return nil
}

// checkType says whether p, and its gradient if there is one, can be trained.
func checkType(p Param) error {
	switch p.Value.Value().(type) {
	case *mat.Dense[float32]:
		return checkGrad[float32](p)
	case *mat.Dense[float64]:
		return checkGrad[float64](p)
	}
	return fmt.Errorf("optim: parameter %q is a %T, want a dense matrix of float32 or float64", p.Name, p.Value.Value())
}

func checkGrad[T float32 | float64](p Param) error {
	if !p.Value.HasGrad() {
		return nil
	}
	if _, ok := p.Value.Grad().(*mat.Dense[T]); !ok {
		return fmt.Errorf("optim: parameter %q is a %T but its gradient is a %T", p.Name, p.Value.Value(), p.Value.Grad())
	}
	if w, g := p.Value.Size(), p.Value.Grad().Size(); w != g {
		return fmt.Errorf("optim: parameter %q has %d values but its gradient has %d", p.Name, w, g)
	}
	return nil
}

func (o *optimizer) Steps() int       { return o.steps }
func (o *optimizer) Groups() []*Group { return o.groups }

func (o *optimizer) ZeroGrad() {
	for _, g := range o.groups {
		for _, p := range g.Params {
			p.Value.ZeroGrad()
		}
	}
}

func (o *optimizer) Step() error { return o.step(1) }

// step makes an update by the gradients times scale.
func (o *optimizer) step(scale float64) error {
	if err := o.checkStep(); err != nil {
		return err
	}
	for _, g := range o.groups {
		lr := g.Rate(o.steps)
		for _, p := range g.Params {
			if !trains(p) {
				continue
			}
			s := o.slots[p.Name]
			s.updates++
			switch w := p.Value.Value().(type) {
			case *mat.Dense[float32]:
				s.m32 = allocate(s.m32, len(o.moments), w.Size())
				o.update32(mat.Data[float32](w), mat.Data[float32](p.Value.Grad()), s.m32, scale, lr, g.WeightDecay, s.updates)
			case *mat.Dense[float64]:
				s.m64 = allocate(s.m64, len(o.moments), w.Size())
				o.update64(mat.Data[float64](w), mat.Data[float64](p.Value.Grad()), s.m64, scale, lr, g.WeightDecay, s.updates)
			}
		}
	}
	o.steps++
	return nil
}

// trains says whether the parameter takes part in this step.
func trains(p Param) bool { return p.Value.RequiresGrad() && p.Value.HasGrad() }

func (o *optimizer) checkStep() error {
	for _, g := range o.groups {
		if err := g.checkOptions(); err != nil {
			return err
		}
		for _, p := range g.Params {
			if err := checkType(p); err != nil {
				return err
			}
			s := o.slots[p.Name]
			if s.updates == 0 || len(o.moments) == 0 {
				continue
			}
			have, want := p.Value.Size(), 0
			if _, is32 := p.Value.Value().(*mat.Dense[float32]); is32 && s.m32 != nil {
				want = len(s.m32[0])
			} else if !is32 && s.m64 != nil {
				want = len(s.m64[0])
			}
			if have != want {
				return fmt.Errorf("optim: parameter %q was replaced by a %T of %d values, which its moments do not fit", p.Name, p.Value.Value(), have)
			}
		}
	}
	return nil
}

// allocate gives n zeroed moments unless there are some.
func allocate[T float32 | float64](m [][]T, n, size int) [][]T {
	if m != nil {
		return m
	}
	m = make([][]T, n)
	for i := range m {
		m[i] = make([]T, size)
	}
	return m
}

func (o *optimizer) State() State {
	s := State{Steps: o.steps, Updates: map[string]int{}, Moments: map[string][]float32{}}
	for name, slot := range o.slots {
		if slot.updates == 0 {
			continue
		}
		s.Updates[name] = slot.updates
		for i, moment := range o.moments {
			if slot.m32 != nil {
				s.Moments[MomentName(name, moment)] = slot.m32[i]
			} else {
				s.Moments[MomentName(name, moment)] = convert[float32](slot.m64[i])
			}
		}
	}
	return s
}

func (o *optimizer) LoadState(s State) error {
	slots, err := o.slotsOf(s)
	if err != nil {
		return err
	}
	for name := range o.slots {
		o.slots[name] = &slot{}
		if loaded, ok := slots[name]; ok {
			o.slots[name] = loaded
		}
	}
	o.steps = s.Steps
	return nil
}

// slotsOf checks a state and copies it.
func (o *optimizer) slotsOf(s State) (map[string]*slot, error) {
	if s.Steps < 0 {
		return nil, fmt.Errorf("optim: state after %d steps, want 0 or more", s.Steps)
	}
	params := map[string]*nn.Param{}
	for p, name := range o.owner {
		params[name] = p
	}
	slots := map[string]*slot{}
	used := 0
	for name, updates := range s.Updates {
		p, ok := params[name]
		if !ok {
			return nil, fmt.Errorf("optim: the state has parameter %q, which %s does not train", name, o.name)
		}
		if updates < 1 || updates > s.Steps {
			return nil, fmt.Errorf("optim: the state has parameter %q after %d updates, want 1 to %d", name, updates, s.Steps)
		}
		slots[name] = &slot{updates: updates}
		for _, moment := range o.moments {
			m, ok := s.Moments[MomentName(name, moment)]
			if !ok {
				return nil, fmt.Errorf("optim: the state lacks %q, which %s needs", MomentName(name, moment), o.name)
			}
			if len(m) != p.Size() {
				return nil, fmt.Errorf("optim: %q of the state has %d values, want %d", MomentName(name, moment), len(m), p.Size())
			}
			if _, is32 := p.Value().(*mat.Dense[float32]); is32 {
				slots[name].m32 = append(slots[name].m32, slices.Clone(m))
			} else {
				slots[name].m64 = append(slots[name].m64, convert[float64](m))
			}
			used++
		}
	}
	if used != len(s.Moments) {
		return nil, errors.New("optim: the state has moments that " + o.name + " does not keep: was it made by another optimizer?")
	}
	return slots, nil
}

func convert[To, From float32 | float64](x []From) []To {
	y := make([]To, len(x))
	for i, v := range x {
		y[i] = To(v)
	}
	return y
}
