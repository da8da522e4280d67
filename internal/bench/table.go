package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// measured is a row with what came of it.
type measured struct {
	row        row
	ours, peer times
	hot        []hot   // of our side
	points     []point // of the row of growth, which has no times of its own
}

// times are those of one side.
type times struct {
	seconds [][]float64        // of each run, as in answer
	peaks   map[string]float64 // the best of all runs
	rss     int64
	off     float64 // how far its values are from those in float32
}

// run runs a side, and keeps its time if it counts.
func (t *times) run(r row, s side, counts bool) (answer, error) {
	a, err := s.run()
	if err == nil {
		err = r.job.complete(a)
	}
	if err == nil && counts {
		t.seconds = append(t.seconds, a.Seconds)
		for name, p := range a.Peaks {
			if t.peaks == nil {
				t.peaks = map[string]float64{}
			}
			t.peaks[name] = max(t.peaks[name], p)
		}
	}
	return a, err
}

// close ends a side.
func (t *times) close(s side) (err error) {
	t.rss, err = s.close()
	return err
}

// median of part i over all runs; 0 if there were none.
func (t times) median(i int) float64 {
	if len(t.seconds) == 0 {
		return 0
	}
	var all []float64
	for _, s := range t.seconds {
		all = append(all, s[i])
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// table is a whole run of the bench.
type table struct {
	Date    time.Time
	CPU     string
	Threads int
	Repeats int
	Quick   bool
	Page    bool              // its figures are drawn beside it
	Peer    map[string]string // versions; nil: there was none
	Rows    []measured
}

func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d threads. %s, %s", t.CPU, t.Threads, runtime.Version(), kernel.CPU())
	for _, p := range []struct{ title, name string }{{"transformers", "transformers"}, {"PyTorch", "torch"}, {"OpenVINO", "openvino"}, {"ONNX Runtime", "onnxruntime"}} {
		if v := t.Peer[p.name]; v != "" {
			fmt.Fprintf(&b, ", %s %s", p.title, v)
		}
	}
	fmt.Fprintf(&b, ". Medians of %d runs or more, %s.", t.Repeats, t.Date.Format("2 January 2006"))
	if t.Quick {
		b.WriteString(" Tiny sizes.")
	}
	b.WriteString("\n")
	for _, f := range t.figures() {
		if !t.Page {
			break
		}
		fmt.Fprintf(&b, "\n![%s](images/%s)\n", f.Label(), f.name)
	}
	t.work(&b)
	t.memory(&b)
	t.accuracy(&b)
	t.bounds(&b)
	t.hot(&b)
	for _, m := range t.Rows {
		switch m.row.job.Kind {
		case "gemm":
			m.productTable(&b)
		case "held":
			m.heldTable(&b)
		case throughput:
			m.throughputTable(&b)
		case growth:
			growthTable(&b, m.points)
		}
	}
	return b.String()
}

// compared are the rows that have one time for each side.
func (t table) compared() []measured {
	var out []measured
	for _, m := range t.Rows {
		switch m.row.job.Kind {
		case "gemm", "held", throughput, growth:
		default:
			out = append(out, m)
		}
	}
	return out
}

func (t table) work(b *strings.Builder) {
	head := "\n| work | | ours | peer | times as fast | goal | our peak RSS | peer's |\n| --- | --- | --: | --: | --: | --: | --: | --: |\n"
	for _, m := range t.compared() {
		ours, peer := m.ours.median(0), m.peer.median(0)
		fmt.Fprintf(b, "%s| %s | %s | %s | %s | %s | %s | %s | %s |\n", head, m.row.title, m.row.unit,
			m.row.rate(ours), m.row.rate(peer), ratio(peer, ours), goal(m.row.goal), megabytes(m.ours.rss), megabytes(m.peer.rss))
		head = ""
	}
}

// memory are the rows whose peak RSS is that of what a user runs.
func (t table) memory(b *strings.Builder) {
	head := "\n| peak RSS | ours | peer | ours to peer's | goal, at most |\n| --- | --: | --: | --: | --: |\n"
	for _, m := range t.compared() {
		title := map[string]string{"start": "captioning a picture", "finetune": "fine-tuning, peer as usually written"}[m.row.name]
		if title == "" {
			continue
		}
		fmt.Fprintf(b, "%s| %s | %s | %s | %s | 0.5 |\n", head, title, megabytes(m.ours.rss), megabytes(m.peer.rss),
			ratio(float64(m.ours.rss), float64(m.peer.rss)))
		head = ""
	}
}

// accuracy is what less than float32 costs.
func (t table) accuracy(b *strings.Builder) {
	head := "\n| off from transformers in float32 | ours | peer |\n| --- | --: | --: |\n"
	for _, m := range t.compared() {
		if m.row.job.Precision == fp32 || m.ours.off == 0 {
			continue
		}
		fmt.Fprintf(b, "%s| %s | %s | %s |\n", head, m.row.title, percent(m.ours.off), percent(m.peer.off))
		head = ""
	}
}

func (m measured) productTable(b *strings.Builder) {
	peaks := m.ours.peaks
	if m.row.job.Precision == fp32 && len(peaks) > 0 {
		fmt.Fprintf(b, "\nAt best, in registers: ")
		for i, name := range slices.Sorted(maps.Keys(peaks)) {
			if name == memoryPeak {
				continue
			}
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(b, "%s %s", name, number(peaks[name]))
		}
		fmt.Fprintf(b, " GF/s. Reading of memory: %s GB/s.\n", number(peaks[memoryPeak]))
	}
	name, peak := float32Peak, peaks[float32Peak]
	if m.row.job.Precision == bf16 {
		peak, name = fastest(bf16, peaks)
	}
	fmt.Fprintf(b, "\n| %s | shape | ours, GF/s | of %s (%s) | PyTorch, GF/s | times as fast |\n| --- | --- | --: | --: | --: | --: |\n", m.row.title, number(peak), name)
	for i, p := range m.row.job.Products {
		ours, peer := m.ours.median(i), m.peer.median(i)
		fmt.Fprintf(b, "| %s | %d×%d×%d | %s | %s | %s | %s |\n", p.Name, p.M, p.N, p.K,
			number(p.flops()/ours/1e9), ratio(p.flops()/ours/1e9, peak), perSecond(p.flops()/1e9, peer), ratio(peer, ours))
	}
}

// heldTable compares with the reading of memory, which bounds these products.
func (m measured) heldTable(b *strings.Builder) {
	peak := m.ours.peaks[memoryPeak]
	fmt.Fprintf(b, "\n| weight held for decoding | rows | ours, GB/s | of %s (memory) | times as fast as PyTorch |\n| --- | --: | --: | --: | --: |\n", number(peak))
	for i, p := range m.row.job.Products {
		ours, peer := m.ours.median(i), m.peer.median(i)
		fmt.Fprintf(b, "| %s, %s | %d | %s | %s | %s |\n", p.Name, p.Precision, p.M, number(p.bytes()/ours/1e9), ratio(p.bytes()/ours/1e9, peak), ratio(peer, ours))
	}
}

// throughputTable has a line for each batch and a column for each number of beams.
func (m measured) throughputTable(b *strings.Builder) {
	cells := m.row.job.Cells
	batch := -1
	for i, c := range cells {
		if i == 0 {
			b.WriteString("\n| tokens/s (times as fast) |")
			rule := "| --- |"
			for _, d := range cells {
				if d.Batch == c.Batch {
					fmt.Fprintf(b, " beams %d |", d.Beams)
					rule += " --: |"
				}
			}
			b.WriteString("\n" + rule)
		}
		if c.Batch != batch {
			batch = c.Batch
			fmt.Fprintf(b, "\n| batch %d |", batch)
		}
		ours, peer := m.ours.median(i), m.peer.median(i)
		fmt.Fprintf(b, " %s (%s) |", perSecond(float64(c.Batch*m.row.job.NewTokens), ours), ratio(peer, ours))
	}
	b.WriteString("\n")
}

// rate is what a table shows of the seconds that a row takes.
func (r row) rate(seconds float64) string {
	if r.work == 0 {
		return number(seconds)
	}
	return perSecond(r.work, seconds)
}

const none = "–"

func perSecond(work, seconds float64) string {
	if seconds == 0 {
		return none
	}
	return number(work / seconds)
}

// number has about three digits.
func number(x float64) string {
	switch {
	case x == 0:
		return none
	case x < 1:
		return fmt.Sprintf("%.3g", x)
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", a/b)
}

func goal(x float64) string {
	if x == 0 {
		return none
	}
	return fmt.Sprint(x)
}

func percent(x float64) string {
	if x == 0 {
		return none
	}
	return fmt.Sprintf("%.2g %%", 100*x)
}

func megabytes(bytes int64) string {
	if bytes == 0 {
		return none
	}
	return fmt.Sprintf("%d MB", bytes/1e6)
}

// The marks in a page, each on a line of its own, between which the table stands.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->\n"
)

func replaceBetweenMarks(name, text string) error {
	page, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(page), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s lacks a line %q followed by %q", name, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return atomicfile.Write(name, func(w io.Writer) error {
		_, err := io.WriteString(w, before+beginMark+"\n"+text+"\n"+endMark+after)
		return err
	})
}
