package main

import (
	"encoding/csv"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFoldersAndPatternsAreSearchedForPictures(t *testing.T) {
	_, model, pictures := folders(t, 3)
	dir := filepath.Dir(pictures[0])
	for _, arg := range []string{dir, filepath.Join(dir, "*.png")} {
		r := caption.Run(t, "", "--model", model, arg)
		r.Want(t, 0)
		var names []string
		for line := range strings.Lines(r.Stdout) {
			name, _, _ := strings.Cut(line, ": ")
			names = append(names, name)
		}
		if !slices.Equal(names, pictures) {
			t.Errorf("%s: captions of %q, want %q", arg, names, pictures)
		}
	}
	caption.Run(t, "", "--model", model, filepath.Join(dir, "*.webp")).Want(t, 1, "*.webp")
	caption.Run(t, "", "--model", model, t.TempDir()).Want(t, 1, "no pictures")
}

func TestAListThatWasCutShortGoesOnWithoutRepeatingOrLosingALine(t *testing.T) {
	_, model, pictures := folders(t, 4)
	pictures = append(pictures, pictures[1]) // twice
	sampled := []string{"--model", model, "--batch-size", "2", "--do-sample", "--num-return-sequences", "2"}
	whole := filepath.Join(t.TempDir(), "whole.jsonl")
	caption.Run(t, "", append(append(sampled, "--output", whole), pictures...)...).Want(t, 0)
	want, err := os.ReadFile(whole)
	if err != nil || strings.Count(string(want), "\n") != 10 {
		t.Fatalf("%v\n%s", err, want)
	}
	for _, cut := range []int{0, 1, len(want) / 3, len(want) / 2, len(want) - 1, len(want)} {
		list := filepath.Join(t.TempDir(), "list.jsonl")
		if err := os.WriteFile(list, want[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		caption.Run(t, "", append(append(sampled, "--resume", list), pictures...)...).Want(t, 0)
		if got, err := os.ReadFile(list); err != nil || string(got) != string(want) {
			t.Errorf("cut after %d of %d bytes: %v\n%s\nwant\n%s", cut, len(want), err, got, want)
		}
	}
	single := filepath.Join(t.TempDir(), "single.jsonl")
	caption.Run(t, "", append([]string{"--model", model, "--output", single}, pictures...)...).Want(t, 0)
	caption.Run(t, "", append(append(sampled, "--resume", single), pictures...)...).Want(t, 1, "single.jsonl:2", "num_return_sequences 2")
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"image\": \"a.png\"}\nzebra\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	caption.Run(t, "", "--model", model, "--resume", bad, pictures[0]).Want(t, 1, "bad.jsonl:2")
}

func TestShardsTogetherAreTheWholeList(t *testing.T) {
	_, model, pictures := folders(t, 5)
	args := func(more ...string) []string {
		return append(append([]string{"--model", model, "--json", "--do-sample", "--num-return-sequences", "1"}, more...), pictures...)
	}
	whole := caption.Run(t, "", args()...)
	whole.Want(t, 0)
	var parts []string
	for i := 1; i <= 3; i++ {
		r := caption.Run(t, "", args("--shard", fmt.Sprintf("%d/3", i))...)
		r.Want(t, 0)
		parts = append(parts, slices.Collect(strings.Lines(r.Stdout))...)
	}
	want := slices.Sorted(strings.Lines(whole.Stdout))
	if slices.Sort(parts); !slices.Equal(parts, want) {
		t.Errorf("the shards say\n%s, the whole\n%s", strings.Join(parts, ""), whole.Stdout)
	}
	for _, bad := range []string{"0/3", "4/3", "1", "a/b", "1/2/3"} {
		caption.Run(t, "", args("--shard", bad)...).Want(t, 2, "--shard")
	}
}

func TestCSVHasAHeaderAndALineForEachPicture(t *testing.T) {
	m, model, pictures := folders(t, 2)
	want := expected(t, m, pictures)
	r := caption.Run(t, "", append([]string{"--model", model, "--csv"}, pictures...)...)
	r.Want(t, 0)
	rows, err := csv.NewReader(strings.NewReader(r.Stdout)).ReadAll()
	if err != nil || len(rows) != 3 || !slices.Equal(rows[0], []string{"image", "caption", "score"}) {
		t.Fatalf("%v %q", err, rows)
	}
	for i, p := range pictures {
		if rows[i+1][0] != p || rows[i+1][1] != want[i].Text {
			t.Errorf("row %q, want %s and %q", rows[i+1], p, want[i].Text)
		}
	}
	caption.Run(t, "", "--csv", "--json", pictures[0]).Want(t, 2, "--csv")
}

func TestAttentionDrawsThePictureOnceAWord(t *testing.T) {
	m, model, pictures := folders(t, 1)
	m.Generation.MinNewTokens = 4
	text := expected(t, m, pictures)[0].Text
	out := filepath.Join(t.TempDir(), "attention.png")
	r := caption.Run(t, "", "--model", model, "--min-new-tokens", "4", "--attention", out, pictures[0])
	r.Want(t, 0)
	if r.Stdout != text+"\n" {
		t.Errorf("output %q, want the caption %q", r.Stdout, text)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	drawing, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := drawing.Bounds(); b.Dx() < 2*160 || b.Dy() < 160 {
		t.Errorf("the drawing is %v, too small for the picture and a word", b)
	}
	caption.Run(t, "", "--model", model, "--attention", out, pictures[0], pictures[0]).Want(t, 2, "--attention")
}
