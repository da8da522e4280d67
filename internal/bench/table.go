package main

import (
	"fmt"
	"io"
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
}

// times are those of one side.
type times struct {
	seconds [][]float64 // of each run, as in answer
	peak    float64     // the best of all runs
	rss     int64
}

// run runs a side, and keeps its time if it counts.
func (t *times) run(r row, s side, counts bool) (answer, error) {
	a, err := s.run()
	if err == nil {
		err = r.complete(a)
	}
	if err == nil && counts {
		t.seconds = append(t.seconds, a.Seconds)
		t.peak = max(t.peak, a.Peak)
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
	Peer    map[string]string // versions; nil: there was none
	Rows    []measured
}

func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d threads, float32. %s, %s", t.CPU, t.Threads, runtime.Version(), kernel.CPU())
	if t.Peer != nil {
		fmt.Fprintf(&b, "; transformers %s, PyTorch %s", t.Peer["transformers"], t.Peer["torch"])
	}
	fmt.Fprintf(&b, ". Medians of %d runs, %s.", t.Repeats, t.Date.Format("2 January 2006"))
	if t.Quick {
		b.WriteString(" Tiny sizes.")
	}
	b.WriteString("\n")
	t.work(&b)
	t.products(&b)
	return b.String()
}

func (t table) work(b *strings.Builder) {
	head := "\n| work | | ours | peer | times as fast | our peak RSS | peer's |\n| --- | --- | --: | --: | --: | --: | --: |\n"
	for _, m := range t.Rows {
		if m.row.job.Kind == "gemm" {
			continue
		}
		ours, peer := m.ours.median(0), m.peer.median(0)
		fmt.Fprintf(b, "%s| %s | %s | %s | %s | %s | %s | %s |\n", head, m.row.title, m.row.unit,
			m.row.rate(ours), m.row.rate(peer), ratio(peer, ours), megabytes(m.ours.rss), megabytes(m.peer.rss))
		head = ""
	}
}

func (t table) products(b *strings.Builder) {
	for _, m := range t.Rows {
		if m.row.job.Kind != "gemm" {
			continue
		}
		fmt.Fprintf(b, "\n| product | shape | ours, GF/s | of the peak, %s | PyTorch, GF/s | times as fast |\n| --- | --- | --: | --: | --: | --: |\n", number(m.ours.peak))
		for i, p := range m.row.job.Products {
			ours, peer := m.ours.median(i), m.peer.median(i)
			fmt.Fprintf(b, "| %s | %d×%d×%d | %s | %s | %s | %s |\n", p.Name, p.M, p.N, p.K,
				number(p.flops()/ours/1e9), ratio(p.flops()/ours/1e9, m.ours.peak), perSecond(p.flops()/1e9, peer), ratio(peer, ours))
		}
	}
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
