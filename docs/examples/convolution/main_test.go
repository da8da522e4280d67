package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/layers"
)

func TestAModelIsTrainedSavedLoadedAndRead(t *testing.T) {
	out := t.TempDir()
	random := layers.NewRandom(1)
	if err := run(context.Background(), newEncoder(random), random, 3, 4, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors", "lines.png"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThePageHasTheCommittedResult(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.ReadFile("output.txt")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(output), "\r\n", "\n")
	if !strings.Contains(strings.ReplaceAll(string(page), "\r\n", "\n"), "```\n"+text+"```\n") {
		t.Error("README.md does not have output.txt")
	}
	m := regexp.MustCompile(`held-out lines: ([0-9.]+)% of`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("output.txt does not say how many characters are wrong")
	}
	if rate, err := strconv.ParseFloat(m[1], 64); err != nil || rate >= 2 {
		t.Errorf("%s%% of the characters are wrong; the page says below 2%%", m[1])
	}
}
