// Package tutorial_test holds the chapters to their code: each main.go is run,
// what it prints and draws is what is committed, and what the text quotes is in
// the one or the other.
//
//	go test ./docs/tutorial -update
//
// writes what is printed and drawn into the chapters' folders.
package tutorial_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	// What the chapters use, so that go test runs them again when it changes.
	_ "github.com/ekphrasis-ml/ekphrasis/internal/figure"
	_ "github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
	_ "github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	_ "github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

var update = flag.Bool("update", false, "write what the chapters print and draw into their folders")

const outputFile = "output.txt"

// chapters lists the folders of the chapters, in order.
func chapters(t *testing.T) []string {
	t.Helper()
	programs, err := filepath.Glob("*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatal("no chapters", err)
	}
	for i, p := range programs {
		programs[i] = filepath.Dir(p)
	}
	return programs
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

func TestChaptersPrintAndDrawWhatIsCommitted(t *testing.T) {
	for _, chapter := range chapters(t) {
		t.Run(chapter, func(t *testing.T) {
			made := run(t, chapter)
			if *update {
				write(t, chapter, made)
			}
			for name, got := range made {
				if d := difference(got, committed(chapter, name)); d != "" {
					t.Errorf("%s/%s is not what main.go makes: %s\ngo test ./docs/tutorial -update writes it", chapter, name, d)
				}
			}
			for _, name := range drawn(t, chapter) {
				if _, ok := made[name]; !ok {
					t.Errorf("main.go does not draw %s/%s", chapter, name)
				}
			}
		})
	}
}

// run returns what a chapter's program writes, by name, with what it prints.
func run(t *testing.T, chapter string) map[string][]byte {
	t.Helper()
	binary, out := filepath.Join(t.TempDir(), chapter+".exe"), t.TempDir()
	if text, err := exec.Command("go", "build", "-o", binary, "./"+chapter).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	program := exec.Command(binary, "-out", out)
	program.Dir = filepath.Join("..", "..")                                         // the top of the repository
	program.Env = append(os.Environ(), "EKPHRASIS_CPU="+os.Getenv("EKPHRASIS_CPU")) // named, so that go test knows of it
	var stdout, stderr bytes.Buffer
	program.Stdout, program.Stderr = &stdout, &stderr
	if err := program.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	made := map[string][]byte{outputFile: stdout.Bytes()}
	for _, name := range drawn(t, out) {
		made[name] = []byte(read(t, filepath.Join(out, name)))
	}
	return made
}

// drawn lists the figures in a folder.
func drawn(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".svg" || ext == ".png" {
			names = append(names, e.Name())
		}
	}
	return names
}

func write(t *testing.T, chapter string, made map[string][]byte) {
	t.Helper()
	for name, data := range made {
		if difference(data, committed(chapter, name)) == "" {
			continue // no change for the last digit's sake
		}
		if err := os.WriteFile(filepath.Join(chapter, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// committed is a file of a chapter, nil if it is not there.
func committed(chapter, name string) []byte {
	data, err := os.ReadFile(filepath.Join(chapter, name))
	if err != nil {
		return nil
	}
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
}

// numeral is a number. Kernels of different processors round differently, so
// the last digit of one with digits after the point may differ by one.
var numeral = regexp.MustCompile(`-?\d+(?:\.(\d+))?`)

// difference says in which line two texts differ, "" if they do not.
func difference(got, want []byte) string {
	a, b := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !alike(a[i], b[i]) {
			line := func(lines []string) string {
				if i >= len(lines) {
					return "the end"
				}
				return lines[i]
			}
			return "line " + strconv.Itoa(i+1) + "\n" + line(a) + "\ncommitted\n" + line(b)
		}
	}
	return ""
}

func alike(a, b string) bool {
	if a == b {
		return true
	}
	if numeral.ReplaceAllLiteralString(a, "#") != numeral.ReplaceAllLiteralString(b, "#") {
		return false
	}
	others := numeral.FindAllStringSubmatch(b, -1)
	for i, m := range numeral.FindAllStringSubmatch(a, -1) {
		x, err1 := strconv.ParseFloat(m[0], 64)
		y, err2 := strconv.ParseFloat(others[i][0], 64)
		digits := min(len(m[1]), len(others[i][1]))
		if digits == 0 { // a figure has 140 for 140.0
			digits = max(len(m[1]), len(others[i][1]))
		}
		off := 0.0
		if digits > 0 {
			off = 1.01 * math.Pow(10, -float64(digits))
		}
		if err1 != nil || err2 != nil || math.Abs(x-y) > off {
			return false
		}
	}
	return true
}

func TestTextsAreAlikeIfOnlyLastDigitsDiffer(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"loss 1.23", "loss 1.24", true},
		{"loss 1.23", "loss 1.25", false},
		{"loss 1.23", "gain 1.23", false},
		{"3 rows", "4 rows", false},
		{"-0.1 and 2.0", "0.0 and 1.9", true},
		{"1.5", "1.50", true},
		{"140", "140.1", true},
		{"140", "140.2", false},
		{"140", "141", false},
	} {
		if got := alike(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: %v", test.a, test.b, got)
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	picture = regexp.MustCompile(`!\[[^\]]+\]\(([^)\s]+)\)`)
)

// unindented is a text without the white space around its lines.
func unindented(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func TestChaptersQuoteTheirCodeAndItsOutput(t *testing.T) {
	for _, chapter := range chapters(t) {
		t.Run(chapter, func(t *testing.T) {
			var code strings.Builder
			sources, _ := filepath.Glob(chapter + "/*.go")
			for _, name := range sources {
				code.WriteString(unindented(read(t, name)))
			}
			page, output := read(t, chapter+"/README.md"), read(t, chapter+"/"+outputFile)
			for _, m := range fence.FindAllStringSubmatch(page, -1) {
				switch language, block := m[1], m[2]; language {
				case "go":
					if !strings.Contains(code.String(), unindented(block)) {
						t.Errorf("no Go file of the chapter holds this:\n%s", block)
					}
				case "text":
					if !strings.Contains("\n"+output, "\n"+block) {
						t.Errorf("%s does not hold this:\n%s", outputFile, block)
					}
				case "sh", "python":
				default:
					t.Errorf("a block of %q, expected go, text, sh or python:\n%s", language, block)
				}
			}
			var shown []string
			for _, m := range picture.FindAllStringSubmatch(page, -1) {
				shown = append(shown, m[1])
			}
			for _, name := range drawn(t, chapter) {
				if !slices.Contains(shown, name) {
					t.Errorf("README.md does not show %s", name)
				}
			}
		})
	}
}

func TestTheContentsListTheChaptersInOrder(t *testing.T) {
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\d+\. \[[^\]]+\]\(([^)/]+)/README\.md\)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		listed = append(listed, m[1])
	}
	if want := chapters(t); !slices.Equal(listed, want) {
		t.Errorf("README.md lists %v, there are %v", listed, want)
	}
}

func TestEachChapterLeadsToTheNext(t *testing.T) {
	all := chapters(t)
	for i, chapter := range all {
		page := read(t, chapter+"/README.md")
		if !strings.Contains(page, "](../README.md)") {
			t.Errorf("%s does not lead back to the contents", chapter)
		}
		if i+1 < len(all) && number(t, all[i+1]) == number(t, chapter)+1 && !strings.Contains(page, "](../"+all[i+1]+"/README.md)") {
			t.Errorf("%s does not lead to %s", chapter, all[i+1])
		}
	}
}

// number is that of a chapter: the digits before its name.
func number(t *testing.T, chapter string) int {
	t.Helper()
	digits, _, _ := strings.Cut(chapter, "-")
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("the folder %s does not begin with the number of a chapter", chapter)
	}
	return n
}
