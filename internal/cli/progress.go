package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress shows how far a long work is: a bar with rate and time left on a
// terminal, and otherwise a plain line now and then.
type Progress struct {
	out      io.Writer
	bar      *progressbar.ProgressBar // nil without a terminal
	what     string
	unit     string
	total    int
	done     int
	start    time.Time
	last     time.Time
	interval time.Duration
}

const redraw = 100 * time.Millisecond // of the bar, at most

// NewProgress starts showing work of total units on standard error.
func NewProgress(what, unit string, total int) *Progress {
	return newProgress(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), what, unit, total)
}

func newProgress(out io.Writer, terminal bool, what, unit string, total int) *Progress {
	p := &Progress{out: out, what: what, unit: unit, total: total, start: time.Now(), interval: 5 * time.Second}
	p.last = p.start
	if terminal {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
		p.bar.StartWithoutRender() // its clock, from now and not from when it is first drawn
	}
	return p
}

// Add counts n more units; note, such as the loss, is shown beside them.
func (p *Progress) Add(n int, note string) {
	p.done += n
	if p.bar != nil {
		if now := time.Now(); now.Sub(p.last) >= redraw || p.done >= p.total {
			p.last = now
			if note != "" {
				p.bar.Describe(p.what + "  " + note)
			}
			_ = p.bar.Set(p.done) // a terminal that went away is no reason to stop
		}
		return
	}
	if now := time.Now(); now.Sub(p.last) >= p.interval {
		p.last = now
		p.line(note)
	}
}

func (p *Progress) line(note string) {
	elapsed := time.Since(p.start)
	rate := float64(p.done) / elapsed.Seconds()
	left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second)).Round(time.Second)
	if note != "" {
		note = "  " + note
	}
	fmt.Fprintf(p.out, "%s  %d/%d%s  %.1f %s/s  %v left\n", p.what, p.done, p.total, note, rate, p.unit, left)
}

// Done takes the bar away.
func (p *Progress) Done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// Skip counts units that were done in an earlier run.
func (p *Progress) Skip(n int) {
	p.total -= n
	if p.bar != nil {
		p.bar.ChangeMax(p.total)
	}
}

// Clear takes the bar off the terminal, so that something else can be printed;
// it comes back with the next Add.
func (p *Progress) Clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// Download returns what shows the progress of files that a model needs.
func Download() func(file string, done, total int64) {
	var bar *progressbar.ProgressBar
	var of string
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	return func(file string, done, total int64) {
		if file != of {
			of = file
			if terminal {
				bar = progressbar.DefaultBytes(total, "downloading "+file)
			} else {
				fmt.Fprintf(os.Stderr, "downloading %s (%d bytes)\n", file, total)
			}
		}
		if terminal {
			_ = bar.Set64(done)
		}
	}
}
