// Package docs_test holds the project's pages to its code: what they quote is
// there, what they link to exists, and the commands know the flags they name.
package docs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
)

// The pages name files from the top of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// files lists the files of the repository with an extension.
func files(t *testing.T, extension string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "runs") {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(name) == extension {
			found = append(found, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

// pages are the pages that are held to the code.
func pages(t *testing.T) []string {
	return append([]string{"README.md"}, slices.DeleteFunc(files(t, ".md"), func(name string) bool { return !strings.HasPrefix(name, "docs/") })...)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// snippets are the fenced blocks of a page in a language.
func snippets(page, language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// unindented is a text without the white space that its lines begin and end
// with, and without empty lines at both ends.
func unindented(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func TestEveryGoSnippetIsCodeThatIsCompiled(t *testing.T) {
	var code strings.Builder
	for _, name := range files(t, ".go") {
		code.WriteString(unindented(read(t, name)))
	}
	for _, page := range pages(t) {
		for _, snippet := range snippets(read(t, page), "go") {
			if !strings.Contains(code.String(), unindented(snippet)) {
				t.Errorf("%s: no Go file holds this:\n%s", page, snippet)
			}
		}
	}
}

func TestTheReadmesProgramIsTheExample(t *testing.T) {
	_, body, ok := strings.Cut(read(t, "docs/example_test.go"), "func Example() {\n")
	if !ok {
		t.Fatal("docs/example_test.go has no func Example")
	}
	body, _, _ = strings.Cut(body, "\n\t// Output:")
	body = strings.Replace(unindented(body), "\nctx := context.Background()\n", "\n", 1)
	program := snippets(read(t, "README.md"), "go")[0]
	if got := unindented(program); got != body {
		t.Errorf("README.md has%s\ndocs/example_test.go has%s", got, body)
	}
	if n := strings.Count(program, "\n"); n > 13 {
		t.Errorf("README.md: the program has %d lines", n)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, page := range files(t, ".md") {
		text := fence.ReplaceAllString(read(t, page), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := path.Join(path.Dir(page), target)
			if target == "" {
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s: no such heading", page, m[1])
			}
		}
	}
}

// anchors are the names that GitHub gives to the headings of a page.
func anchors(page string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(name, " ", "-"))
	}
	return out
}

var (
	commandLine = regexp.MustCompile(`go run \./(cmd/\w+)([^\n#` + "`" + `]*)`)
	flagName    = regexp.MustCompile(`--[a-z][a-z-]*`)
	inline      = regexp.MustCompile("`(--[a-z][a-z-]*)`")
)

func TestTheCommandsKnowTheFlagsThatThePagesName(t *testing.T) {
	folders, err := filepath.Glob("cmd/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no commands", err)
	}
	help := map[string]string{}
	for _, folder := range folders {
		help[filepath.ToSlash(folder)] = usage(t, folder)
	}
	all := fmt.Sprint(help)
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			known, ok := help[m[1]]
			if !ok {
				t.Errorf("%s: there is no command %s", page, m[1])
			}
			for _, name := range flagName.FindAllString(m[2], -1) {
				if !knows(known, name) {
					t.Errorf("%s: %s has no flag %s", page, m[1], name)
				}
			}
		}
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			if !knows(all, m[1]) {
				t.Errorf("%s: no command has the flag %s", page, m[1])
			}
		}
	}
}

func knows(help, flag string) bool {
	return regexp.MustCompile(`(?m)^\s+(-\w, )?` + flag + `\b[^-]`).MatchString(help)
}

// usage is what a command prints for -h.
func usage(t *testing.T, folder string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(folder)+".exe")
	if out, err := exec.Command("go", "build", "-o", binary, "./"+filepath.ToSlash(folder)).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", folder, err, out)
	}
	out, err := exec.Command(binary, "-h").Output()
	if err != nil {
		t.Fatalf("%s -h: %v", folder, err)
	}
	return string(out)
}

// A row of the map in architecture.md: folders, and what they may import.
type row struct{ folders, imports []string }

const module = "github.com/ekphrasis-ml/ekphrasis/"

func TestPackagesImportWhatTheMapSays(t *testing.T) {
	rows := mapRows(t)
	var stderr bytes.Buffer
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		name := strings.TrimPrefix(imports[0], module)
		r, ok := rowOf(rows, name)
		if !ok {
			t.Errorf("the map has no row for %s", name)
			continue
		}
		for _, i := range imports[1:] {
			dep, ours := strings.CutPrefix(i, module)
			if ours && !within(dep, r.folders) && !within(dep, r.imports) && !slices.Contains(r.imports, "all") {
				t.Errorf("%s imports %s, which the map does not say", name, dep)
			}
		}
	}
}

func mapRows(t *testing.T) []row {
	t.Helper()
	code := regexp.MustCompile("`([a-z0-9/]+)`")
	var rows []row
	for line := range strings.Lines(read(t, "docs/architecture.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		var r row
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			r.folders = append(r.folders, m[1])
		}
		for _, m := range code.FindAllStringSubmatch(cells[3], -1) {
			r.imports = append(r.imports, m[1])
		}
		if strings.TrimSpace(cells[3]) == "all" {
			r.imports = []string{"all"}
		}
		rows = append(rows, r)
	}
	if len(rows) < 10 {
		t.Fatalf("the map has %d rows", len(rows))
	}
	return rows
}

func rowOf(rows []row, name string) (row, bool) {
	for _, r := range rows {
		if within(name, r.folders) {
			return r, true
		}
	}
	return row{}, false
}

// within tells whether a package is one of the folders or below one.
func within(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return name == f || strings.HasPrefix(name, f+"/") })
}

func TestTheReadmesFiguresAreThoseOfTheBench(t *testing.T) {
	cells := func(line string) []string {
		all := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range all {
			all[i] = strings.TrimSpace(all[i])
		}
		return all
	}
	measured := map[string][]string{}
	for line := range strings.Lines(read(t, "docs/performance.md")) {
		if c := cells(line); len(c) == 8 {
			measured[c[0]] = append(c[:4:4], c[6:]...) // without ratio and goal
		}
	}
	_, section, ok := strings.Cut(read(t, "README.md"), "## Beside Hugging Face\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !ok || !end {
		t.Fatal("README.md has no section that compares")
	}
	rows := 0
	for line := range strings.Lines(section) {
		c := cells(line)
		if len(c) != 6 || c[0] == "work" || strings.HasPrefix(c[0], "---") {
			continue
		}
		if rows++; !slices.Equal(c, measured[c[0]]) {
			t.Errorf("README.md has %q, docs/performance.md %q", c, measured[c[0]])
		}
	}
	if rows < 5 {
		t.Errorf("README.md compares %d rows", rows)
	}
}

func TestThePictureOfTheReadmeIsHeldOut(t *testing.T) {
	picture, err := os.ReadFile("docs/images/picture.png")
	if err != nil {
		t.Fatal(err)
	}
	held := emoji.Validation()
	for i := range held.Len() {
		e, err := held.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		file, err := emoji.PNG(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(file, picture) {
			return
		}
	}
	t.Error("docs/images/picture.png is none of the held-out emoji")
}
