//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package statestore

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the process that the tests kill, or give a small
// disk.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STATESTORE_TEST_DIR"); dir != "" {
		if err := writer(dir, os.Getenv("STATESTORE_TEST_LIMIT") != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// many is the number of inputs of a writer, and large their states: four pages
// and a bit, so that a write takes a while.
const many = 20000

var large = Format{Encoder: [32]byte{9}, Dim: 4097}

func largeStates(i int) []float32 {
	out := make([]float32, large.Dim)
	for k := range out {
		out[k] = float32(i ^ k)
	}
	return out
}

// writer puts inputs that are not there yet, and prints each that is kept.
// With a limit, no file can be larger than a megabyte.
func writer(dir string, limited bool) error {
	if limited {
		signal.Ignore(unix.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			return err
		}
	}
	s, err := Open(dir, large, func(message string) { fmt.Fprintln(os.Stderr, message) })
	if err != nil {
		return err
	}
	for i := range many {
		if limited && i == 200 {
			break
		}
		if s.Get(key(i)) == nil && s.Put(key(i), largeStates(i)) {
			fmt.Println(i)
		}
	}
	return s.Close()
}

func command(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "STATESTORE_TEST_DIR="+dir), env...)
	return c
}

// checkLarge checks all states that are there against those that a writer said
// were kept.
func checkLarge(t *testing.T, dir string, kept map[int]bool) {
	t.Helper()
	s, w := open(t, dir, large)
	defer s.Close()
	for i := range many {
		got := s.Get(key(i))
		if got == nil && kept[i] {
			t.Fatalf("input %d is lost", i)
		}
		if got == nil {
			continue
		}
		for k, x := range got {
			if x != float32(i^k) {
				t.Fatalf("number %d of input %d is %v", k, i, x)
			}
		}
	}
	w.want(0)
}

func TestKilledAtAnyMomentNothingThatWasKeptIsLost(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	kept := map[int]bool{}
	for range 12 {
		// Two at once, each of which sees what earlier ones left.
		var outputs [2]strings.Builder
		var running [2]*exec.Cmd
		var copied [2]chan error
		for n := range running {
			running[n] = command(t, dir)
			out, err := running[n].StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := running[n].Start(); err != nil {
				t.Fatal(err)
			}
			copied[n] = make(chan error, 1)
			go func() {
				_, err := io.Copy(&outputs[n], out)
				copied[n] <- err
			}()
		}
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		for n, c := range running {
			_ = c.Process.Kill()
			if err := <-copied[n]; err != nil {
				t.Error(err)
			}
			_ = c.Wait() // killed
			for lines := bufio.NewScanner(strings.NewReader(outputs[n].String())); lines.Scan(); {
				var i int
				if _, err := fmt.Sscan(lines.Text(), &i); err != nil {
					t.Fatal(err)
				}
				kept[i] = true
			}
		}
		checkLarge(t, dir, kept)
	}
	if len(kept) < 10 {
		t.Fatalf("only %d inputs were kept: nothing was tested", len(kept))
	}
}

func TestAFullDiskTurnsWritingOffWithOneWarning(t *testing.T) {
	dir := t.TempDir()
	c := command(t, dir, "STATESTORE_TEST_LIMIT=1")
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if n := strings.Count(said.String(), "no more encoder states are written to"); n != 1 {
		t.Errorf("%d warnings in %q", n, said.String())
	}
	kept := map[int]bool{}
	for i := range strings.Count(string(out), "\n") {
		kept[i] = true
	}
	if len(kept) != (1<<20-block)/(block+4*4096+block) {
		t.Errorf("%d inputs are kept", len(kept))
	}
	checkLarge(t, dir, kept)
}
