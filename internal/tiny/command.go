package tiny

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Command is a program of this project that was built for its tests.
type Command string

// Main is for TestMain: it builds the program in the current folder, runs the
// tests and exits.
func (c *Command) Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "command")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	*c = Command(filepath.Join(dir, "program.exe"))
	build := exec.Command("go", "build", "-o", string(*c), ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// Result is what came of running a command.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the command in a folder ("": the current one) to its end.
func (c Command) Run(t testing.TB, dir string, args ...string) Result {
	t.Helper()
	return Finish(t, c.Start(t, dir, args...))
}

// Start starts the command in a folder; [Finish] waits for it.
func (c Command) Start(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	p := exec.Command(string(c), args...)
	p.Dir, p.Stdout, p.Stderr = dir, &bytes.Buffer{}, &bytes.Buffer{}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() }) // if the test did not get to wait for it
	return p
}

// Finish waits for a started command; a killed one has code -1.
func Finish(t testing.TB, p *exec.Cmd) Result {
	t.Helper()
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{p.ProcessState.ExitCode(), p.Stdout.(*bytes.Buffer).String(), p.Stderr.(*bytes.Buffer).String()}
}

// Want checks the exit code and that standard error says all of some words.
func (r Result) Want(t testing.TB, code int, words ...string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit code %d, want %d", r.Code, code)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("%q is not in the message", w)
		}
	}
	if t.Failed() {
		t.Logf("standard output:\n%s\nstandard error:\n%s", r.Stdout, r.Stderr)
	}
}
