package metrics

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func readLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	return lines[:len(lines)-1]
}

func TestCaptionsAreTokenizedAsStanfordDoes(t *testing.T) {
	captions, want := readLines(t, "testdata/captions.txt"), readLines(t, "testdata/tokens.txt")
	if len(captions) < 400 || len(want) != len(captions) {
		t.Fatalf("%d captions, %d lines of tokens", len(captions), len(want))
	}
	for i, got := range Tokenize(captions) {
		if got := strings.Join(got, " "); got != want[i] {
			t.Errorf("%q\n got %q\nwant %q", captions[i], got, want[i])
		}
	}
}

func TestACaptionsTokens(t *testing.T) {
	for _, c := range []struct{ caption, want string }{
		{"", ""},
		{" \n\t ", ""},
		{"...!", ""},
		{"A man's dog, isn't it?", "a|man|'s|dog|is|n't|it"},
		{"a\ndog\r\nand\u2028a\u00a0cat", "a|dog|and|a|cat"},
		{"a dog\x00\xff runs", "a|dog|runs"},
		{"two 🐶🐶 dogs", "two|dogs"},
		{"1 1/2 (cups)", "1\u00a01/2|-lrb-|cups|-rrb-"},
		{"vitamin C.", "vitamin|c."},
	} {
		got := Tokenize([]string{c.caption})
		if len(got) != 1 || strings.Join(got[0], "|") != c.want {
			t.Errorf("%q: %q, want %q", c.caption, got, c.want)
		}
	}
}

func TestAnInitialLooksAtTheNextCaption(t *testing.T) {
	for _, c := range []struct{ next, want string }{{"The dog", "b"}, {"the dog", "b."}, {"Dogs", "b."}} {
		got := Tokenize([]string{"plan B.", c.next})
		if want := []string{"plan", c.want}; !reflect.DeepEqual(got[0], want) {
			t.Errorf("before %q: %q, want %q", c.next, got[0], want)
		}
	}
}

func FuzzTokenize(f *testing.F) {
	f.Add("a dog", "The cat's U.S. <b> :) &amp; 1 1/2")
	f.Add("0", "0@\x00")
	f.Add("\x01\xff\n", "'n' 555-1234 a@b.c http://a.b/c")
	f.Fuzz(func(t *testing.T, a, b string) {
		lines := Tokenize([]string{a, b})
		if len(lines) != 2 {
			t.Fatalf("%d lists of tokens", len(lines))
		}
		for _, token := range slices.Concat(lines...) {
			if token == "" || strings.ContainsAny(token, " \n\x01") || punctuation[token] {
				t.Fatalf("token %q of %q, %q", token, a, b)
			}
		}
		// What is put behind a line break in the last caption has no effect on the first.
		if again := Tokenize([]string{a, b, "x"}); !reflect.DeepEqual(again[0], lines[0]) && strings.TrimFunc(b, unicode.IsSpace) != "" {
			t.Fatalf("%q: %q, then %q", a, lines[0], again[0])
		}
	})
}

type goldenScores struct {
	BLEU   [4]float64
	ROUGEL float64
	CIDEr  float64
}

func closeTo(got Scores, want goldenScores) bool {
	g := append(got.BLEU[:], got.ROUGEL, got.CIDEr)
	w := append(want.BLEU[:], want.ROUGEL, want.CIDEr)
	for i := range g {
		if !(math.Abs(g[i]-w[i]) <= 1e-12*math.Max(1, w[i])) {
			return false
		}
	}
	return true
}

func TestScoresEqualPycocoevalcaps(t *testing.T) {
	data, err := os.ReadFile("testdata/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var sets []struct {
		Pictures []Picture
		All      goldenScores
		Each     []goldenScores
	}
	if err := json.Unmarshal(data, &sets); err != nil {
		t.Fatal(err)
	}
	for i, s := range sets {
		all, each, err := Evaluate(s.Pictures)
		if err != nil {
			t.Fatal(err)
		}
		if !closeTo(all, s.All) {
			t.Errorf("set %d: %v, want %v", i, all, s.All)
		}
		if len(each) != len(s.Each) || len(each) == 0 {
			t.Fatalf("set %d: %d scores, want %d", i, len(each), len(s.Each))
		}
		for j := range each {
			if !closeTo(each[j], s.Each[j]) {
				t.Errorf("set %d, picture %d, %+v: %v, want %v", i, j, s.Pictures[j], each[j], s.Each[j])
			}
		}
	}
}

func TestEvaluationIsTheSameEveryTime(t *testing.T) {
	var pictures []Picture
	for _, c := range readLines(t, "testdata/captions.txt")[363:] {
		pictures = append(pictures, Picture{c, []string{c + " too", "a " + c}})
	}
	first, each, err := Evaluate(pictures)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, eachAgain, err := Evaluate(pictures)
		if err != nil {
			t.Fatal(err)
		}
		if again != first || !slices.Equal(each, eachAgain) {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}

func TestWithoutReferencesThereIsNoScore(t *testing.T) {
	if _, _, err := Evaluate(nil); err == nil || !strings.Contains(err.Error(), "no pictures") {
		t.Errorf("error %v", err)
	}
	_, _, err := Evaluate([]Picture{{"a", []string{"b"}}, {"a", nil}})
	if err == nil || !strings.Contains(err.Error(), "picture 1 has no references") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkTokenize(b *testing.B) {
	caption := "A man riding a wave on top of a surfboard, isn't he?"
	captions := slices.Repeat([]string{caption}, 1000)
	for b.Loop() {
		Tokenize(captions)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(captions)), "ns/caption")
}
