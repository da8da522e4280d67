package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func committed(t *testing.T) Results {
	t.Helper()
	data, err := os.ReadFile("explosions.json")
	if err != nil {
		t.Fatal(err)
	}
	var r Results
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheFigureAndTheTablesAreThoseOfTheResults(t *testing.T) {
	r := committed(t)
	for path, want := range map[string]string{"../../images/explosions.svg": string(draw(r)), "../../stability.md": tablesBegin + tables(r) + tablesEnd} {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ReplaceAll(string(got), "\r\n", "\n"), want) {
			t.Errorf("%s: go run ./docs/figures/explosions --resume", path)
		}
	}
}

func TestEveryCureWasMeasuredAtEveryLearningRate(t *testing.T) {
	r := committed(t)
	if r.Steps != steps || r.BatchSize != batchSize {
		t.Errorf("the results are of %d updates of %d pictures, the program makes %d of %d", r.Steps, r.BatchSize, steps, batchSize)
	}
	for _, c := range cures() {
		for _, rate := range learningRates {
			if _, ok := r.of(c.name, rate); !ok {
				t.Errorf("%s was not measured at %g", c.name, rate)
			}
		}
	}
}

// The page says so.
func TestTheDefaultTrainsWellWherePlainTrainingIsAtItsBest(t *testing.T) {
	r := committed(t)
	best := r.Before
	for _, rate := range learningRates {
		if run, _ := r.of("plain", rate); !r.exploded(run) {
			best = min(best, float64(*run.ValLoss))
		}
	}
	for _, rate := range []float64{1e-3, 3e-3} {
		run, _ := r.of("default", rate)
		if r.exploded(run) || float64(*run.ValLoss) > best+0.01 {
			t.Errorf("at %g the default ends at %v; plain training at its best at %.3f", rate, run.ValLoss, best)
		}
	}
}

// The same run again gives the same numbers; another machine rounds otherwise,
// which training enlarges.
func TestARunCanBeMadeAgain(t *testing.T) {
	l, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	short := func() Run {
		run, before, err := l.run(t.Context(), cures()[3], 1e-3, 2)
		if err != nil {
			t.Fatal(err)
		}
		if want := committed(t).Before; before < want-0.05 || before > want+0.05 {
			t.Errorf("the validation loss before training is %v, want about %v", before, want)
		}
		run.Seconds = 0
		return run
	}
	a, b := short(), short()
	if a.Steps != 2 || *a.ValLoss != *b.ValLoss || *a.GradNorm != *b.GradNorm || *a.Weight != *b.Weight {
		t.Errorf("got %+v, then %+v", a, b)
	}
}

func TestARunThatIsNotFiniteIsAnExplosion(t *testing.T) {
	low, high := number(0.4), number(0.7)
	r := Results{Before: 0.5}
	for _, c := range []struct {
		run  Run
		want bool
	}{{Run{ValLoss: &low}, false}, {Run{ValLoss: &high}, true}, {Run{}, true}, {Run{ValLoss: &low, Stopped: "not finite"}, true}} {
		if got := r.exploded(c.run); got != c.want {
			t.Errorf("%+v: exploded is %v", c.run, got)
		}
	}
}
