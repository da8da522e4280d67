package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// A hot function takes so many percent of a profile.
type hot struct {
	name    string
	percent string
}

// hottest are the functions in which most of a profile's time goes.
func hottest(ctx context.Context, profile string) ([]hot, error) {
	out, err := output(exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=5", profile))
	return topLines(out), err
}

// A line of pprof's: flat, flat%, sum%, cum, cum%, and the name with its
// package and type arguments.
var topLine = regexp.MustCompile(`(?m)^\s*\S+\s+(\d+)(?:\.\d+)?%\s+\S+%\s+\S+\s+\S+%\s+(?:[^\s\[]*/)?([^\s/\[]+)`)

func topLines(text string) []hot {
	var all []hot
	for _, m := range topLine.FindAllStringSubmatch(text, -1) {
		all = append(all, hot{m[2], m[1]})
	}
	return all
}

// hot is a table of where our time goes.
func (t table) hot(b *strings.Builder) {
	head := "\n| work | where our time goes |\n| --- | --- |\n"
	for _, m := range t.compared() {
		if e := m.row.job.Engine; len(m.hot) == 0 || e != "" && e != "transformers" {
			continue
		}
		var parts []string
		for _, h := range m.hot {
			parts = append(parts, fmt.Sprintf("`%s` %s %%", h.name, h.percent))
		}
		fmt.Fprintf(b, "%s| %s | %s |\n", head, m.row.title, strings.Join(parts, ", "))
		head = ""
	}
}
