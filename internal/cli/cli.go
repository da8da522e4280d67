// Package cli holds what the commands share: exit codes, interruption, flags
// of every command, and progress.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/spf13/pflag"
)

// Usage is an error of the command line: exit code 2.
type Usage struct{ Err error }

func (u Usage) Error() string { return u.Err.Error() }
func (u Usage) Unwrap() error { return u.Err }

// Usagef makes a Usage error.
func Usagef(format string, args ...any) error { return Usage{fmt.Errorf(format, args...)} }

// Common are the flags of every command.
type Common struct {
	Seed    uint64
	Threads int
	JSON    bool
}

// Add defines the flags.
func (c *Common) Add(f *pflag.FlagSet) {
	f.Uint64Var(&c.Seed, "seed", 42, "seed of everything that is drawn at random")
	f.IntVar(&c.Threads, "threads", 0, "threads to compute with; 0: one for each processor (results do not depend on it)")
	f.BoolVar(&c.JSON, "json", false, "print machine-readable JSON lines on standard output")
}

// Flags returns an empty flag set whose -h prints the synopsis, what the
// command does, and its flags.
func Flags(synopsis, about string) *pflag.FlagSet {
	name, _, _ := strings.Cut(synopsis, " ")
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {
		fmt.Fprintf(os.Stdout, "Usage: %s\n\n%s\n\nFlags:\n%s", synopsis, strings.TrimSpace(about), f.FlagUsages())
	}
	return f
}

// Parse reads the command line; errors are of usage.
func Parse(f *pflag.FlagSet, args []string) error {
	err := f.Parse(args)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return Usage{err}
}

// Apply sets the number of threads.
func (c *Common) Apply() error {
	if c.Threads < 0 {
		return Usagef("--threads is %d, must not be negative", c.Threads)
	}
	kernel.SetThreads(c.Threads)
	return nil
}

// Main runs a command: its context is cancelled by Ctrl-C, and a second
// Ctrl-C ends the program at once. It exits with 0 when run succeeds, 2 for
// wrong usage and 1 for any other error, which is printed.
func Main(name string, run func(ctx context.Context, args []string) error) {
	collectInTime()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	err := run(ctx, os.Args[1:])
	var usage Usage
	switch {
	case err == nil || errors.Is(err, pflag.ErrHelp):
		os.Exit(0)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "%s: %v\nRun with -h for help.\n", name, err)
		os.Exit(2)
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(1)
}
