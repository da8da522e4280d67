package optim

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// makers has one optimizer of each kind, with and without moments.
var makers = map[string]func(groups ...*Group) (Optimizer, error){
	"AdamW":        func(g ...*Group) (Optimizer, error) { return NewAdamW(g, DefaultAdam()) },
	"Adam":         func(g ...*Group) (Optimizer, error) { return NewAdam(g, DefaultAdam()) },
	"SGD":          func(g ...*Group) (Optimizer, error) { return NewSGD(g, SGDOptions{}) },
	"SGD momentum": func(g ...*Group) (Optimizer, error) { return NewSGD(g, SGDOptions{Momentum: 0.9}) },
}

func each(t *testing.T, f func(t *testing.T, newOptimizer func(groups ...*Group) (Optimizer, error))) {
	for name, maker := range makers {
		t.Run(name, func(t *testing.T) { f(t, maker) })
	}
}

func group(params []Param) *Group {
	return &Group{Params: params, LearningRate: 0.1, WeightDecay: 0.01}
}

func values(p Param) []float32 { return mat.Data[float32](p.Value.Value()) }

func mustStep(t *testing.T, o Optimizer) {
	t.Helper()
	if err := o.Step(); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func TestAConstructorRefusesBadParameters(t *testing.T) {
	each(t, func(t *testing.T, newOptimizer func(...*Group) (Optimizer, error)) {
		good := testParams[float32](2, 3)
		frozen := testParams[float32](2)[0]
		frozen.Name = "wte.weight"
		frozen.Value.SetRequiresGrad(false)
		for _, c := range []struct {
			groups []*Group
			want   []string
		}{
			{nil, []string{"no parameters"}},
			{[]*Group{group(nil)}, []string{"no parameters"}},
			{[]*Group{group([]Param{frozen})}, []string{`"wte.weight" is frozen`}},
			{[]*Group{group([]Param{{"", good[0].Value}})}, []string{"no name"}},
			{[]*Group{group([]Param{{"a", nil}})}, []string{`"a" has no value`}},
			{[]*Group{group([]Param{good[0], {"0", good[1].Value}})}, []string{`"0" is given twice`}},
			{[]*Group{group(good), group([]Param{{"1", testParams[float32](2)[0].Value}})}, []string{`"1" is given twice`}},
			{[]*Group{group(good), group([]Param{{"head", good[1].Value}})}, []string{`"1" and "head"`, "tied"}},
			{[]*Group{group([]Param{good[0], {"head", good[0].Value}})}, []string{`"0" and "head"`, "tied"}},
			{[]*Group{{Params: good, LearningRate: -1}}, []string{"learning rate -1"}},
			{[]*Group{{Params: good, LearningRate: math.NaN()}}, []string{"learning rate NaN"}},
			{[]*Group{{Params: good, WeightDecay: math.Inf(1)}}, []string{"weight decay +Inf"}},
		} {
			_, err := newOptimizer(c.groups...)
			wantError(t, err, c.want...)
		}
	})
}

func TestAConstructorRefusesBadOptions(t *testing.T) {
	groups := []*Group{group(testParams[float32](2))}
	for _, o := range []AdamOptions{{1, 0.9, 0}, {-0.1, 0.9, 0}, {0.9, 1, 0}, {0.9, math.NaN(), 0}, {0.9, 0.9, -1}, {0.9, 0.9, math.Inf(1)}} {
		_, err := NewAdamW(groups, o)
		wantError(t, err, "AdamW", "want")
		_, err = NewAdam(groups, o)
		wantError(t, err, "Adam", "want")
	}
	for _, o := range []SGDOptions{{-1, 0, false}, {math.NaN(), 0, false}, {0, math.NaN(), false}, {0, 0, true}, {0.9, 0.1, true}} {
		_, err := NewSGD(groups, o)
		wantError(t, err, "SGD")
	}
}

func TestOnlyATrainableParameterWithAGradientChanges(t *testing.T) {
	each(t, func(t *testing.T, newOptimizer func(...*Group) (Optimizer, error)) {
		params := testParams[float32](4, 4, 4)
		o, err := newOptimizer(group(params))
		if err != nil {
			t.Fatal(err)
		}
		setGradients[float32](params, 2, 1) // none for parameter 1
		params[2].Value.SetRequiresGrad(false)
		before := testParams[float32](4, 4, 4)
		mustStep(t, o)
		for i, changed := range []bool{true, false, false} {
			if slices.Equal(values(params[i]), values(before[i])) == changed {
				t.Errorf("parameter %d: changed should be %v", i, changed)
			}
		}
		state := o.State()
		if want := map[string]int{"0": 1}; !reflect.DeepEqual(state.Updates, want) {
			t.Errorf("updates %v, want %v", state.Updates, want)
		}
		for name := range state.Moments {
			if !strings.HasPrefix(name, "0.") {
				t.Errorf("there is a moment %q of a parameter that was not trained", name)
			}
		}
	})
}

func TestStepChangesWeightsInPlace(t *testing.T) {
	each(t, func(t *testing.T, newOptimizer func(...*Group) (Optimizer, error)) {
		params := testParams[float32](4)
		o, err := newOptimizer(group(params))
		if err != nil {
			t.Fatal(err)
		}
		setGradients[float32](params, 0, 1)
		mustStep(t, o)
		w := values(params[0])
		before, first := slices.Clone(w), &w[0]
		if n := testing.AllocsPerRun(10, func() { mustStep(t, o) }); n > 20 {
			t.Errorf("%v allocations a step", n)
		}
		if slices.Equal(before, w) || first != &values(params[0])[0] {
			t.Error("the weights did not change in place")
		}
	})
}

func TestZeroGradForgetsEveryGradient(t *testing.T) {
	params := testParams[float32](1, 2, 3)
	o, err := NewSGD([]*Group{group(params[:1]), group(params[1:])}, SGDOptions{})
	if err != nil {
		t.Fatal(err)
	}
	setGradients[float32](params, 0, 1)
	o.ZeroGrad()
	for _, p := range params {
		if p.Value.HasGrad() {
			t.Errorf("parameter %s has a gradient", p.Name)
		}
	}
}

func TestTrainingGoesOnFromAState(t *testing.T) {
	each(t, func(t *testing.T, newOptimizer func(...*Group) (Optimizer, error)) {
		schedule, err := NewSchedule("cosine", 3, 20)
		if err != nil {
			t.Fatal(err)
		}
		train := func(params []Param, o Optimizer, from, to int) {
			for step := from; step < to; step++ {
				setGradients[float32](params, step, 1)
				mustStep(t, o)
			}
		}
		start := func() ([]Param, Optimizer) {
			params := testParams[float32](1, 5, 9)
			g := group(params)
			g.Schedule = schedule
			o, err := newOptimizer(g)
			if err != nil {
				t.Fatal(err)
			}
			return params, o
		}
		params, o := start()
		train(params, o, 0, 20)

		stopped, half := start()
		train(stopped, half, 0, 8)
		resumed, rest := start()
		train(resumed, rest, 0, 2) // a state replaces what was there
		for i, p := range resumed {
			copy(values(p), values(stopped[i]))
		}
		if err := rest.LoadState(half.State()); err != nil {
			t.Fatal(err)
		}
		train(stopped, half, 8, 9) // the loaded state is a copy
		train(resumed, rest, 8, 20)
		if rest.Steps() != 20 {
			t.Errorf("%d steps, want 20", rest.Steps())
		}
		for i, p := range params {
			if !slices.Equal(values(p), values(resumed[i])) {
				t.Errorf("parameter %d: %v, want %v", i, values(resumed[i]), values(p))
			}
		}
	})
}

func TestAFloat64StateIsLoaded(t *testing.T) {
	params, again := testParams[float64](3, 2), testParams[float64](3, 2)
	o, _ := NewAdamW([]*Group{group(params)}, DefaultAdam())
	loaded, _ := NewAdamW([]*Group{group(again)}, DefaultAdam())
	setGradients[float64](params, 0, 1)
	mustStep(t, o)
	if err := loaded.LoadState(o.State()); err != nil {
		t.Fatal(err)
	}
	if want, got := o.State(), loaded.State(); len(want.Moments) != 4 || !reflect.DeepEqual(got, want) {
		t.Errorf("state %v, want %v", got, want)
	}
}

func TestAStateThatDoesNotFitIsRefused(t *testing.T) {
	state := func() State {
		return State{Steps: 3, Updates: map[string]int{"0": 3}, Moments: map[string][]float32{"0.exp_avg": {1, 2}, "0.exp_avg_sq": {3, 4}}}
	}
	for _, c := range []struct {
		change func(*State)
		want   string
	}{
		{func(s *State) { s.Steps = -1 }, "-1 steps"},
		{func(s *State) { s.Updates["0"] = 4 }, "4 updates"},
		{func(s *State) { s.Updates["0"] = 0 }, "0 updates"},
		{func(s *State) { s.Updates["7"] = 1 }, `"7"`},
		{func(s *State) { delete(s.Moments, "0.exp_avg") }, `"0.exp_avg"`},
		{func(s *State) { s.Moments["0.exp_avg"] = []float32{1} }, "1 values, want 2"},
		{func(s *State) { s.Moments["0.momentum_buffer"] = []float32{1, 2} }, "another optimizer"},
		{func(s *State) { delete(s.Updates, "0") }, "another optimizer"},
	} {
		params := testParams[float32](2)
		o, err := NewAdamW([]*Group{group(params)}, DefaultAdam())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.LoadState(state()); err != nil {
			t.Fatal(err)
		}
		s := state()
		c.change(&s)
		wantError(t, o.LoadState(s), c.want)
		if got := o.State(); !reflect.DeepEqual(got, state()) {
			t.Errorf("%s: the state became %v", c.want, got)
		}
	}
	sgd, _ := NewSGD([]*Group{group(testParams[float32](2))}, SGDOptions{Momentum: 0.9})
	wantError(t, sgd.LoadState(state()), "0.momentum_buffer", "SGD")
}

func TestAParameterReplacedBetweenStepsIsAnErrorAndNothingChanges(t *testing.T) {
	for _, c := range []struct {
		value mat.Matrix
		want  string
	}{
		{mat.NewDense[float32](mat.WithShape(1, 5)), "5 values"},
		{mat.NewDense[float64](mat.WithShape(1, 3)), "float64"},
	} {
		params := testParams[float32](3, 3)
		o, err := NewAdamW([]*Group{group(params)}, DefaultAdam())
		if err != nil {
			t.Fatal(err)
		}
		setGradients[float32](params, 0, 1)
		mustStep(t, o)
		before := slices.Clone(values(params[0]))
		c.value.SetRequiresGrad(true)
		params[1].Value.ReplaceValue(c.value)
		wantError(t, o.Step(), `"1"`, c.want)
		if !slices.Equal(values(params[0]), before) || o.Steps() != 1 {
			t.Error("something changed")
		}
	}
}

func TestAddedGroupsTrainFromThenOn(t *testing.T) {
	params := testParams[float32](3, 4)
	o, err := NewAdamW([]*Group{group(params[:1])}, DefaultAdam())
	if err != nil {
		t.Fatal(err)
	}
	setGradients[float32](params, 0, 1)
	mustStep(t, o)
	wantError(t, o.AddGroup(group(params)), `"0" is given twice`)
	if err := o.AddGroup(group(params[1:])); err != nil {
		t.Fatal(err)
	}
	mustStep(t, o)
	if got, want := o.State().Updates, map[string]int{"0": 2, "1": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("updates %v, want %v", got, want)
	}
	if len(o.Groups()) != 2 {
		t.Errorf("%d groups", len(o.Groups()))
	}
}

func TestANonFiniteGradientIsReportedAndLeftAlone(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		params := testParams[float32](3, 4, 5)
		setGradients[float32](params, 0, 100)
		mat.Data[float32](params[1].Value.Grad())[2] = bad
		before := slices.Clone(mat.Data[float32](params[0].Value.Grad()))
		norm, err := ClipGradNorm(params, 1)
		wantError(t, err, `"1"`)
		if !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v is not ErrNotFinite", err)
		}
		if !math.IsNaN(norm) && !math.IsInf(norm, 1) {
			t.Errorf("norm %v", norm)
		}
		if !slices.Equal(before, mat.Data[float32](params[0].Value.Grad())) {
			t.Error("a gradient was scaled")
		}
	}
}

func TestClippingCountsWhatIsTrained(t *testing.T) {
	make3 := func() []Param {
		params := testParams[float32](1, 1, 1)
		for i, g := range []float32{3, 4, 100} {
			params[i].Value.AccGrad(mat.Scalar(g))
		}
		params[2].Value.SetRequiresGrad(false)
		return append(params, Param{"no gradient", nn.NewParam(mat.Scalar[float32](1))})
	}
	for _, c := range []struct {
		maxNorm, first float64
	}{{0, 3}, {10, 3}, {1, 0.6}, {math.Inf(1), 3}} {
		params := make3()
		norm, err := ClipGradNorm(params, c.maxNorm)
		if err != nil {
			t.Fatal(err)
		}
		if norm != 5 {
			t.Errorf("norm %v, want 5", norm)
		}
		if got := params[0].Value.Grad().Item().F64(); math.Abs(got-c.first) > 1e-6 {
			t.Errorf("max %v: gradient %v, want %v", c.maxNorm, got, c.first)
		}
		if got := params[2].Value.Grad().Item().F64(); got != 100 {
			t.Errorf("the gradient of a frozen parameter became %v", got)
		}
	}
	for _, bad := range []float64{-1, math.NaN()} {
		_, err := ClipGradNorm(make3(), bad)
		wantError(t, err, "maximum gradient norm")
	}
}

func TestAClippedStepIsAStepAfterClipping(t *testing.T) {
	t.Run("float32", testClippedStep[float32])
	t.Run("float64", testClippedStep[float64])
}

func testClippedStep[T float32 | float64](t *testing.T) {
	each(t, func(t *testing.T, newOptimizer func(...*Group) (Optimizer, error)) {
		for _, maxNorm := range []float64{0, 0.1, 1e6} {
			run := func(step func(o Optimizer, params []Param) error) (weights [][]T, grads [][]T) {
				params := testParams[T](7, 40)
				o, err := newOptimizer(group(params))
				if err != nil {
					t.Fatal(err)
				}
				for i := range 2 {
					setGradients[T](params, i, 1)
					if err := step(o, params); err != nil {
						t.Fatal(err)
					}
				}
				for _, p := range params {
					weights, grads = append(weights, mat.Data[T](p.Value.Value())), append(grads, mat.Data[T](p.Value.Grad()))
				}
				return weights, grads
			}
			want, _ := run(func(o Optimizer, params []Param) error {
				if _, err := ClipGradNorm(params, maxNorm); err != nil {
					return err
				}
				return o.Step()
			})
			got, grads := run(func(o Optimizer, params []Param) error {
				norm, err := ClipGradNorm(params, 0)
				if err != nil {
					return err
				}
				return StepClipped(o, params, norm, maxNorm)
			})
			if !reflect.DeepEqual(got, want) {
				t.Errorf("maximum %v: weights %v, want %v", maxNorm, got, want)
			}
			params := testParams[T](7, 40)
			setGradients[T](params, 1, 1)
			if !reflect.DeepEqual(grads[0], mat.Data[T](params[0].Value.Grad())) {
				t.Errorf("maximum %v: the gradient became %v", maxNorm, grads[0])
			}
		}
		wantError(t, StepClipped(nil, nil, math.NaN(), 1), "gradient norm NaN")
		wantError(t, StepClipped(nil, nil, 1, -1), "maximum -1")
	})
}

func TestASchedule(t *testing.T) {
	for _, c := range []struct {
		name          string
		warmup, total int
		want          map[int]float64
	}{
		{"constant", 0, 0, map[int]float64{0: 1, 1000: 1}},
		{"constant", 4, 0, map[int]float64{0: 0, 1: 0.25, 4: 1, 1000: 1}},
		{"linear", 0, 4, map[int]float64{0: 1, 1: 0.75, 4: 0, 5: 0, 100: 0}},
		{"linear", 2, 4, map[int]float64{0: 0, 1: 0.5, 2: 1, 3: 0.5, 4: 0, 100: 0}},
		{"linear", 4, 4, map[int]float64{3: 0.75, 4: 0}},
		{"cosine", 2, 4, map[int]float64{0: 0, 1: 0.5, 2: 1, 3: 0.5, 4: 0, 6: 0, 100: 0}},
	} {
		s, err := NewSchedule(c.name, c.warmup, c.total)
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range c.want {
			if got := s(step); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s, warm-up %d of %d: %v at %d, want %v", c.name, c.warmup, c.total, got, step, want)
			}
		}
	}
	_, err := NewSchedule("polynomial", 0, 10)
	wantError(t, err, `"polynomial"`, "constant, linear or cosine")
	_, err = NewSchedule("linear", -1, 10)
	wantError(t, err, "-1 warm-up")
	_, err = NewSchedule("cosine", 0, 0)
	wantError(t, err, "cosine over 0 steps")
}
