package main

import (
	"encoding/xml"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	r := command.Run(t, "", "--quick", "--ours-only", "--repeats", "1", "--threads", "2", "--output", name, "--profiles", filepath.Dir(name))
	r.Want(t, 0)
	if p := read(t, filepath.Join(filepath.Dir(name), "greedy-8.pprof")); !strings.HasPrefix(p, "\x1f\x8b") { // gzip
		t.Errorf("the profile of greedy-8 begins with %q", p[:min(len(p), 9)])
	}
	got := read(t, name)
	if !strings.HasPrefix(got, "before\n"+beginMark) || !strings.HasSuffix(got, endMark+"after\n") || strings.Contains(got, "old") {
		t.Errorf("the page is now\n%s", got)
	}
	for _, row := range rows(true) {
		if row.unit == "" { // it has a table of its own
			continue
		}
		// A rate of ours, and none of a peer that was left out.
		line := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.title) + ` \| ` + row.unit + ` \| \d+(\.\d+)? \| – \| – \|`)
		if !line.MatchString(got) {
			t.Errorf("%s has no figures in\n%s", row.name, got)
		}
	}
	for _, p := range products(true, fp32) {
		if n := len(regexp.MustCompile(`(?m)^\| `+p.Name+` \| \d+×\d+×\d+ \| \d`).FindAllString(got, -1)); n != 2 {
			t.Errorf("%s has figures in %d tables of\n%s", p.Name, n, got)
		}
	}
	for _, line := range []string{
		`LM head, int8 \| 8 \| \d`, `batch 4 \| \d+(\.\d+)? \(–\) \| \d`, `captioning a picture \| \d+ MB`,
		`fine-tuning step \| caption, tokens \| 8 · 16 \| \d+\.\d+ · \d+\.\d+ \| \d+ · \d+ \|`,
	} {
		if !regexp.MustCompile(`(?m)^\| ` + line).MatchString(got) {
			t.Errorf("no line is as %s in\n%s", line, got)
		}
	}
	if !strings.Contains(r.Stdout, "| greedy, batch 1 | tokens/s |") {
		t.Errorf("it printed\n%s", r.Stdout)
	}
	if want := "](images/" + growthFigure + ")\n"; !strings.Contains(got, want) {
		t.Errorf("%q is not in\n%s", want, got)
	}
	figure := read(t, filepath.Join(filepath.Dir(name), "images", growthFigure))
	if err := xml.Unmarshal([]byte(figure), new(struct{})); err != nil || strings.Count(figure, "<polyline") != 2*11 {
		t.Errorf("%v, and %d curves, in\n%s", err, strings.Count(figure, "<polyline"), figure)
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
	greedy := row{job: job{NewTokens: 2, Precision: fp32}}
	sampled := row{job: job{NewTokens: 2, Sample: true, Precision: fp32}}
	rounded := row{job: job{NewTokens: 2, Precision: bf16}}
	plain := row{job: job{Precision: fp32}}
	for _, c := range []struct {
		name       string
		row        row
		ours, peer answer
		says       string // "": they agree
	}{
		{"equal losses", plain, answer{Seconds: second, Values: []float64{11}}, answer{Seconds: second, Values: []float64{11.001}}, ""},
		{"different losses", plain, answer{Seconds: second, Values: []float64{11}}, answer{Seconds: second, Values: []float64{11.002}}, "value 0 is 11, the peer's 11.002"},
		{"a small value beside a large one", plain, answer{Seconds: second, Values: []float64{0.0005, 10}}, answer{Seconds: second, Values: []float64{0, 10}}, ""},
		{"a loss that is no number", plain, answer{Seconds: second, Values: []float64{math.NaN()}}, answer{Seconds: second, Values: []float64{1}}, "value 0 is NaN"},
		{"fewer values", plain, answer{Seconds: second, Values: []float64{1}}, answer{Seconds: second, Values: []float64{1, 2}}, "1 values, the peer has 2"},
		{"equal tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, ""},
		{"different tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 5}}}, "sequence 0 is [3 4], the peer's [3 5]"},
		{"too few tokens", greedy, answer{Seconds: second, Tokens: [][]int{{3}}}, answer{Seconds: second, Tokens: [][]int{{3, 5}}}, "sequence 0 has 1 tokens, want 2"},
		{"too few sequences", greedy, answer{Seconds: second, Tokens: [][]int{{3, 4}}}, answer{Seconds: second, Tokens: [][]int{{3, 4}, {3, 4}}}, "1 sequences, the peer has 2"},
		{"samples of equal probability", sampled, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{5, 6}}, Values: []float64{-9}}, ""},
		{"a sample whose probability is wrong", sampled, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{5, 6}}, Values: []float64{-8}}, "value 0 is -9, the peer's -8"},
		{"other tokens of equal probability in bfloat16", rounded, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{3, 5}}, Values: []float64{-9.1}}, ""},
		{"tokens whose probability is wrong in bfloat16", rounded, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9}}, answer{Seconds: second, Tokens: [][]int{{3, 4}}, Values: []float64{-9.5}}, "value 0 is -9, the peer's -9.5"},
		{"nothing to compare", plain, answer{Seconds: second}, answer{Seconds: second}, "nothing to compare"},
		{"no time", plain, answer{Values: []float64{1}}, answer{Values: []float64{1}}, "0 times, want 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, peer := &fake{answer: c.ours}, &fake{answer: c.peer}
			m, err := takeTurns(c.row, 3, ours, others{peer: func(answer) (side, error) { return peer, nil }})
			if !ours.closed {
				t.Error("our side was left running")
			}
			if c.says == "" {
				if err != nil || ours.runs != 16 || peer.runs != 16 || len(m.ours.seconds) != 15 || len(m.peer.seconds) != 15 { // they take no time
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

func TestShortSidesHaveMoreTurns(t *testing.T) {
	for _, c := range []struct {
		turns int
		spent time.Duration
		want  bool
	}{
		{0, 0, true}, {2, time.Hour, true}, {3, time.Hour, false}, {3, enough, false}, {3, enough - 1, true}, {14, 0, true}, {15, 0, false},
	} {
		if got := another(c.turns, 3, c.spent); got != c.want {
			t.Errorf("another turn after %d of at least 3, in %v: %v", c.turns, c.spent, got)
		}
	}
}

func TestBothSidesAreHeldAgainstTheReference(t *testing.T) {
	at := func(loss float64) answer { return answer{Seconds: []float64{1}, Values: []float64{loss}} }
	sides := func(ours, peer, truth float64) (measured, *fake, error) {
		o, p, r := &fake{answer: at(ours)}, &fake{answer: at(peer)}, &fake{answer: at(truth)}
		m, err := takeTurns(row{job: job{Precision: bf16}}, 1, o, others{
			peer:      func(answer) (side, error) { return p, nil },
			reference: func(answer) (side, error) { return r, nil },
		})
		if r.runs != 1 || !r.closed {
			t.Errorf("the reference ran %d times; closed: %v", r.runs, r.closed)
		}
		return m, p, err
	}
	m, _, err := sides(10.1, 9.95, 10)
	if err != nil || math.Abs(m.ours.off-0.01) > 1e-9 || math.Abs(m.peer.off-0.005) > 1e-9 {
		t.Errorf("we are off by %v, the peer by %v: %v", m.ours.off, m.peer.off, err)
	}
	if _, p, err := sides(10.3, 10.3, 10); err == nil || !strings.Contains(err.Error(), "too far off") || p.runs > 0 {
		t.Errorf("the error is %v, and the peer ran %d times", err, p.runs)
	}
}

func TestThePeerIsToldWhatWeSampled(t *testing.T) {
	ours := &fake{answer: answer{Seconds: []float64{1}, Tokens: [][]int{{7, 8}}, Values: []float64{-3}}}
	peer := &fake{err: errors.New("broken")}
	_, err := takeTurns(row{job: job{NewTokens: 2, Sample: true}}, 1, ours, others{peer: func(first answer) (side, error) {
		if len(first.Tokens) != 1 || first.Tokens[0][1] != 8 {
			t.Errorf("it was told %v", first.Tokens)
		}
		return peer, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "peer: broken") {
		t.Errorf("the error is %v", err)
	}
	if !ours.closed || !peer.closed {
		t.Error("a side was left running")
	}
}

func TestTheTableHasMediansAndRatios(t *testing.T) {
	one := []product{{Name: "p", M: 1000, N: 1000, K: 500, Precision: fp32}}
	table := table{Date: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC), CPU: "Abacus", Threads: 3, Repeats: 3, Peer: map[string]string{"transformers": "5", "torch": "2"},
		Rows: []measured{
			{row: row{title: "encode", unit: "pictures/s", work: 8, goal: 1.5, job: job{Precision: bf16}}, ours: times{seconds: [][]float64{{9}, {2}, {1}}, rss: 5e6, off: 0.004}, peer: times{seconds: [][]float64{{4}, {5}}, off: 0.005}},
			{row: row{name: "start", title: "start", unit: "s", job: job{Precision: fp32}}, ours: times{seconds: [][]float64{{0.25}}, rss: 14e7}, peer: times{seconds: [][]float64{{8}}, rss: 7e8}},
			{row: row{title: "products", job: job{Kind: "gemm", Precision: fp32, Products: one}}, ours: times{seconds: [][]float64{{0.01}}, peaks: map[string]float64{float32Peak: 400, memoryPeak: 20}}, peer: times{seconds: [][]float64{{0.02}}}},
			{row: row{title: "held", job: job{Kind: "held", Products: one}}, ours: times{seconds: [][]float64{{0.0002}}, peaks: map[string]float64{memoryPeak: 20}}, peer: times{seconds: [][]float64{{0.0005}}}},
			{row: row{job: job{Kind: throughput, NewTokens: 10, Cells: []cell{{1, 1}, {1, 4}, {2, 1}, {2, 4}}}}, ours: times{seconds: [][]float64{{1, 2, 1, 4}}}, peer: times{seconds: [][]float64{{2, 2, 2, 2}}}},
		}}
	got := table.markdown()
	for _, want := range []string{
		"Abacus, 3 threads. ", ", transformers 5, PyTorch 2.", "Medians of 3 runs or more, 2 January 2030.",
		"| encode | pictures/s | 4.00 | 1.78 | 2.25 | 1.5 | 5 MB | – |\n",
		"| start | s | 0.25 | 8.00 | 32.00 | – | 140 MB | 700 MB |\n",
		"| captioning a picture | 140 MB | 700 MB | 0.20 | 0.5 |\n",
		"| encode | 0.4 % | 0.5 % |\n",
		"float32 400 GF/s. Reading of memory: 20.0 GB/s.",
		"of 400 (float32) |", "| p | 1000×1000×500 | 100 | 0.25 | 50.0 | 2.00 |\n",
		"of 20.0 (memory) |", "| p, fp32 | 1000 | 7.66 | 0.38 | 2.50 |\n",
		"| tokens/s (times as fast) | beams 1 | beams 4 |\n| --- | --: | --: |\n| batch 1 | 10.0 (2.00) | 5.00 (1.00) |\n| batch 2 | 20.0 (2.00) | 5.00 (0.50) |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestTheMachineBoundsEncodingAndDecoding(t *testing.T) {
	s, peaks := modelShape(false), map[string]float64{float32Peak: 351, bfloat16Peak: 300, tilesPeak: 3510, int8Peak: 7020, memoryPeak: 36}
	// ViT-B/16 takes 35.1 GFLOP a picture; distilGPT2 has 49.5 M weights in its blocks and 38.6 M in its head.
	for _, c := range []struct {
		job  job
		most float64
		by   string
	}{
		{job{Kind: "encode", Engine: "transformers", Precision: fp32}, 25, "int8 on tiles, eight products for one"},
		{job{Kind: "encode", Engine: "transformers", Precision: bf16}, 100, tilesPeak},
		{job{Kind: "encode", Engine: "openvino", Precision: fp32}, 0, ""},
		{job{Kind: "generate", Batch: 1, Precision: fp32}, 36e3 / (270.0 + 7.3), "reading 277 MB a step"},
		{job{Kind: "generate", Batch: 1, Precision: fp32, Assisted: true}, 0, ""}, // several tokens a step
		{job{Kind: "generate", Batch: 1, Precision: bf16}, 36e3 / (137.7 + 7.3), "reading 145 MB a step"},
		{job{Kind: "generate", Batch: 1, Precision: int8s}, 36e3 / (88.1 + 7.3), "reading 95 MB a step"},
		{job{Kind: "generate", Batch: 8, Precision: fp32}, 8 * 36e3 / (270.0 + 58.1), "reading 328 MB a step"},
	} {
		most, by := row{job: c.job}.bound(s, peaks)
		if math.Abs(most-c.most) > 0.01*c.most || by != c.by {
			t.Errorf("%v: at most %v by %s, want %v by %s", c.job, most, by, c.most, c.by)
		}
	}
	without := map[string]float64{float32Peak: 351, bfloat16Peak: 300, int16Peak: 702}
	if most, by := (row{job: job{Kind: "encode", Engine: "transformers", Precision: bf16}}).bound(s, without); math.Abs(most-20) > 0.2 || by != int16Peak {
		t.Errorf("without tiles: at most %v by %s, want 20 by %s", most, by, int16Peak)
	}
}

func TestTheHottestFunctionsAreThoseOfTheProfile(t *testing.T) {
	got := topLines(`Duration: 21.97s, Total samples = 3.62s (16.47%)
Showing top 14 nodes out of 152
      flat  flat%   sum%        cum   cum%
     1.91s 52.76% 52.76%      1.91s 52.76%  github.com/a/b/internal/kernel.panelsAMX
     160ms  4.41% 69.15%      260ms  7.16%  github.com/a/b/generate.first[go.shape.struct { github.com/a/b/generate.id int }]
         0     0% 69.15%      390ms 10.74%  github.com/a/b/generate.(*candidates).warp
     0.06s  1.66% 83.15%      0.06s  1.66%  runtime.memclrNoHeapPointers
`)
	want := []hot{{"kernel.panelsAMX", "52"}, {"generate.first", "4"}, {"generate.(*candidates).warp", "0"}, {"runtime.memclrNoHeapPointers", "1"}}
	if !slices.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
}

func TestTheFigureOfRatiosHasABarAndAGoalForEachRow(t *testing.T) {
	got := drawRatios([]bar{{"a < b", 2, 4}, {"slower", 0.5, 0}}).String()
	if err := xml.Unmarshal([]byte(got), new(struct{})); err != nil {
		t.Errorf("%v in\n%s", err, got)
	}
	// From 1 to 2 is as long as from 0.5 to 1.
	for _, want := range []string{"a &lt; b", `class="blue" x="583.3" y="48" width="133.3"`, `class="orange" x="450" y="72" width="133.3"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if n := strings.Count(got, `class="mark"`); n != 2 { // that of the legend, and one
		t.Errorf("%d goals", n)
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
	for _, ids := range captions(16, 9, 19, 600) {
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

func TestLoopsOfThisMachineRun(t *testing.T) {
	for name, p := range peaks(1) {
		if !(p > 0 && p < 1e6) {
			t.Errorf("the peak of %s is %v", name, p)
		}
	}
}
