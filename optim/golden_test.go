package optim

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// goldenCase is a record of internal/reference/optim.py.
type goldenCase struct {
	Name      string
	Optimizer string
	Rates     []float64
	Decays    []float64
	Clip      float64
	Scale     float64
	Options   struct {
		Betas               []float64
		Eps                 float64
		Momentum, Dampening float64
		Nesterov            bool
	}
	Schedule *struct {
		Name          string
		Warmup, Total int
		Rates         [][]float64
	}
	Float32     goldenRun
	Float32IEEE *goldenRun `json:"float32 ieee"`
	Float64     goldenRun
}

type goldenRun struct {
	First, Last [][]float64
	Moments     map[string][]float64
	Norms       []float64
}

const goldenSteps = 50

func readGolden(t *testing.T) []goldenCase {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []goldenCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no golden cases")
	}
	return cases
}

// value is value of internal/reference/optim.py.
func value(seed, i int) float64 {
	x := uint32(seed)*2654435761 + uint32(i)*40503 + 12345
	x ^= x >> 15
	x *= 739951213
	x ^= x >> 12
	x *= 695872825
	return float64(x>>16)/65536 - 0.5
}

func testParams[T float32 | float64](sizes ...int) []Param {
	params := make([]Param, len(sizes))
	for t, n := range sizes {
		w := make([]T, n)
		for i := range w {
			w[i] = T(value(t, i))
		}
		params[t] = Param{Name: fmt.Sprint(t), Value: nn.NewParam(mat.NewDense[T](mat.WithShape(1, n), mat.WithBacking(w)))}
	}
	return params
}

func setGradients[T float32 | float64](params []Param, step int, scale float64) {
	for t, p := range params {
		p.Value.ZeroGrad()
		if t == 1 && step%3 == 2 {
			continue
		}
		g := make([]T, p.Value.Size())
		for i := range g {
			g[i] = T(math.Ldexp(scale*value(1000+100*step+t, i), -(i % 9)))
		}
		p.Value.AccGrad(mat.NewDense[T](mat.WithShape(1, len(g)), mat.WithBacking(g)))
	}
}

func (c goldenCase) make(t *testing.T, params []Param) Optimizer {
	groups := []*Group{{Params: params[:2]}, {Params: params[2:]}}
	for i, g := range groups {
		g.LearningRate, g.WeightDecay = c.Rates[i], c.Decays[i]
		if c.Schedule != nil {
			var err error
			name, _, _ := strings.Cut(c.Schedule.Name, "_")
			if g.Schedule, err = NewSchedule(name, c.Schedule.Warmup, c.Schedule.Total); err != nil {
				t.Fatal(err)
			}
		}
	}
	var o Optimizer
	var err error
	switch c.Optimizer {
	case "AdamW":
		o, err = NewAdamW(groups, AdamOptions{c.Options.Betas[0], c.Options.Betas[1], c.Options.Eps})
	case "Adam":
		o, err = NewAdam(groups, AdamOptions{c.Options.Betas[0], c.Options.Betas[1], c.Options.Eps})
	case "SGD":
		o, err = NewSGD(groups, SGDOptions{c.Options.Momentum, c.Options.Dampening, c.Options.Nesterov})
	default:
		t.Fatalf("optimizer %q", c.Optimizer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// compare runs a case and fails where a weight or a moment is off by more than tolerance.
func compare[T float32 | float64](t *testing.T, c goldenCase, want goldenRun, tolerance float64) {
	t.Helper()
	params := testParams[T](1, 5, 21, 33)
	o := c.make(t, params)
	for step := range goldenSteps {
		setGradients[T](params, step, c.Scale)
		if c.Clip != 0 {
			norm, err := ClipGradNorm(params, c.Clip)
			if err != nil {
				t.Fatal(err)
			}
			if want := want.Norms[step]; math.Abs(norm-want) > 2e-7*want { // PyTorch sums in the tensor's type
				t.Errorf("norm before step %d is %v, want %v", step, norm, want)
			}
		}
		if err := o.Step(); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			compareValues(t, "after a step, weight", weightsOf[T](params), want.First, tolerance)
		}
	}
	compareValues(t, "weight", weightsOf[T](params), want.Last, tolerance)

	state := o.State()
	if len(state.Moments) != len(want.Moments) {
		t.Errorf("%d moments, want %d", len(state.Moments), len(want.Moments))
	}
	for name, m := range want.Moments {
		rounded := convert[float64](convert[float32](m))
		compareValues(t, name, [][]float32{state.Moments[name]}, [][]float64{rounded}, max(tolerance, tolerance*c.Scale))
	}
}

func weightsOf[T float32 | float64](params []Param) [][]T {
	var w [][]T
	for _, p := range params {
		w = append(w, mat.Data[T](p.Value.Value()))
	}
	return w
}

func compareValues[T float32 | float64](t *testing.T, what string, got [][]T, want [][]float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("%s %d: %d values, want %d", what, i, len(got[i]), len(want[i]))
		}
		for j, w := range want[i] {
			if d := math.Abs(float64(got[i][j]) - w); !(d <= tolerance) {
				t.Errorf("%s %d[%d] = %v, want %v, off by %v", what, i, j, got[i][j], w, d)
			}
		}
	}
}

func TestWeightsAfterFiftyStepsEqualPyTorchs(t *testing.T) {
	for _, c := range readGolden(t) {
		t.Run(c.Name, func(t *testing.T) {
			// An ulp of a weight of 0.5. Not 0 because PyTorch's square root (MKL) is not correctly rounded, and
			// its norm is summed in float32.
			t.Run("float32", func(t *testing.T) { compare[float32](t, c, c.Float32, 6e-8) })
			t.Run("float64", func(t *testing.T) { compare[float64](t, c, c.Float64, 1e-15) })
			exact := &c.Float32
			if c.Optimizer != "SGD" {
				exact = c.Float32IEEE
			}
			if c.Clip == 0 {
				t.Run("float32 to the bit", func(t *testing.T) { compare[float32](t, c, *exact, 0) })
			}
		})
	}
}

func TestSchedulesEqualHuggingFaces(t *testing.T) {
	found := map[string]bool{}
	for _, c := range readGolden(t) {
		if c.Schedule == nil {
			continue
		}
		o := c.make(t, testParams[float32](1, 5, 21, 33))
		for step, rates := range c.Schedule.Rates {
			for i, g := range o.Groups() {
				if got := g.Rate(step); math.Abs(got-rates[i]) > 1e-15*g.LearningRate { // Go's cosine is not libm's
					t.Errorf("%s: rate of group %d after %d steps is %v, want %v", c.Name, i, step, got, rates[i])
				}
			}
		}
		found[c.Schedule.Name] = true
	}
	if len(found) != 3 {
		t.Errorf("golden schedules %v, want 3", found)
	}
}
