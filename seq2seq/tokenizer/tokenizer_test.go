package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"

	"github.com/nlpodyssey/gotokenizers/models/bpemodel"
	"github.com/nlpodyssey/gotokenizers/vocabulary"
)

func TestACaptionIsBetweenBOSAndEOSAndKeepsTheEOSWhenCut(t *testing.T) {
	tok := GPT2() // BOS and EOS are 50256; "a zebra standing" is 64 1976 37052 5055
	for _, test := range []struct {
		text      string
		maxLength int
		want      []int
	}{
		{"a zebra standing", 0, []int{50256, 64, 1976, 37052, 5055, 50256}},
		{"a zebra standing", 7, []int{50256, 64, 1976, 37052, 5055, 50256}},
		{"a zebra standing", 6, []int{50256, 64, 1976, 37052, 5055, 50256}},
		{"a zebra standing", 5, []int{50256, 64, 1976, 37052, 50256}},
		{"a zebra standing", 3, []int{50256, 64, 50256}},
		{"a zebra standing", 2, []int{50256, 50256}},
		{"", 0, []int{50256, 50256}},
		{"", 2, []int{50256, 50256}},
	} {
		if got := tok.EncodeCaption(test.text, test.maxLength); !slices.Equal(got, test.want) {
			t.Errorf("%q in %d: %v, want %v", test.text, test.maxLength, got, test.want)
		}
	}
	for _, maxLength := range []int{1, -1} {
		mustPanic(t, fmt.Sprint(maxLength), func() { tok.EncodeCaption("a", maxLength) })
	}
}

// mustPanic checks that f panics with a message that contains part.
func mustPanic(t *testing.T, part string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if message := fmt.Sprint(recover()); !strings.Contains(message, part) {
			t.Errorf("panic %q: expected one with %q", message, part)
		}
	}()
	f()
}

func TestAnUnknownIDHasNoTextAndANegativeOnePanics(t *testing.T) {
	tok := cut(t, 300)
	if got := tok.Decode([]int{64, 300, 1 << 40, 65}, false); got != "ab" {
		t.Errorf("text %q, want %q", got, "ab")
	}
	mustPanic(t, "-100", func() { tok.Decode([]int{64, -100}, true) })
	mustPanic(t, "-1", func() { tok.Stream(true).Add(-1) })
}

func TestTokensAndIDsAreFoundFromEachOther(t *testing.T) {
	tok := GPT2()
	for id := range tok.VocabSize() {
		if back, ok := tok.ID(tok.Token(id)); !ok || back != id {
			t.Fatalf("id %d is the token %q, whose id is %d, %t", id, tok.Token(id), back, ok)
		}
		if got, want := tok.IsSpecial(id), id == 50256; got != want {
			t.Errorf("id %d: special %t, want %t", id, got, want)
		}
	}
	if got := tok.Token(37052); got != "ebra" {
		t.Errorf("token 37052 is %q, want %q", got, "ebra")
	}
	for _, id := range []int{-1, 50257} {
		if tok.Token(id) != "" || tok.IsSpecial(id) {
			t.Errorf("id %d: token %q, special %t; want none", id, tok.Token(id), tok.IsSpecial(id))
		}
	}
	if id, ok := tok.ID("no such token"); ok {
		t.Errorf("a token that is not there has id %d", id)
	}
}

func TestACutHasTheFirstMergesAndEndOfTextLast(t *testing.T) {
	full := GPT2()
	for _, size := range []int{257, 258, 300, 4096, 50256, 50257} {
		tok := cut(t, size)
		if tok.VocabSize() != size {
			t.Fatalf("%d tokens, want %d", tok.VocabSize(), size)
		}
		if id, ok := tok.ID(EndOfText); !ok || id != size-1 || tok.BOS() != id || tok.EOS() != id || tok.Pad() != id || tok.Unk() != id {
			t.Errorf("size %d: %s is %d (%t), roles %d %d %d %d", size, EndOfText, id, ok, tok.BOS(), tok.EOS(), tok.Pad(), tok.Unk())
		}
		for id := range size - 1 {
			if tok.Token(id) != full.Token(id) {
				t.Fatalf("size %d: token %d is %q, want %q", size, id, tok.Token(id), full.Token(id))
			}
		}
		twice, err := full.Cut(size)
		if err != nil || !slices.Equal(twice.Encode("a zebra, crossing"), tok.Encode("a zebra, crossing")) {
			t.Errorf("size %d: a second cut differs (%v)", size, err)
		}
	}
	for _, size := range []int{-1, 0, 256, 50258} {
		if _, err := full.Cut(size); err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) || !strings.Contains(err.Error(), "257 to 50257") {
			t.Errorf("size %d: error %v", size, err)
		}
	}
}

func TestACutOfACutAndOfAnotherVocabularyWork(t *testing.T) {
	small, err := cut(t, 4096).Cut(300)
	if err != nil {
		t.Fatal(err)
	}
	if want := cut(t, 300); !slices.Equal(small.Encode("the zebra"), want.Encode("the zebra")) {
		t.Errorf("a cut of a cut gives %v, want %v", small.Encode("the zebra"), want.Encode("the zebra"))
	}

	// The first merge needs "ab", which the second makes.
	vocab := map[string]int{"a": 0, "b": 1, "ab": 2, "aba": 3}
	odd, err := New(vocab, [][2]string{{"ab", "a"}, {"a", "b"}}, Special{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := odd.Cut(258); err == nil || !strings.Contains(err.Error(), `"ab"`) {
		t.Errorf("a cut whose merges need a missing token: error %v", err)
	}
}

func TestAWrongVocabularyIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		vocab  map[string]int
		merges [][2]string
		want   string
	}{
		{"empty", nil, nil, "empty"},
		{"repeated id", map[string]int{"a": 0, "b": 1, "c": 1}, nil, `"b" and "c" both have id 1`},
		{"negative id", map[string]int{"a": -1}, nil, `"a" has id -1`},
		{"huge id", map[string]int{"a": 1 << 40}, nil, `"a" has id 1099511627776`},
		{"unknown left", map[string]int{"a": 0, "za": 1}, [][2]string{{"z", "a"}}, `needs the token "z"`},
		{"unknown right", map[string]int{"a": 0, "az": 1}, [][2]string{{"a", "z"}}, `merge 1 ("a" "z") needs the token "z"`},
		{"unknown result", map[string]int{"a": 0, "b": 1, "ab": 2}, [][2]string{{"a", "b"}, {"ab", "b"}}, `merge 2 ("ab" "b") needs the token "abb"`},
		{"no room after a gap", map[string]int{"a": 0, "b": 2}, nil, `"<|endoftext|>" and "b" both have id 2`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := New(test.vocab, test.merges, Special{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestNewDoesNotKeepItsArguments(t *testing.T) {
	vocab, merges := map[string]int{"a": 0, "b": 1, "ab": 2}, [][2]string{{"a", "b"}}
	tok, err := New(vocab, merges, Special{BOS: "<s>", EOS: "</s>", Pad: "<pad>", Unk: "<s>"})
	if err != nil {
		t.Fatal(err)
	}
	vocab["ab"], merges[0] = 7, [2]string{"x", "y"}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	if tok, err = Load(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if got, want := tok.EncodeCaption("ab<pad>ba", 0), []int{3, 2, 5, 1, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	if tok.Pad() != 5 || tok.Unk() != 3 {
		t.Errorf("pad %d and unk %d, want 5 and 3", tok.Pad(), tok.Unk())
	}
}

func TestErrorsNameTheFileAndWhatIsWrong(t *testing.T) {
	vocab, merges := `{"a":0,"b":1,"ab":2,"<|endoftext|>":3}`, "#version: 0.2\na b\n"
	tokenizer := func(model, preTokenizer, rest string) string {
		return `{"model":{"type":"BPE","vocab":` + vocab + `,"merges":["a b"]` + model + `},"pre_tokenizer":{"type":` + preTokenizer + `}` + rest + `}`
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing", nil, []string{"tokenizer.json", "vocab.json", "merges.txt"}},
		{"no merges", map[string]string{"vocab.json": vocab}, []string{"merges.txt"}},
		{"no vocabulary", map[string]string{"merges.txt": merges}, []string{"vocab.json"}},
		{"malformed vocabulary", map[string]string{"vocab.json": `{"a":`, "merges.txt": merges}, []string{"vocab.json", "unexpected end"}},
		{"id that is no number", map[string]string{"vocab.json": `{"a":"0"}`, "merges.txt": merges}, []string{"vocab.json", "string"}},
		{"empty vocabulary", map[string]string{"vocab.json": `{}`, "merges.txt": merges}, []string{"vocab.json", "empty"}},
		{"malformed merge", map[string]string{"vocab.json": vocab, "merges.txt": merges + "a b c\n"}, []string{"merges.txt", "line 3", `"a b c"`}},
		{"lone merge", map[string]string{"vocab.json": vocab, "merges.txt": "ab\n"}, []string{"merges.txt", "line 1", `"ab"`}},
		{"merge of an unknown token", map[string]string{"vocab.json": vocab, "merges.txt": merges + "a c\n"}, []string{"vocab.json with merges.txt", "merge 2", `"c"`}},
		{"repeated id", map[string]string{"vocab.json": `{"a":0,"b":0}`, "merges.txt": ""}, []string{"vocab.json", `"a" and "b" both have id 0`}},
		{"malformed tokenizer", map[string]string{"tokenizer.json": `[]`, "vocab.json": vocab, "merges.txt": merges}, []string{"tokenizer.json", "array"}},
		{"another model", map[string]string{"tokenizer.json": `{"model":{"type":"WordPiece","vocab":{}}}`}, []string{"tokenizer.json", "WordPiece", "BPE"}},
		{"another splitting", map[string]string{"tokenizer.json": tokenizer("", `"Metaspace"`, "")}, []string{"tokenizer.json", "Metaspace", "ByteLevel"}},
		{"no splitting", map[string]string{"tokenizer.json": tokenizer("", `"ByteLevel","use_regex":false`, "")}, []string{"tokenizer.json", "use_regex"}},
		{"a normalizer", map[string]string{"tokenizer.json": tokenizer("", `"ByteLevel"`, `,"normalizer":{"type":"NFC"}`)}, []string{"tokenizer.json", "normalizer", "NFC"}},
		{"dropout", map[string]string{"tokenizer.json": tokenizer(`,"dropout":0.1`, `"ByteLevel"`, "")}, []string{"tokenizer.json", "dropout 0.1"}},
		{"a suffix", map[string]string{"tokenizer.json": tokenizer(`,"end_of_word_suffix":"</w>"`, `"ByteLevel"`, "")}, []string{"tokenizer.json", "</w>"}},
		{"ignored merges", map[string]string{"tokenizer.json": tokenizer(`,"ignore_merges":true`, `"ByteLevel"`, "")}, []string{"tokenizer.json", "ignore_merges true"}},
		{"merge of three", map[string]string{"tokenizer.json": `{"model":{"vocab":` + vocab + `,"merges":[["a","b"],["a","b","c"]]}}`}, []string{"tokenizer.json", "merge 2", "3 tokens"}},
		{"merges that are numbers", map[string]string{"tokenizer.json": `{"model":{"vocab":` + vocab + `,"merges":[1]}}`}, []string{"tokenizer.json", "merges"}},
		{"merge line without a space", map[string]string{"tokenizer.json": `{"model":{"vocab":` + vocab + `,"merges":["ab"]}}`}, []string{"tokenizer.json", "merge 1", `"ab"`}},
		{"malformed configuration", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"bos_token":3}`}, []string{"tokenizer_config.json", "number"}},
		{"added token whose key is no id", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"added_tokens_decoder":{"x":{"content":"y"}}}`}, []string{"tokenizer_config.json", `"x"`}},
		{"added token after a gap", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"added_tokens_decoder":{"9":{"content":"y"}}}`}, []string{"tokenizer_config.json", `"y"`, "id 9", "expected 4"}},
		{"older added token after a gap", map[string]string{"vocab.json": vocab, "merges.txt": merges, "added_tokens.json": `{"y":9}`}, []string{"added_tokens.json", `"y"`, "id 9", "expected 4"}},
		{"malformed special tokens", map[string]string{"vocab.json": vocab, "merges.txt": merges, "special_tokens_map.json": `{"pad_token":[]}`}, []string{"special_tokens_map.json", "array"}},
		{"malformed added tokens", map[string]string{"vocab.json": vocab, "merges.txt": merges, "added_tokens.json": `{"y":"z"}`}, []string{"added_tokens.json", "string"}},
		{"no roles", map[string]string{"tokenizer.json": `{"model":{"vocab":{"a":0}},"pre_tokenizer":{"type":"ByteLevel"}}`, "tokenizer_config.json": `{"eos_token":"</s>"}`}, []string{"tokenizer_config.json", `bos_token is ""`, `eos_token is "</s>"`}},
		{"another class without tokenizer.json", map[string]string{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": `{"tokenizer_class":"CLIPTokenizer"}`}, []string{"tokenizer_config.json", "CLIPTokenizer", "GPT2Tokenizer"}},
		{"malformed model configuration", map[string]string{"vocab.json": vocab, "merges.txt": merges, "config.json": `{`}, []string{"config.json", "unexpected end"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(folder{Files: test.files}.fs())
			for _, part := range test.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want one with %q", err, part)
				}
			}
		})
	}
	if _, err := Load(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v of an empty folder: want fs.ErrNotExist", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := GPT2().Save(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v of saving to a file: want one with its name", err)
	}
}

func TestEntriesOfTheFilesAreKept(t *testing.T) {
	tok, err := Load(folder{Files: map[string]string{
		"tokenizer.json":        `{"model":{"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"ByteLevel"},"post_processor":{"type":"Kept"}}`,
		"tokenizer_config.json": `{"tokenizer_class":"GPT2Tokenizer","model_max_length":1024,"name_or_path":"elsewhere","pad_token":"<pad>","add_prefix_space":true}`,
	}}.fs())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, parts := range map[string][]string{
		configFile: {`"model_max_length": 1024`, `"pad_token": "<pad>"`, `"add_prefix_space": true`, `"tokenizer_class": "GPT2Tokenizer"`},
		tokenizerFile: {`"type": "Kept"`, `"add_prefix_space": true,
    "trim_offsets": true,
    "type": "ByteLevel",
    "use_regex": true
  },
  "truncation"`},
	} {
		saved, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(saved), part) {
				t.Errorf("%s: %s was lost: %s", name, part, saved)
			}
		}
		if strings.Contains(string(saved), "elsewhere") {
			t.Errorf("%s: the place it was loaded from was kept: %s", name, saved)
		}
	}
}

func TestAnotherClassWithoutUnkTakesTheEOS(t *testing.T) {
	tok, err := Load(folder{Files: map[string]string{
		"tokenizer.json":        `{"model":{"vocab":{"a":0,"<s>":1,"</s>":2},"merges":[]},"pre_tokenizer":{"type":"ByteLevel"}}`,
		"tokenizer_config.json": `{"tokenizer_class":"PreTrainedTokenizerFast","bos_token":"<s>","eos_token":"</s>"}`,
	}}.fs())
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != 3 || tok.BOS() != 1 || tok.EOS() != 2 || tok.Unk() != 2 {
		t.Errorf("%d tokens, BOS %d, EOS %d, unk %d; want 3, 1, 2, 2", tok.VocabSize(), tok.BOS(), tok.EOS(), tok.Unk())
	}
}

func TestTheCacheKeepsNoLongWord(t *testing.T) {
	tok := cut(t, 300)
	tok.Encode(strings.Repeat("a", maxCachedLength) + " " + strings.Repeat("b", maxCachedLength+1))
	var kept []string
	for i := range tok.words.places {
		if word := tok.words.places[i].Load(); word != nil {
			kept = append(kept, word.text)
		}
	}
	if want := []string{strings.Repeat("a", maxCachedLength)}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
}

// Unicode gives a letter or a number its class once and for all, and Go's tables and ours differ only in their age: ours
// have classes for characters that were not assigned yet.
func TestTheClassesAreThoseOfGoForWhatGoKnows(t *testing.T) {
	newer := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		want := other
		switch {
		case unicode.IsLetter(r):
			want = letter
		case unicode.IsNumber(r):
			want = number
		case unicode.IsSpace(r):
			want = space
		}
		if got := classOf(r); got != want {
			if want != other || got == space || unicode.In(r, unicode.M, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co) {
				t.Errorf("%U: class %d, in Go %d", r, got, want)
			}
			newer++
		}
		isGoWord := unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
		if isGoWord && !isWord(r) {
			t.Errorf("%U is part of a word in Go, but not here", r)
		}
	}
	t.Logf("%d characters are newer than Go's Unicode %s", newer, unicode.Version)
}

func TestMergingIsGotokenizersMerging(t *testing.T) {
	tok := GPT2()
	vocab := vocabulary.NewVocabulary()
	for id := range tok.VocabSize() {
		vocab.AddTerm(tok.Token(id))
	}
	model := bpemodel.New(vocab, tok.mergeMap, 0, 0, "", "", "", false)
	random := &splitMix{7}
	words := []string{"", "a", "aaaaaaaa", strings.Repeat("ab", 300), strings.Repeat("abc", 300) + "é", "zebra", " the"}
	for range 300 {
		words = append(words, strings.ReplaceAll(randomText(random), " ", ""))
	}
	for _, word := range words {
		var mapped strings.Builder
		for _, b := range []byte(word) {
			mapped.WriteRune(byteRunes[b])
		}
		tokens, err := model.Tokenize(mapped.String())
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		for _, token := range tokens {
			want = append(want, token.ID)
		}
		if got := tok.encodeWord(word); !slices.Equal(got, want) {
			t.Errorf("%q: ids %v, gotokenizers' %v", word, got, want)
		}
	}
}

func TestAStreamGivesTheTextOfDecodeAndCutsNoCharacter(t *testing.T) {
	tok := GPT2()
	random := &splitMix{9}
	var sequences [][]int
	for _, text := range []string{"", "a zebra", "🙂", "👩🏽‍🚒 é 世界", "a<|endoftext|>é<|endoftext|>"} {
		sequences = append(sequences, tok.Encode(text))
	}
	for range 300 {
		sequences = append(sequences, tok.Encode(randomText(random)), randomIDs(random, 50260), bytesOf(tok, randomBytes(random)))
	}
	for _, ids := range sequences {
		for _, skip := range []bool{false, true} {
			stream := tok.Stream(skip)
			for range 2 { // a closed stream begins anew
				var got strings.Builder
				for _, id := range ids {
					part := stream.Add(id)
					if !utf8.ValidString(part) {
						t.Fatalf("%v: %q is part of a character", ids, part)
					}
					got.WriteString(part)
				}
				got.WriteString(stream.Close())
				if want := tok.Decode(ids, skip); got.String() != want {
					t.Fatalf("%v: streamed %q, decoded %q", ids, got.String(), want)
				}
			}
		}
	}
}

// bytesOf gives the ids of single bytes.
func bytesOf(tok *Tokenizer, s string) []int {
	ids := make([]int, len(s))
	for i := range len(s) {
		ids[i] = tok.byteIDs[s[i]]
	}
	return ids
}

func TestAStreamHoldsOnlyTheCharacterThatIsIncomplete(t *testing.T) {
	tok := GPT2()
	stream := tok.Stream(false)
	for i, id := range bytesOf(tok, "a🙂b\xf0\x9fc") {
		want := []string{"a", "", "", "", "🙂", "b", "", "", "\ufffdc"}[i]
		if got := stream.Add(id); got != want {
			t.Errorf("id %d gives %q, want %q", i, got, want)
		}
	}
	if got := stream.Close(); got != "" {
		t.Errorf("the end gives %q, want nothing", got)
	}
}

func TestManyGoroutinesEncodeAsOne(t *testing.T) {
	g := readGolden(t)
	tok := cut(t, g.Cut.Size) // with an empty cache
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range g.Cut.Nasty {
				c := g.Cut.Nasty[(i*7+worker*31)%len(g.Cut.Nasty)]
				if got := tok.Encode(c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("%q: ids %v, want %v", c.Text, got, c.IDs)
				}
			}
		})
	}
	group.Wait()
}

func TestAChangeOfTheIDsDoesNotReachTheCache(t *testing.T) {
	tok := GPT2()
	want := tok.Encode(" zebra")
	got := tok.Encode(" zebra")
	got[0] = 0
	if again := tok.Encode(" zebra"); !slices.Equal(again, want) {
		t.Errorf("ids %v, want %v", again, want)
	}
}

func TestAVeryLongWordTakesLittleTime(t *testing.T) {
	tok := GPT2()
	for _, unit := range []string{"a", "ab", "é", "zebra"} {
		text := strings.Repeat(unit, 1<<18/len(unit))
		if got := tok.Decode(tok.Encode(text), false); got != text {
			t.Errorf("%d bytes of %q come back as %d bytes", len(text), unit, len(got))
		}
	}
}

func FuzzValidTextComesBack(f *testing.F) {
	for _, seed := range []string{"", "a zebra", " it's\n\n 12 ½ ", "👩🏽‍🚒", "<|endoftext|>", "caf\xe9", "\u3000\u0085x"} {
		f.Add(seed)
	}
	full := GPT2()
	small := cut(f, 300)
	f.Fuzz(func(t *testing.T, text string) {
		want := replaceInvalid(text)
		if utf8.ValidString(text) && want != text {
			t.Fatalf("valid text %q was changed to %q", text, want)
		}
		for _, tok := range []*Tokenizer{full, small} {
			ids := tok.Encode(text)
			if got := tok.Decode(ids, false); got != want {
				t.Errorf("%q comes back as %q", want, got)
			}
			var streamed strings.Builder
			stream := tok.Stream(false)
			for _, id := range ids {
				streamed.WriteString(stream.Add(id))
			}
			if got := streamed.String() + stream.Close(); got != want {
				t.Errorf("%q is streamed as %q", want, got)
			}
		}
	})
}

var captions = []string{
	"A zebra standing on a dry grass field.", "two people riding a wave on a surfboard", "A man in a red shirt is holding a tennis racket on the court.",
	"a bathroom with a toilet, sink, and a large mirror", "An airplane that's parked at an airport gate.", "Three giraffes and 12 elephants near the water hole",
	"the kitchen has a white stove and wooden cabinets", "woman firefighter: medium-dark skin tone", "A small dog wearing a hat sits next to a bicycle",
	"several boats docked in the harbor at sunset",
}

func BenchmarkEncodeCaption(b *testing.B) {
	tok := GPT2()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tok.EncodeCaption(captions[i%len(captions)], 32)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "captions/s")
}

func BenchmarkNew(b *testing.B) {
	tok := GPT2()
	for b.Loop() {
		if _, err := New(tok.vocab, tok.merges, Special{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCut4096(b *testing.B) {
	tok := GPT2()
	for b.Loop() {
		if _, err := tok.Cut(4096); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeNewWords(b *testing.B) {
	tok := GPT2()
	word := []byte(" unprecedented")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		word[1+i%13] = 'a' + byte(i%26)
		tok.encodeWord(string(word))
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := GPT2()
	ids := tok.EncodeCaption(captions[2], 0)
	b.ReportAllocs()
	for b.Loop() {
		tok.Decode(ids, true)
	}
}
