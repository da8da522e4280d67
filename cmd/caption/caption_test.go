package main

import (
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

var caption tiny.Command

func TestMain(m *testing.M) { caption.Main(m) }

// folders saves a model that has something to say and the first n pictures.
func folders(t *testing.T, n int) (m *seq2seq.VisionEncoderDecoder, model string, pictures []string) {
	t.Helper()
	m, model = tiny.Captioner(t, tiny.Options{}), filepath.Join(t.TempDir(), "model")
	m.Generation.MaxNewTokens = 6
	if err := m.Save(model, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	data := filepath.Dir(tiny.Data(t, n))
	pictures, err := filepath.Glob(filepath.Join(data, "*.png"))
	if err != nil || len(pictures) != n {
		t.Fatal(pictures, err)
	}
	return m, model, pictures
}

// expected is what the library says of the pictures.
func expected(t *testing.T, m *seq2seq.VisionEncoderDecoder, pictures []string) []seq2seq.Caption {
	t.Helper()
	images := make([]vision.Image, len(pictures))
	for i, p := range pictures {
		var err error
		if images[i], err = vision.Open(p); err != nil {
			t.Fatal(err)
		}
	}
	captions, err := m.Generate(context.Background(), images, m.Generation)
	if err != nil {
		t.Fatal(err)
	}
	return captions
}

func TestEachPictureGetsItsCaption(t *testing.T) {
	m, model, pictures := folders(t, 5)
	want := expected(t, m, pictures)
	var lines strings.Builder
	for i, p := range pictures {
		lines.WriteString(p + ": " + want[i].Text + "\n")
	}
	r := caption.Run(t, "", append([]string{"--model", model, "--batch-size", "2"}, pictures...)...)
	r.Want(t, 0)
	if r.Stdout != lines.String() {
		t.Errorf("output\n%s, want\n%s", r.Stdout, lines.String())
	}
	one := caption.Run(t, "", "--model", model, pictures[3])
	one.Want(t, 0)
	if one.Stdout != want[3].Text+"\n" {
		t.Errorf("of one picture %q, want %q", one.Stdout, want[3].Text)
	}
}

func TestWithJSONEachLineIsAnObject(t *testing.T) {
	m, model, pictures := folders(t, 3)
	want := expected(t, m, pictures)
	r := caption.Run(t, "", append([]string{"--model", model, "--json"}, pictures...)...)
	r.Want(t, 0)
	lines := strings.Split(strings.TrimSpace(r.Stdout), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3:\n%s", len(lines), r.Stdout)
	}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids := []int{}
		for _, id := range got["token_ids"].([]any) {
			ids = append(ids, int(id.(float64)))
		}
		if got["image"] != pictures[i] || got["caption"] != want[i].Text || !slices.Equal(ids, want[i].TokenIDs) || math.Abs(got["score"].(float64)-want[i].Score) > 1e-4 {
			t.Errorf("line %s, want %+v", line, want[i])
		}
	}
}

func TestGoodPicturesAreCaptionedAmongUnreadableOnes(t *testing.T) {
	m, model, pictures := folders(t, 4)
	want := expected(t, m, pictures)
	if err := os.WriteFile(pictures[1], []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.png")
	r := caption.Run(t, "", "--model", model, pictures[0], missing, pictures[1], pictures[2])
	r.Want(t, 1, missing, pictures[1], "2 of 4")
	if lines := pictures[0] + ": " + want[0].Text + "\n" + pictures[2] + ": " + want[2].Text + "\n"; r.Stdout != lines {
		t.Errorf("output %q, want %q", r.Stdout, lines)
	}
}

func TestAPictureIsReadFromStandardInput(t *testing.T) {
	m, model, pictures := folders(t, 1)
	for _, c := range []struct {
		input string
		code  int
	}{{pictures[0], 0}, {os.DevNull, 1}} {
		f, err := os.Open(c.input)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := exec.Command(string(caption), "--model", model, "-")
		p.Stdin = f
		out, err := p.Output()
		if p.ProcessState.ExitCode() != c.code {
			t.Errorf("%s: exit code %d, want %d", c.input, p.ProcessState.ExitCode(), c.code)
		}
		if want := expected(t, m, pictures)[0].Text + "\n"; c.code == 0 && string(out) != want {
			t.Errorf("output %q, want %q", out, want)
		}
		if c.code == 1 && !strings.Contains(string(err.(*exec.ExitError).Stderr), "standard input") {
			t.Errorf("message %q", err.(*exec.ExitError).Stderr)
		}
	}
}

func TestWrongUsageExitsWith2AndSaysWhy(t *testing.T) {
	_, model, pictures := folders(t, 1)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--frobnicate", []string{"--frobnicate"}},
		{"--batch-size 0", []string{"--batch-size"}},
		{"--threads -1", []string{"--threads"}},
		{"--background red", []string{"--background", "#rrggbb"}},
		{"--early-stopping soon", []string{"--early-stopping", "never"}},
		{"--top-k 5", []string{"top_k", "do_sample"}},
		{"--temperature 0.5", []string{"temperature", "do_sample"}},
		{"--do-sample --temperature 0", []string{"temperature"}},
		{"--do-sample --top-p 2", []string{"top_p"}},
		{"--length-penalty 2", []string{"length_penalty", "beam"}},
		{"--num-beams 0", []string{"num_beams"}},
		{"--num-beams 2 --num-return-sequences 3", []string{"num_return_sequences", "2"}},
		{"--num-return-sequences 3", []string{"num_return_sequences"}},
		{"--max-new-tokens -1", []string{"max_new_tokens"}},
		{"--max-new-tokens 1000", []string{"max_new_tokens", "24"}},
		{"--min-new-tokens 7", []string{"min_new_tokens", "6"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"--model", model, pictures[0]}, strings.Fields(c.args)...)
			r := caption.Run(t, "", args...)
			r.Want(t, 2, append(c.want, "-h for help")...)
			if r.Stdout != "" {
				t.Errorf("standard output %q", r.Stdout)
			}
		})
	}
	caption.Run(t, "", "--model", model).Want(t, 2, "at least one picture")
	caption.Run(t, "", "--model", "no/such/model", pictures[0]).Want(t, 1, "no/such/model")
	help := caption.Run(t, "", "-h")
	help.Want(t, 0)
	if !strings.Contains(help.Stdout, "Usage: caption") || !strings.Contains(help.Stdout, "--num-beams") {
		t.Errorf("help:\n%s", help.Stdout)
	}
}

func TestSettingsChangeWhatIsSaid(t *testing.T) {
	_, model, pictures := folders(t, 2)
	say := func(args ...string) string {
		t.Helper()
		r := caption.Run(t, "", append([]string{"--model", model, pictures[0], pictures[1]}, args...)...)
		r.Want(t, 0)
		return r.Stdout
	}
	sampled := say("--do-sample", "--seed", "1")
	if again := say("--do-sample", "--seed", "1", "--batch-size", "1", "--threads", "1"); again != sampled {
		t.Errorf("the same seed says %q and %q", sampled, again)
	}
	if other := say("--do-sample", "--seed", "2"); other == sampled {
		t.Errorf("two seeds say the same: %q", other)
	}
	if n := strings.Count(say("--do-sample", "--num-return-sequences", "3"), "\n"); n != 6 {
		t.Errorf("%d lines of 3 samples for each of 2 pictures", n)
	}
	if n := strings.Count(say("--num-beams", "4", "--num-return-sequences", "2", "--early-stopping", "true", "--length-penalty", "0.5"), "\n"); n != 4 {
		t.Errorf("%d lines of 2 beams for each of 2 pictures", n)
	}
}

func TestTheNewestRunIsUsedWithoutModel(t *testing.T) {
	m, _, pictures := folders(t, 1)
	cwd := t.TempDir()
	m.Generation.MaxNewTokens = 2
	if err := m.Save(filepath.Join(cwd, "runs", "b-older", train.ModelDir), seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	m.Generation.MaxNewTokens = 5
	newest := filepath.Join("runs", "a-newer", train.ModelDir)
	if err := m.Save(filepath.Join(cwd, newest), seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	r := caption.Run(t, cwd, "--json", pictures[0])
	r.Want(t, 0, "model: "+newest)
	var got struct {
		TokenIDs []int `json:"token_ids"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	if want := expected(t, m, pictures)[0].TokenIDs; !slices.Equal(got.TokenIDs, want) {
		t.Errorf("tokens %v, want %v", got.TokenIDs, want)
	}
}

func TestATransparentPictureIsLaidOnTheBackground(t *testing.T) {
	_, model, _ := folders(t, 1)
	path := filepath.Join(t.TempDir(), "clear.png")
	img := image.NewNRGBA(image.Rect(0, 0, 16, 16)) // transparent black
	img.Set(3, 3, color.NRGBA{255, 0, 0, 255})
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	score := func(args ...string) float64 {
		r := caption.Run(t, "", append([]string{"--model", model, "--json", path}, args...)...)
		r.Want(t, 0)
		var got struct{ Score float64 }
		if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
			t.Fatal(err)
		}
		return got.Score
	}
	none, black, white := score(), score("--background", "#000000"), score("--background", "#ffffff")
	if none != black || none == white {
		t.Errorf("scores %v without a background, %v on black, %v on white", none, black, white)
	}
}
