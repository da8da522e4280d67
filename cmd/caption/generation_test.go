package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
)

// said are the captions and tokens of a picture that the command prints.
func said(t *testing.T, args ...string) (captions []string, tokens [][]int) {
	t.Helper()
	r := caption.Run(t, "", append([]string{"--json"}, args...)...)
	r.Want(t, 0)
	for line := range strings.Lines(r.Stdout) {
		var got result
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		captions, tokens = append(captions, got.Caption), append(tokens, got.TokenIDs)
	}
	return captions, tokens
}

func TestEveryCaptionBeginsWithThePrompt(t *testing.T) {
	_, model, pictures := folders(t, 3)
	for _, search := range []string{"", "--do-sample --num-return-sequences 2", "--num-beams 3 --num-return-sequences 2"} {
		captions, _ := said(t, append(append(strings.Fields(search), "--model", model, "--prompt", "a photo of "), pictures...)...)
		for _, c := range captions {
			if !strings.HasPrefix(c, "a photo of") || c == "a photo of" {
				t.Errorf("%q: %q", search, c)
			}
		}
	}
}

// The embedded model, for one, may say as much as it has positions for.
func TestAModelsOwnLengthGivesWayToAPrompt(t *testing.T) {
	m, model, pictures := folders(t, 1)
	m.Generation.MaxNewTokens = m.Decoder.MaxLength()
	model = filepath.Join(filepath.Dir(model), "long")
	if err := m.Save(model, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	said(t, "--model", model, "--prompt", "a photo of", pictures[0])
	caption.Run(t, "", "--model", model, "--prompt", "a photo of", "--max-new-tokens", "24", pictures[0]).Want(t, 2, "max_new_tokens is 24")
}

func TestAnAssistantChangesNoCaption(t *testing.T) {
	_, model, pictures := folders(t, 4)
	for _, args := range [][]string{nil, {"--batch-size", "1"}, {"--batch-size", "3", "--precision", "bf16"}, {"--batch-size", "1", "--no-repeat-ngram-size", "2", "--min-new-tokens", "9"}} {
		for _, some := range [][]string{pictures, pictures[:1]} {
			args := slices.Concat(args, []string{"--model", model, "--max-new-tokens", "12"}, some)
			with := caption.Run(t, "", append([]string{"--json"}, args...)...)
			with.Want(t, 0)
			without := caption.Run(t, "", append([]string{"--json", "--num-assistant-tokens", "0"}, args...)...)
			without.Want(t, 0)
			a, b := scored(t, with.Stdout), scored(t, without.Stdout)
			for i := range min(len(a), len(b)) {
				// One caption's weights may stay as they are, where otherwise they are held in 24 bits.
				if math.Abs(a[i].Score-b[i].Score) <= 1e-6*math.Abs(b[i].Score) {
					a[i].Score = b[i].Score
				}
			}
			if len(a) == 0 || !reflect.DeepEqual(a, b) {
				t.Errorf("%v: with an assistant\n%s without\n%s", args, with.Stdout, without.Stdout)
			}
		}
	}
}

// scored are results as caption writes them.
func scored(t *testing.T, lines string) (results []result) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	return results
}

func TestTokensAreForcedAndForbidden(t *testing.T) {
	m, model, pictures := folders(t, 1)
	base := []string{"--model", model, "--min-new-tokens", "4", pictures[0]}
	_, tokens := said(t, base...)
	free := tokens[0]
	if len(free) < 4 {
		t.Fatalf("tokens %v", free)
	}
	with := func(args ...string) []int {
		t.Helper()
		_, tokens := said(t, append(args, base...)...)
		return tokens[0]
	}
	first := fmt.Sprint(free[0])
	if got := with("--suppress-tokens", first); slices.Contains(got, free[0]) {
		t.Errorf("token %s is suppressed, but in %v", first, got)
	}
	if got := with("--begin-suppress-tokens", first); got[0] == free[0] {
		t.Errorf("token %s is not to be the first, but in %v", first, got)
	}
	if got := with("--forced-bos-token-id", "7"); got[0] != 7 {
		t.Errorf("token 7 is to be the first of %v", got)
	}
	if got := with("--forced-eos-token-id", "9"); len(got) != 6 || got[5] != 9 {
		t.Errorf("token 9 is to be the last of %v", got)
	}
	word := m.Tokenizer.Decode(free[:1], true)
	if got := with("--bad-words", word); slices.Contains(got, free[0]) {
		t.Errorf("%q is a bad word, but token %s is in %v", word, first, got)
	}
	stop := m.Tokenizer.Decode(free[1:2], true)
	captions, _ := said(t, append([]string{"--stop-strings", stop}, base...)...)
	if !strings.HasSuffix(captions[0], strings.TrimSpace(stop)) {
		t.Errorf("%q does not end with %q", captions[0], stop)
	}
}

func TestMinPAndTypicalPNarrowWhatIsDrawn(t *testing.T) {
	_, model, pictures := folders(t, 1)
	_, greedy := said(t, "--model", model, pictures[0])
	if _, got := said(t, "--model", model, "--do-sample", "--min-p", "1", pictures[0]); !slices.Equal(got[0], greedy[0]) {
		t.Errorf("with min_p 1 %v is drawn, want the most probable, %v", got[0], greedy[0])
	}
	wide, _ := said(t, "--model", model, "--do-sample", "--seed", "3", pictures[0])
	if narrow, _ := said(t, "--model", model, "--do-sample", "--seed", "3", "--typical-p", "0.01", pictures[0]); narrow[0] == wide[0] {
		t.Errorf("typical_p changes nothing: %q", wide[0])
	}
}

func TestSettingsThatContradictEachOtherAreRefused(t *testing.T) {
	_, model, pictures := folders(t, 1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--min-p", "0.1"}, "do_sample"},
		{[]string{"--typical-p", "0.5"}, "do_sample"},
		{[]string{"--do-sample", "--min-p", "1.5"}, "min_p is 1.5"},
		{[]string{"--do-sample", "--typical-p", "0"}, "typical_p is 0"},
		{[]string{"--prompt", " "}, "--prompt has no words"},
		{[]string{"--prompt", "a <|endoftext|>"}, "special token"},
		{[]string{"--prompt", strings.Repeat("zebra ", 20)}, "the model has 24"},
		{[]string{"--prompt", "a", "--forced-bos-token-id", "3"}, "how a caption begins"},
		{[]string{"--suppress-tokens", "600"}, "token 600"},
		{[]string{"--suppress-tokens", "x"}, "suppress-tokens"},
		{[]string{"--suppress-tokens", "3", "--forced-eos-token-id", "3"}, "forbids it"},
		{[]string{"--bad-words", ""}, "empty word"},
		{[]string{"--stop-strings", ""}, "empty string"},
	} {
		r := caption.Run(t, "", append(append([]string{"--model", model}, c.args...), pictures[0])...)
		r.Want(t, 2, c.want)
	}
}

// A sample is the picture's own, wherever it stands in a list.
func TestTheOrderOfPicturesChangesNoSample(t *testing.T) {
	_, model, pictures := folders(t, 4)
	args := []string{"--model", model, "--do-sample", "--batch-size", "3"}
	forth, _ := said(t, append(args, pictures...)...)
	slices.Reverse(pictures)
	back, _ := said(t, append(args, pictures...)...)
	slices.Reverse(back)
	if !slices.Equal(forth, back) {
		t.Errorf("%q in one order, %q in the other", forth, back)
	}
}

// A model's own stop strings need the tokenizer, which the command has.
func TestAModelsOwnStopStringsAreHeeded(t *testing.T) {
	m, model, pictures := folders(t, 1)
	m.Generation.MinNewTokens = 4
	whole := expected(t, m, pictures)[0]
	m.Generation.StopStrings = []string{m.Tokenizer.Decode(whole.TokenIDs[1:2], true)}
	model = filepath.Join(filepath.Dir(model), "stops")
	if err := m.Save(model, seq2seq.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, got := said(t, "--model", model, pictures[0]); len(got[0]) > 2 {
		t.Errorf("tokens %v, want the first two of %v", got[0], whole.TokenIDs)
	}
}
