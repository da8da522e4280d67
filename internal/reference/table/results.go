package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
)

// results is what a run of the tests tells.
type results struct {
	measured []measurement
	compared []comparison
	passed   []name
}

// name is that of a test: TestFunction/Case in a package.
type name struct{ pkg, test, of string }

// measurement is what reference.Measured notes, all over the largest value of the tensor.
type measurement struct {
	name
	what                string
	off, allowed, floor float64
}

// comparison is a number of things that a test found equal to the reference's, as its attribute "compared" says.
type comparison struct {
	name
	n    int
	what string
}

// read reads the output of go test -json. It is an error if a test failed.
func read(r io.Reader) (*results, error) {
	var out results
	for d := json.NewDecoder(r); ; {
		var event struct{ Action, Package, Test, Key, Value string }
		err := d.Decode(&event)
		if err == io.EOF {
			return &out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("standard input: expected the output of go test -json: %w", err)
		}
		n := name{pkg: path.Base(event.Package)}
		n.test, n.of, _ = strings.Cut(event.Test, "/")
		switch {
		case event.Action == "fail" || event.Action == "build-fail":
			return nil, fmt.Errorf("%s %s failed", event.Package, event.Test)
		case event.Action == "pass":
			out.passed = append(out.passed, n)
		case event.Action == "attr" && event.Key == "compared":
			c := comparison{name: n}
			if _, err := fmt.Sscanf(event.Value, "%d", &c.n); err != nil {
				return nil, fmt.Errorf("%s %s: compared %q: expected a number and what was counted", event.Package, event.Test, event.Value)
			}
			_, c.what, _ = strings.Cut(event.Value, " ")
			out.compared = append(out.compared, c)
		case event.Action == "attr":
			m := measurement{name: n, what: event.Key}
			if _, err := fmt.Sscan(event.Value, &m.off, &m.allowed, &m.floor); err != nil {
				return nil, fmt.Errorf("%s %s: %s %q: expected three numbers", event.Package, event.Test, event.Key, event.Value)
			}
			out.measured = append(out.measured, m)
		}
	}
}

// worst is the largest of some measurements.
type worst struct {
	cases               map[string]bool
	tensors             int
	off, allowed, floor float64
	share               float64 // of what is allowed
}

// over gives the worst of the measurements that keep accepts.
func (r *results) over(keep func(measurement) bool) worst {
	w := worst{cases: map[string]bool{}}
	for _, m := range r.measured {
		if !keep(m) {
			continue
		}
		w.cases[m.test+m.of] = true
		w.tensors++
		w.off, w.allowed, w.floor = max(w.off, m.off), max(w.allowed, m.allowed), max(w.floor, m.floor)
		if m.off > 0 {
			w.share = max(w.share, m.off/m.allowed)
		}
	}
	return w
}
