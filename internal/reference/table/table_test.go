package main

import (
	"fmt"
	"strings"
	"testing"
)

// event is a line of go test -json.
func event(action, pkg, test, key, value string) string {
	return fmt.Sprintf(`{"Action": %q, "Package": "example.com/%s", "Test": %q, "Key": %q, "Value": %q}`+"\n", action, pkg, test, key, value)
}

func parse(t *testing.T, events ...string) *results {
	t.Helper()
	r, err := read(strings.NewReader(strings.Join(events, "")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARowHasTheWorstOfItsCases(t *testing.T) {
	var events []string
	for _, p := range parts {
		events = append(events, event("attr", p.pkg, "TestX/a", "loss", "0 1e-06 0"))
	}
	events = append(events,
		event("attr", "x/gpt2", "TestX/a", "logits", "2e-07 1e-05 3e-07"),
		event("attr", "x/gpt2", "TestX/b", "logits.every61", "4.56e-07 1e-05 1e-07"),
		event("attr", "x/gpt2", "TestXInFloat64/b", "logits.every61", "1e-08 2e-07 1e-07"),
		event("pass", "x/gpt2", "TestX", "", ""))
	got, err := parse(t, events...).models()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| GPT-2 | logits | 2 | 2 | 4.6e-7 | 1e-5 | 3e-7 | 1e-8 | 2e-7 |\n",
		"| GPT-2 | loss | 1 | 1 | 0 | 1e-6 | 0 | | |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

func TestATrainingRunIsARowWithItsShareOfWhatIsAllowed(t *testing.T) {
	const test = "TestTrainingTakesTheStepsOfPyTorch/all_sgd"
	got, err := parse(t,
		event("attr", "train", test, "loss", "1e-08 1e-07 1e-08"),
		event("attr", "train", test, "loss", "3e-07 4e-07 4e-08"),
		event("attr", "train", test, "grad_norm", "1e-07 2e-06 2e-07"),
		event("attr", "train", test, "final.w", "5e-07 1e-05 1e-06"),
		event("attr", "train", "TestTrainingInFloat64TakesTheStepsOfPyTorch/all_sgd", "loss", "2e-15 1e-09 4e-08"),
	).training()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| all sgd | 3e-7 | 4e-8 | 1e-7 | 2e-7 | 5e-7 | 1e-6 | 75 % |\n",
		"In float64 the 1 runs that train the encoder too have losses and gradient norms off by at most 2e-15, where 1e-9 is allowed.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

func TestWhatWasNotMeasuredIsAnError(t *testing.T) {
	r := parse(t, event("pass", "gpt2", "TestX", "", ""))
	for name, table := range map[string]func() (string, error){"models": r.models, "training": r.training, "counts": r.counts, "full": r.full} {
		if _, err := table(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAFailedTestAndOtherInputAreErrors(t *testing.T) {
	for input, want := range map[string]string{
		event("fail", "gpt2", "TestX/a", "", ""):                    "example.com/gpt2 TestX/a failed",
		event("attr", "gpt2", "TestX/a", "loss", "1e-06"):           "expected three numbers",
		event("attr", "gpt2", "TestX/a", "compared", "many things"): "expected a number",
		"ok  	gpt2\n": "expected the output of go test -json",
	} {
		if _, err := read(strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", input, err, want)
		}
	}
}

func TestATableReplacesWhatIsBetweenItsMarks(t *testing.T) {
	page := "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
	got, err := insert(page, "x", "new\n")
	if want := "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb\n"; err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if _, err := insert(page, "y", "new\n"); err == nil || !strings.Contains(err.Error(), "y: begin") {
		t.Errorf("error %v, want one that names the mark", err)
	}
}
