// Command bench measures this project beside its peer, Hugging Face
// transformers on PyTorch, and for encoding beside OpenVINO and ONNX Runtime,
// and writes what it finds to docs/performance.md.
//
//	go run ./internal/bench
//
// Both sides get the same weights, inputs and number of threads, each in a
// process of its own for each row, and take turns. A row whose two sides do
// not compute the same is an error, and is not timed. The peers are installed
// into an environment of their own, with the versions that the files
// requirements.txt of internal/reference and internal/bench pin.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
)

const about = `
Measure this project and Hugging Face transformers on the same work, and write
the tables to docs/performance.md, with figures, if all rows were run at full
size. It takes about 20 minutes, 2 GB for the peers the first time, and 3 GB for
a while.`

type settings struct {
	rows     []string
	repeats  int
	threads  int
	venv     string
	quick    bool
	oursOnly bool
	output   string
	profiles string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		cli.Main("bench worker", func(ctx context.Context, _ []string) error { return work(ctx, os.Stdin, os.Stdout) })
	}
	cli.Main("bench", run)
}

func run(ctx context.Context, args []string) error {
	var s settings
	f := cli.Flags("bench [flags]", about)
	f.StringSliceVar(&s.rows, "rows", nil, "rows to run (default: all): "+strings.Join(rowNames(), ", "))
	f.IntVar(&s.repeats, "repeats", 5, "times that each side runs a row at least, after a first time that is not counted; up to five times as often where that takes a few seconds")
	f.IntVar(&s.threads, "threads", runtime.GOMAXPROCS(0), "threads of either side")
	f.StringVar(&s.venv, "venv", "", "folder of the peer's Python environment, made if it is not there (default: in the user's cache folder)")
	f.BoolVar(&s.quick, "quick", false, "tiny sizes, to try the bench itself")
	f.BoolVar(&s.oursOnly, "ours-only", false, "leave the peer out; needs no Python")
	f.StringVar(&s.output, "output", "", "Markdown file with the two marks to write the tables between; figures go to the folder images beside it (default: docs/performance.md, if all was run)")
	f.StringVar(&s.profiles, "profiles", "", "folder for a profile of our side of each row, for go tool pprof (default: they are not kept)")
	if err := cli.Parse(f, args); err != nil {
		return err
	}
	if err := s.check(f.Args()); err != nil {
		return err
	}
	if s.profiles != "" {
		if err := os.MkdirAll(s.profiles, 0o777); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "ekphrasis-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return s.run(ctx, dir)
}

func (s *settings) check(args []string) error {
	switch {
	case len(args) > 0:
		return cli.Usagef("%q is not a flag", args[0])
	case s.repeats < 1:
		return cli.Usagef("--repeats is %d, must be at least 1", s.repeats)
	case s.threads < 1:
		return cli.Usagef("--threads is %d, must be at least 1", s.threads)
	}
	for _, name := range s.rows {
		if !slices.Contains(rowNames(), name) {
			return cli.Usagef("--rows: there is no row %q; there are %s", name, strings.Join(rowNames(), ", "))
		}
	}
	return nil
}

// run does all the work in a folder that is there for it.
func (s *settings) run(ctx context.Context, dir string) error {
	root, err := repository(ctx)
	if err != nil {
		return err
	}
	if s.profiles == "" {
		s.profiles = dir
	}
	if s.output == "" && len(s.rows) == 0 && !s.quick && !s.oursOnly {
		s.output = filepath.Join(root, "docs", "performance.md")
	}
	b := bench{settings: s, dir: dir, root: root}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	t := table{Date: time.Now(), CPU: processor(), Threads: s.threads, Repeats: s.repeats, Quick: s.quick, Page: s.output != "", Peer: b.peer.versions}
	var failed error // rows, which do not keep the others from being run
	for _, r := range rows(s.quick) {
		if !s.wants(r) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", r.title)
		measured, err := b.measure(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			continue
		}
		t.Rows = append(t.Rows, measured)
	}
	text := t.markdown()
	fmt.Println(text)
	if failed != nil || s.output == "" {
		return failed
	}
	if err := replaceBetweenMarks(s.output, text); err != nil {
		return err
	}
	return t.draw(filepath.Join(filepath.Dir(s.output), "images"))
}

// wants tells whether a row is to be run.
func (s *settings) wants(r row) bool {
	return len(s.rows) == 0 || slices.Contains(s.rows, r.name)
}

// repository is the folder of go.mod.
func repository(ctx context.Context) (string, error) {
	out, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module))
	return strings.TrimSpace(out), err
}

const module = "github.com/ekphrasis-ml/ekphrasis"

// output runs a command and returns what it prints; the error has what it
// says on standard error.
func output(c *exec.Cmd) (string, error) {
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", c, err, exit.Stderr)
	}
	return string(out), err
}

// processor is the CPU's name, where the system tells.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	text, _ := io.ReadAll(f)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
