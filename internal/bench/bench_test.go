package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
)

var command tiny.Command

func TestMain(m *testing.M) { command.Main(m) }

func page(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryRowRunsAndIsWrittenBetweenTheMarks(t *testing.T) {
	name := page(t, "before\n"+beginMark+"old\n"+endMark+"after\n")
	r := command.Run(t, "", "--quick", "--ours-only", "--repeats", "1", "--threads", "2", "--output", name)
	r.Want(t, 0)
	got := read(t, name)
	if !strings.HasPrefix(got, "before\n"+beginMark) || !strings.HasSuffix(got, endMark+"after\n") || strings.Contains(got, "old") {
		t.Errorf("the page is now\n%s", got)
	}
	for _, row := range rows(true) {
		if row.job.Kind == "gemm" {
			continue
		}
		// A rate of ours, and none of a peer that was left out.
		line := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.title) + ` \| ` + row.unit + ` \| \d+(\.\d+)? \| – \| – \|`)
		if !line.MatchString(got) {
			t.Errorf("%s has no figures in\n%s", row.name, got)
		}
	}
	for _, p := range products(true) {
		if !regexp.MustCompile(`(?m)^\| ` + p.Name + ` \| \d+×\d+×\d+ \| \d`).MatchString(got) {
			t.Errorf("%s has no figures in\n%s", p.Name, got)
		}
	}
	if !strings.Contains(r.Stdout, "| greedy, batch 1 | tokens/s |") {
		t.Errorf("it printed\n%s", r.Stdout)
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--rows", "encode,warp"}, `no row "warp"`},
		{[]string{"--repeats", "0"}, "--repeats is 0"},
		{[]string{"--threads", "-1"}, "--threads is -1"},
		{[]string{"encode"}, `"encode" is not a flag`},
	} {
		command.Run(t, "", c.args...).Want(t, 2, c.says)
	}
}

// fake is a side that always answers the same.
type fake struct {
	answer answer
	err    error
	runs   int
	closed bool
}

func (f *fake) run() (answer, error) { f.runs++; return f.answer, f.err }

func (f *fake) close() (int64, error) { f.closed = true; return int64(f.runs), nil }

func TestOnlySidesThatAgreeAreTimed(t *testing.T) {
	second := []float64{1}
	greedy := row{job: job{NewTokens: 2}}
	sampled := row{job: job{NewTokens: 2, Sample: true}}
	for _, c := range []struct {
		name       string
		row        row
		ours, peer answer
		says       string // "": they agree
	}{
		{"equal losses", row{}, answer{Seconds: second, Values: []float64{11}}, answer{Seconds: second, Values: []float64{11.001}}, ""},
		{"different losses", row{}, answer{Seconds: second, Values: []float64{11}}, answer{Seconds: second, Values: []float64{11.002}}, "value 0 is 11, the peer's 11.002"},
		{"a small value beside a large one", row{}, answer{Seconds: second, Values: []float64{0.0005, 10}}, answer{Seconds: second, Values: []float64{0, 10}}, ""},
		{"a loss that is no number", row{}, answer{Seconds: second, Values: []float64{math.NaN()}}, answer{Seconds: second, Values: []float64{1}}, "value 0 is NaN"},
		{"fewer values", row{}, answer{Seconds: second, Values: []float64{1}}, answer{Seconds: second, Values: []float64{1, 2}}, "1 values, the peer has 2"},
		{"equal tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, ""},
		{"different tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 5}}}, "sequence 0 is [3 4], the peer's [3 5]"},
		{"too few tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3}}}, answer{Seconds: second, Tokens: [][]int{{3, 5}}}, "sequence 0 has 1 tokens, want 2"},
		{"too few sequences", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 4}, {3, 4}}}, "1 sequences, the peer has 2"},
		{"samples of equal probability", sampled, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{5, 6}}, Values: []float64{-9}}, ""},
		{"a sample whose probability is wrong", sampled, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{5, 6}}, Values: []float64{-8}}, "value 0 is -9, the peer's -8"},
		{"nothing to compare", row{}, answer{Seconds: second}, answer{Seconds: second}, "nothing to compare"},
		{"no time", row{}, answer{Values: []float64{1}}, answer{Values: []float64{1}}, "0 times, want 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, peer := &fake{answer: c.ours}, &fake{answer: c.peer}
			m, err := takeTurns(c.row, 3, ours, func(answer) (side, error) { return peer, nil })
			if !ours.closed {
				t.Error("our side was left running")
			}
			if c.says == "" {
				if err != nil || ours.runs != 4 || peer.runs != 4 || len(m.ours.seconds) != 3 || len(m.peer.seconds) != 3 {
					t.Errorf("%d and %d runs, %v and %v kept: %v", ours.runs, peer.runs, m.ours.seconds, m.peer.seconds, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want one with %q", err, c.says)
			}
			if ours.runs > 1 || peer.runs > 1 {
				t.Errorf("ours ran %d times and the peer %d times", ours.runs, peer.runs)
			}
		})
	}
}

func TestThePeerIsToldWhatWeSampled(t *testing.T) {
	ours := &fake{answer: answer{Seconds: []float64{1}, Tokens: [][]int{{7, 8}}, Values: []float64{-3}}}
	peer := &fake{err: errors.New("broken")}
	_, err := takeTurns(row{job: job{NewTokens: 2, Sample: true}}, 1, ours, func(first answer) (side, error) {
		if len(first.Tokens) != 1 || first.Tokens[0][1] != 8 {
			t.Errorf("it was told %v", first.Tokens)
		}
		return peer, nil
	})
	if err == nil || !strings.Contains(err.Error(), "peer: broken") {
		t.Errorf("the error is %v", err)
	}
	if !ours.closed || !peer.closed {
		t.Error("a side was left running")
	}
}

func TestTheTableHasMediansAndRatios(t *testing.T) {
	table := table{Date: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC), CPU: "Abacus", Threads: 3, Repeats: 3, Peer: map[string]string{"transformers": "5", "torch": "2"},
		Rows: []measured{
			{row{title: "encode", unit: "pictures/s", work: 8}, times{seconds: [][]float64{{9}, {2}, {1}}, rss: 5e6}, times{seconds: [][]float64{{4}, {5}}}},
			{row{title: "start", unit: "s"}, times{seconds: [][]float64{{0.25}}}, times{seconds: [][]float64{{8}}, rss: 7e8}},
			{row{job: job{Kind: "gemm", Products: []product{{Name: "p", M: 1000, N: 1000, K: 500}}}}, times{seconds: [][]float64{{0.01}}, peak: 400}, times{seconds: [][]float64{{0.02}}}},
		}}
	got := table.markdown()
	for _, want := range []string{
		"Abacus, 3 threads, float32.", "transformers 5, PyTorch 2.", "Medians of 3 runs, 2 January 2030.",
		"| encode | pictures/s | 4.00 | 1.78 | 2.25 | 5 MB | – |\n",
		"| start | s | 0.25 | 8.00 | 32.00 | – | 700 MB |\n",
		"of the peak, 400 |", "| p | 1000×1000×500 | 100 | 0.25 | 50.0 | 2.00 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestAPageWithoutMarksIsLeftAsItIs(t *testing.T) {
	for _, text := range []string{"no marks\n", beginMark + "no end\n", endMark + beginMark} {
		name := page(t, text)
		if err := replaceBetweenMarks(name, "table"); err == nil {
			t.Errorf("%q: no error", text)
		}
		if got := read(t, name); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestCaptionsHave9To19Tokens(t *testing.T) {
	shortest, longest := 99, 0
	for _, ids := range captions(600) {
		shortest, longest = min(shortest, len(ids)), max(longest, len(ids))
		for _, id := range ids {
			if id < 0 || id >= 599 {
				t.Errorf("token %d is not below EOS", id)
			}
		}
	}
	if shortest != 9 || longest != 19 {
		t.Errorf("they have %d to %d tokens", shortest, longest)
	}
}

func TestFusedMultiplyAddLoopsRun(t *testing.T) {
	if p := peak(1); p < 0 || p > 1e5 {
		t.Errorf("the peak is %v GF/s", p)
	}
}
