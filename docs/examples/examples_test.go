// Package examples_test holds the pages of the examples to what came of them.
package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestThePagesHaveTheCommittedResults(t *testing.T) {
	outputs, err := filepath.Glob("*/output.txt")
	if err != nil || len(outputs) < 2 {
		t.Fatalf("the examples with a result are %q, error %v", outputs, err)
	}
	for _, name := range outputs {
		page, output := read(t, filepath.Join(filepath.Dir(name), "README.md")), read(t, name)
		if !strings.Contains(page, "```\n"+output+"```\n") {
			t.Errorf("%s: README.md does not have it", name)
		}
		m := regexp.MustCompile(`held-out lines: ([0-9.]+)% of`).FindStringSubmatch(output)
		if m == nil {
			t.Errorf("%s does not say how many characters are wrong", name)
		} else if rate, err := strconv.ParseFloat(m[1], 64); err != nil || rate >= 2 {
			t.Errorf("%s: %s%% of the characters are wrong; the page says below 2%%", name, m[1])
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}
