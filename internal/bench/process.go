package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/system"
)

// A side does the work of a row, as often as it is asked.
type side interface {
	run() (answer, error)
	// close ends it, and returns the most memory that it took, in bytes; 0
	// if that is not known.
	close() (peak int64, err error)
}

// worker is a process that holds a job.
type worker struct {
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	requests *json.Encoder
	answers  *json.Decoder
	stderr   bytes.Buffer
	next     any // what to send: the job, then that there is more to do
}

func startWorker(cmd *exec.Cmd, j job) (*worker, error) {
	w := &worker{cmd: cmd, next: j}
	cmd.Stderr = &w.stderr
	var err error
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.requests, w.answers = json.NewEncoder(w.stdin), json.NewDecoder(stdout)
	return w, cmd.Start()
}

func (w *worker) run() (a answer, err error) {
	err = w.requests.Encode(w.next)
	w.next = struct{}{}
	if err == nil {
		err = w.answers.Decode(&a)
	}
	return a, err
}

// close reports why a worker failed, too.
func (w *worker) close() (int64, error) {
	w.stdin.Close()
	if err := w.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", w.cmd, err, w.stderr.Bytes())
	}
	return system.PeakMemoryOf(w.cmd.ProcessState), nil
}

// program is a side that starts anew for each run: it prints an object with
// the tokens of a caption, and ends.
type program struct {
	command func() *exec.Cmd
	peak    int64
}

func (p *program) run() (a answer, err error) {
	cmd := p.command()
	start := time.Now()
	out, err := output(cmd)
	a.Seconds = []float64{time.Since(start).Seconds()}
	if err != nil {
		return a, err
	}
	p.peak = max(p.peak, system.PeakMemoryOf(cmd.ProcessState))
	var caption struct {
		TokenIDs []int `json:"token_ids"`
	}
	if err := json.Unmarshal([]byte(out), &caption); err != nil {
		return a, fmt.Errorf("%s printed %q: %w", cmd, out, err)
	}
	a.Tokens = [][]int{caption.TokenIDs}
	return a, nil
}

func (p *program) close() (int64, error) { return p.peak, nil }

// bench has what the rows need.
type bench struct {
	*settings
	dir, root string
	peer      peer
}

func (b *bench) prepare(ctx context.Context) error {
	if !b.oursOnly {
		if err := b.preparePeer(ctx); err != nil {
			return fmt.Errorf("peer: %w", err)
		}
	}
	fmt.Fprintln(os.Stderr, "drawing a model …")
	if err := b.draw(ctx, b.model(), modelShape(b.quick)); err != nil {
		return err
	}
	if !b.oursOnly && b.needsExport() {
		fmt.Fprintln(os.Stderr, "exporting its encoder …")
		if err := b.export(ctx); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	_, err := output(b.in(exec.CommandContext(ctx, "go", "build", "-o", b.caption(), "./cmd/caption")))
	return err
}

// draw writes a model into a folder.
func (b *bench) draw(ctx context.Context, folder string, s shape) error {
	w, err := b.ours(ctx, job{Kind: "model", Folder: folder, Shape: s})
	if err != nil {
		return err
	}
	_, err = w.run()
	_, closed := w.close()
	return errors.Join(err, closed)
}

func (b *bench) in(c *exec.Cmd) *exec.Cmd {
	c.Dir = b.root
	return c
}

func (b *bench) model() string   { return filepath.Join(b.dir, "model") }
func (b *bench) caption() string { return filepath.Join(b.dir, "caption.exe") }
func (b *bench) picture() string { return filepath.Join(b.model(), pictureFile) }

// ours starts our side of a job.
func (b *bench) ours(ctx context.Context, j job) (side, error) {
	threads := strconv.Itoa(b.threads)
	if j.Kind == "start" {
		tokens := strconv.Itoa(j.NewTokens)
		return &program{command: func() *exec.Cmd {
			return exec.CommandContext(ctx, b.caption(), "--model", b.model(), "--threads", threads, "--json",
				"--max-new-tokens", tokens, "--min-new-tokens", tokens, b.picture())
		}}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if j.Folder == "" {
		j.Folder = b.model()
	}
	j.Threads = b.threads
	return startWorker(exec.CommandContext(ctx, self, "worker"), j)
}

// measure runs a row on both sides.
func (b *bench) measure(ctx context.Context, r row) (measured, error) {
	if r.job.Kind == growth {
		return b.measureGrowth(ctx, r)
	}
	r.job.Profile, r.job.Uncounted = filepath.Join(b.profiles, r.name+".pprof"), r.uncounted()
	ours, err := b.ours(ctx, r.job)
	if err != nil {
		return measured{}, err
	}
	repeats := b.repeats
	if r.repeats > 0 {
		repeats = min(repeats, r.repeats)
	}
	var o others
	if !b.oursOnly {
		ask := func(j job) starter {
			return func(first answer) (side, error) {
				if !j.exact() {
					j.Score = first.Tokens
				}
				return b.theirs(ctx, j)
			}
		}
		o.peer = ask(r.job)
		if r.job.Precision == bf16 {
			exact := r.job
			exact.Precision, exact.Engine = fp32, "transformers"
			// Its own tokens are not asked for, but how probable ours are.
			o.reference = func(first answer) (side, error) {
				exact.Score = first.Tokens
				return b.theirs(ctx, exact)
			}
		}
	}
	m, err := takeTurns(r, repeats, ours, o)
	if _, ok := ours.(*worker); ok && err == nil && !b.quick { // then there are hardly any samples
		m.hot, err = hottest(ctx, r.job.Profile)
	}
	return m, err
}

// others are what our side is compared with; nil where there is none. They
// are started when we have answered for the first time.
type others struct {
	peer starter
	// reference is the peer in float32, where peer is not: it says how far
	// either side is off.
	reference starter
}

type starter func(first answer) (side, error)

// uncounted is how many times each side runs before it counts: until what is
// kept for all later times is there: an encoder's packed weights after the
// second; of fine-tuning its states after the first, and ours, frozen weights
// after the third.
func (r row) uncounted() int {
	switch r.job.Kind {
	case "finetune":
		return 3
	case "encode":
		return 2
	}
	return 1
}

// enough is how long sides take turns at least, unless each has had five times
// as many as were asked for: of short ones a few are only what there was in that
// second.
const enough = 8 * time.Second

// another reports whether each side has another turn.
func another(turns, repeats int, spent time.Duration) bool {
	return turns < repeats || turns < 5*repeats && spent < enough
}

// takeTurns runs both sides, which is not counted at first, and then a number of
// times in turn. Answers that differ are an error.
func takeTurns(r row, repeats int, ours side, o others) (m measured, err error) {
	m.row = r
	defer func() { err = errors.Join(err, m.ours.close(ours)) }()
	a, err := m.ours.run(r, ours, false)
	if err != nil {
		return m, err
	}
	var truth answer
	if o.reference != nil {
		if truth, err = once(r, o.reference, a); err != nil {
			return m, fmt.Errorf("reference: %w", err)
		}
		if m.ours.off, err = off(r, a, truth); err != nil {
			return m, fmt.Errorf("we are too far off: %w", err)
		}
	}
	var peer side
	if o.peer != nil {
		if peer, err = o.peer(a); err != nil {
			return m, fmt.Errorf("peer: %w", err)
		}
		defer func() { err = errors.Join(err, m.peer.close(peer)) }()
		theirs, err := m.compare(a, peer, false)
		if err != nil {
			return m, err
		}
		if o.reference == nil {
			m.ours.off, _ = distance(a, theirs)
		} else {
			m.peer.off, _ = distance(theirs, truth)
		}
	}
	turn := func(counts bool) error {
		a, err := m.ours.run(r, ours, counts)
		if err == nil && peer != nil {
			_, err = m.compare(a, peer, counts)
		}
		return err
	}
	for range r.uncounted() - 1 {
		if err := turn(false); err != nil {
			return m, err
		}
	}
	start := time.Now()
	for i := 0; another(i, repeats, time.Since(start)); i++ {
		if err := turn(true); err != nil {
			return m, err
		}
	}
	return m, nil
}

// once runs a side that is started for that.
func once(r row, start starter, first answer) (a answer, err error) {
	s, err := start(first)
	if err != nil {
		return a, err
	}
	var t times
	a, err = t.run(r, s, false)
	return a, errors.Join(err, t.close(s))
}

// off is how far an answer is from the true one; too far is an error.
func off(r row, a, truth answer) (float64, error) {
	if err := r.job.agree(a, truth); err != nil {
		return 0, err
	}
	d, _ := distance(a, truth)
	return d, nil
}

// compare runs the peer, which must answer as we have.
func (m *measured) compare(ours answer, peer side, counts bool) (answer, error) {
	a, err := m.peer.run(m.row, peer, counts)
	if err != nil {
		return a, fmt.Errorf("peer: %w", err)
	}
	if err := m.row.job.agree(ours, a); err != nil {
		return a, fmt.Errorf("the two sides differ: %w", err)
	}
	return a, nil
}
