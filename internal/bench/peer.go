package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed peer.py
var script []byte

// peer is transformers, and what else encodes, in a Python environment of its own.
type peer struct {
	python, script string
	versions       map[string]string // of its packages
}

// preparePeer makes the environment, unless it is there with the pinned
// versions.
func (b *bench) preparePeer(ctx context.Context) error {
	if b.venv == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		b.venv = filepath.Join(cache, "ekphrasis", "bench-venv")
	}
	b.peer = peer{python: filepath.Join(b.venv, "bin", "python"), script: filepath.Join(b.dir, "peer.py")}
	if err := os.WriteFile(b.peer.script, script, 0o666); err != nil {
		return err
	}
	var pinned strings.Builder
	install := []string{"-m", "pip", "install"}
	for _, folder := range []string{"reference", "bench"} {
		name := filepath.Join(b.root, "internal", folder, "requirements.txt")
		lines, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		pinned.Write(lines)
		install = append(install, "-r", name)
	}
	if _, err := os.Stat(b.peer.python); err != nil {
		if err := loudly(ctx, "python3", "-m", "venv", b.venv); err != nil {
			return err
		}
	}
	if b.peer.check(ctx, pinned.String()) == nil {
		return nil
	}
	if err := loudly(ctx, b.peer.python, install...); err != nil {
		return err
	}
	return b.peer.check(ctx, pinned.String())
}

// loudly runs a command that prints to standard error.
func loudly(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// check compares the installed versions with the pinned ones, lines of
// name==version.
func (p *peer) check(ctx context.Context, pinned string) error {
	var names []string
	want := map[string]string{}
	for line := range strings.Lines(pinned) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "=="); ok {
			names = append(names, name)
			want[name] = version
		}
	}
	out, err := output(exec.CommandContext(ctx, p.python, append([]string{p.script, "versions"}, names...)...))
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &p.versions); err != nil {
		return fmt.Errorf("%s printed %q: %w", p.script, out, err)
	}
	for _, name := range names {
		// 2.15.0+cpu is a build of 2.15.0.
		if have, _, _ := strings.Cut(p.versions[name], "+"); have != want[name] {
			return fmt.Errorf("%s has %s %q, want %s", p.python, name, have, want[name])
		}
	}
	return nil
}

// theirs starts the peer's side of a job.
func (b *bench) theirs(ctx context.Context, j job) (side, error) {
	if j.Kind == "start" {
		return &program{command: func() *exec.Cmd {
			return b.python(ctx, "start", b.model(), b.picture(), strconv.Itoa(j.NewTokens))
		}}, nil
	}
	j.Folder, j.Threads = b.model(), b.threads
	return startWorker(b.python(ctx, "worker"), j)
}

// python is a command that runs peer.py.
func (b *bench) python(ctx context.Context, args ...string) *exec.Cmd {
	threads := strconv.Itoa(b.threads)
	c := exec.CommandContext(ctx, b.peer.python, append([]string{b.peer.script}, args...)...)
	c.Env = append(os.Environ(), "OMP_NUM_THREADS="+threads, "MKL_NUM_THREADS="+threads, "HF_HUB_OFFLINE=1")
	return c
}

// needsExport tells whether a row is run that needs the exported encoder.
func (b *bench) needsExport() bool {
	return slices.ContainsFunc(rows(b.quick), func(r row) bool {
		return b.wants(r) && (r.job.Engine == "openvino" || r.job.Engine == "onnxruntime")
	})
}

// export puts the encoder where the engines that are not transformers find it.
func (b *bench) export(ctx context.Context) error {
	folder := filepath.Join(b.model(), "exported")
	if err := os.Mkdir(folder, 0o777); err != nil {
		return err
	}
	_, err := output(b.python(ctx, "export", b.model(), folder))
	return err
}
