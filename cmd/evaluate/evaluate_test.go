package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
)

var command tiny.Command

func TestMain(m *testing.M) { command.Main(m) }

// model saves a captioner that says little.
func model(t *testing.T) string {
	t.Helper()
	m, dir := tiny.Captioner(t, tiny.Options{}), filepath.Join(t.TempDir(), "model")
	m.Generation.MaxNewTokens = 6
	if err := m.Save(dir, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// summarised runs the command with --json.
func summarised(t *testing.T, args ...string) (s summary, raw string) {
	t.Helper()
	r := command.Run(t, "", append(args, "--json")...)
	r.Want(t, 0)
	d := json.NewDecoder(strings.NewReader(r.Stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || strings.Count(r.Stdout, "\n") != 1 {
		t.Fatalf("%q: %v", r.Stdout, err)
	}
	return s, r.Stdout
}

// readLines reads a JSON lines file.
func readLines[T any](t *testing.T, path string) (all []T) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var v T
		d := json.NewDecoder(strings.NewReader(lines.Text()))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		all = append(all, v)
	}
	return all
}

func TestAModelIsMeasuredAndTheFilesAgreeWithTheSummary(t *testing.T) {
	dir, data, out := model(t), tiny.Data(t, 9), t.TempDir()
	captions, pictures := filepath.Join(out, "captions.jsonl"), filepath.Join(out, "pictures.jsonl")
	page := filepath.Join(out, "page.html")
	args := []string{"--model", dir, "--data", data, "--batch-size", "4", "--prompt", "a red bar is"}
	s, _ := summarised(t, append(args, "--per-caption", captions, "--per-picture", pictures, "--html", page, "--html-pictures", "2")...)
	if html, err := os.ReadFile(page); err != nil || strings.Count(string(html), "data:image/png") != 4 || !strings.Contains(string(html), "on "+data) {
		t.Errorf("the page: %v\n%s", err, html)
	}
	if s.Pictures != 9 || s.Likelihood == nil || s.Captions != 13 || s.ImageGain == nil || math.Abs(s.Perplexity-math.Exp(s.Loss)) > 1e-9*s.Perplexity {
		t.Fatalf("%+v", s)
	}
	sum, tokens := 0.0, 0
	for _, c := range readLines[evaluate.Caption](t, captions) {
		sum, tokens = sum+c.NLLSum, tokens+len(c.TokenIDs)
	}
	if tokens != s.Tokens || math.Abs(sum/float64(tokens)-s.Loss) > 1e-9 {
		t.Errorf("the captions' mean is %v over %d tokens, the summary has %v over %d", sum/float64(tokens), tokens, s.Loss, s.Tokens)
	}
	cider := 0.0
	each := readLines[evaluate.Picture](t, pictures)
	for _, p := range each {
		cider += p.Scores.CIDEr / 9
	}
	if len(each) != 9 || each[3].Image != "03.png" || len(each[3].References) != 2 || math.Abs(cider-s.CIDEr) > 1e-9 || cider == 0 {
		t.Errorf("%d pictures, CIDEr %v and %v: %+v", len(each), cider, s.CIDEr, each)
	}

	r := command.Run(t, "", args...)
	r.Want(t, 0)
	for _, want := range []string{fmt.Sprintf("loss        %.4f\n", s.Loss), "perplexity", "image gain", "BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "13 of"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.Stdout)
		}
	}
	for _, threads := range []string{"1", "2"} {
		if again, _ := summarised(t, append(args, "--threads", threads)...); again.Loss != s.Loss || again.CIDEr != s.CIDEr {
			t.Errorf("with %s threads %+v, without saying %+v", threads, again, s)
		}
	}
	if first, _ := summarised(t, append(args, "--caption", "first")...); first.Captions != 9 || first.Loss == s.Loss || first.CIDEr != s.CIDEr {
		t.Errorf("on first captions %+v", first)
	}
}

func TestInLowPrecisionTheLossIsNearlyTheSame(t *testing.T) {
	args := []string{"--model", model(t), "--data", tiny.Data(t, 6), "--precision"}
	exact, _ := summarised(t, append(args, "fp32")...)
	for _, precision := range []string{"bf16", "int8"} {
		s, _ := summarised(t, append(args, precision)...)
		if d := math.Abs(s.Loss - exact.Loss); d == 0 || d > 0.05 {
			t.Errorf("%s: loss %v, exactly %v", precision, s.Loss, exact.Loss)
		}
	}
}

func TestTheFlagsOfGenerationSayWhatIsScored(t *testing.T) {
	dir, data, file := model(t), tiny.Data(t, 4), filepath.Join(t.TempDir(), "pictures.jsonl")
	summarised(t, "--model", dir, "--data", data, "--prompt", "a photo of", "--num-beams", "2", "--per-picture", file)
	for _, p := range readLines[evaluate.Picture](t, file) {
		if !strings.HasPrefix(p.Caption, "a photo of") {
			t.Errorf("%+v does not begin with the prompt", p)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestACOCOResultsFileIsScoredWithoutAModel(t *testing.T) {
	data := write(t, "captions.json", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}],
		"annotations": [{"image_id": 1, "caption": "A zebra standing in tall grass."}, {"image_id": 1, "caption": "A zebra grazes."},
		{"image_id": 2, "caption": "Two people riding bikes."}, {"image_id": 2, "caption": "People on bikes"}, {"image_id": 3, "caption": "a dog"}]}`)
	images := t.TempDir()
	if err := os.WriteFile(filepath.Join(images, "a.jpg"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	results := write(t, "results.json", `[{"image_id": 2, "caption": "two people ride bikes"}, {"image_id": 1, "caption": "a zebra stands in the grass"}]`)
	s, raw := summarised(t, "--data", data, "--images", images, "--results", results)
	// The numbers of pycocoevalcap, as in the example of package metrics.
	if s.Pictures != 2 || fmt.Sprintf("%.3f %.3f %.3f", s.BLEU[0], s.ROUGEL, s.CIDEr) != "0.700 0.708 2.009" || strings.Contains(raw, "loss") {
		t.Errorf("%s", raw)
	}
	command.Run(t, "", "--data", data, "--images", images, "--results", results).Want(t, 0, "1 of the 3 pictures")
	strange := write(t, "results.json", `[{"image_id": 5, "caption": "a dog"}]`)
	command.Run(t, "", "--data", data, "--images", images, "--results", strange).Want(t, 1, strange, "picture 5")
	command.Run(t, "", "--data", data, "--images", images, "--results", "no-such.json").Want(t, 1, "no-such.json")
}

func TestWrongUsageIsToldApartFromFailure(t *testing.T) {
	dir, data := model(t), tiny.Data(t, 3)
	if err := os.WriteFile(filepath.Join(filepath.Dir(data), "01.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "no", "file.jsonl")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "--data is missing"},
		{"--data D extra", 2, `"extra"`},
		{"--data D --what", 2, "--what"},
		{"--data D --caption random", 2, "--caption"},
		{"--data D --batch-size 0", 2, "--batch-size is 0"},
		{"--data D --html-pictures 0", 2, "--html-pictures is 0"},
		{"--data D --html " + gone, 1, gone},
		{"--data D --max-skipped -1", 2, "--max-skipped"},
		{"--data D --num-beams 2 --num-return-sequences 2", 2, "--num-return-sequences is 2"},
		{"--data D --precision fp64", 2, "fp64"},
		{"--data D --background red", 2, "--background"},
		{"--data D --top-p 2", 2, "top_p"},
		{"--data D --results r.json --model M", 2, "--model does not go with it"},
		{"--data D --results r.json --per-caption x", 2, "--per-caption does not go with it"},
		{"--data no-such-folder", 1, "no-such-folder"},
		{"--data D --model no-such-model/x", 1, "no-such-model"},
		{"--data D --per-picture " + gone, 1, gone},
		{"--data D", 1, "01.png"},
	} {
		var args []string
		for _, a := range strings.Fields(c.args) {
			args = append(args, map[string]string{"D": data, "M": dir}[a])
			if args[len(args)-1] == "" {
				args[len(args)-1] = a
			}
		}
		if !strings.Contains(c.args, "--results") && !strings.Contains(c.args, "--model") {
			args = append(args, "--model", dir)
		}
		t.Setenv("HF_HUB_OFFLINE", "1")
		command.Run(t, "", args...).Want(t, c.code, c.want)
		if t.Failed() {
			t.Fatal(c.args)
		}
	}
	r := command.Run(t, "", "--model", dir, "--data", data, "--max-skipped", "1")
	r.Want(t, 0, "1 pictures could not be read", "01.png")
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(data), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAFailedRunLeavesTheOldFile(t *testing.T) {
	dir, data := model(t), tiny.Data(t, 3)
	if err := os.WriteFile(filepath.Join(filepath.Dir(data), "02.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	file := write(t, "captions.jsonl", "old")
	command.Run(t, "", "--model", dir, "--data", data, "--batch-size", "1", "--per-caption", file).Want(t, 1, "02.png")
	got, err := os.ReadFile(file)
	entries, _ := os.ReadDir(filepath.Dir(file))
	if err != nil || string(got) != "old" || len(entries) != 1 {
		t.Errorf("%q, %v, %v", got, err, entries)
	}
}

func TestHelpSaysWhatIsLeftOut(t *testing.T) {
	r := command.Run(t, "", "-h")
	r.Want(t, 0)
	for _, want := range []string{"METEOR", "SPICE", "--per-caption", "--top-p"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.Stdout)
		}
	}
}
