package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// golden is testdata/golden.json, which internal/reference/tokens.py writes.
type golden struct {
	Classes   string // the SHA-256 of the characters' properties, a byte each
	GPT2, Cut generated
	Folders   []folder
}

// generated holds what transformers makes of texts that are listed, and hashes of what it makes of generated ones.
type generated struct {
	Size                   int
	Texts, Broken, Decoded []string
	Nasty                  []struct {
		Text string
		IDs  []int
	}
	Bytes []struct {
		Hex string
		IDs []int
	}
}

// A folder is a small tokenizer's files and what transformers makes of them.
type folder struct {
	Name               string
	Files              map[string]string
	Size               int
	BOS, EOS, Unk, Pad *int
	Special            []int
	Cases              []struct {
		Text             string
		IDs              []int
		Decoded, Skipped string
	}
}

func (f folder) fs() fstest.MapFS {
	files := make(fstest.MapFS)
	for name, text := range f.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func readGolden(t testing.TB) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func cut(t testing.TB, size int) *Tokenizer {
	t.Helper()
	small, err := GPT2().Cut(size)
	if err != nil {
		t.Fatal(err)
	}
	return small
}

func TestIDsAndTextsAreThoseOfTransformers(t *testing.T) {
	g := readGolden(t)
	for _, test := range []struct {
		name string
		tok  *Tokenizer
		want generated
	}{{"GPT2", GPT2(), g.GPT2}, {"Cut", cut(t, g.Cut.Size), g.Cut}} {
		t.Run(test.name, func(t *testing.T) {
			tok, want := test.tok, test.want
			if tok.VocabSize() != want.Size {
				t.Fatalf("%d tokens, want %d", tok.VocabSize(), want.Size)
			}
			for _, c := range want.Nasty {
				if got := tok.Encode(c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("%q: ids %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Decode(c.IDs, false); got != c.Text {
					t.Errorf("%q is decoded to %q", c.Text, got)
				}
			}
			for _, c := range want.Bytes {
				data, err := hex.DecodeString(c.Hex)
				if err != nil {
					t.Fatal(err)
				}
				if got := tok.Encode(string(data)); !slices.Equal(got, c.IDs) {
					t.Errorf("bytes %x: ids %v, want %v", data, got, c.IDs)
				}
			}
			t.Attr("compared", fmt.Sprintf("%d nasty texts", len(want.Nasty)+len(want.Bytes)))
			t.Attr("compared", fmt.Sprintf("%d generated texts", 100*len(want.Texts)))
			t.Attr("compared", fmt.Sprintf("%d generated texts with invalid UTF-8", 100*len(want.Broken)))
			t.Attr("compared", fmt.Sprintf("%d generated lists of ids decoded", 100*len(want.Decoded)))
			texts, broken, ids := &splitMix{1}, &splitMix{2}, &splitMix{3}
			compareHashes(t, "texts", want.Texts, func() ([]byte, string) {
				text := randomText(texts)
				encoded := tok.Encode(text)
				if got := tok.Decode(encoded, false); got != text {
					t.Errorf("%q is decoded to %q", text, got)
				}
				return pack(encoded), text
			})
			compareHashes(t, "broken texts", want.Broken, func() ([]byte, string) {
				text := randomBytes(broken)
				return pack(tok.Encode(text)), text
			})
			compareHashes(t, "ids", want.Decoded, func() ([]byte, string) {
				text := tok.Decode(randomIDs(ids, want.Size), false)
				return []byte(text), text
			})
		})
	}
}

func TestTheClassesAreThoseOfTransformers(t *testing.T) {
	hash := sha256.New()
	for r := range rune(unicode.MaxRune + 1) {
		hash.Write([]byte{byte(properties(r))})
	}
	if got, want := hex.EncodeToString(hash.Sum(nil)), readGolden(t).Classes; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestFoldersAreReadAsTransformersReadsThem(t *testing.T) {
	for _, f := range readGolden(t).Folders {
		t.Run(f.Name, func(t *testing.T) {
			tok, err := Load(f.fs())
			if err != nil {
				t.Fatal(err)
			}
			checkFolder(t, tok, f)
		})
	}
}

var save = flag.String("save", "", "a folder for the saved tokenizers, which internal/reference/tokens.py check compares")

func TestASavedTokenizerLoadsAsItWas(t *testing.T) {
	g := readGolden(t)
	if *save != "" {
		keep(t, "gpt2", GPT2())
		keep(t, "cut", cut(t, g.Cut.Size))
	}
	for _, f := range g.Folders {
		t.Run(f.Name, func(t *testing.T) {
			tok, err := Load(f.fs())
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{tokenizerFile, vocabFile} {
				checkFolder(t, saveAndLoad(t, tok, form), f)
			}
			if *save != "" {
				keep(t, f.Name, tok)
			}
		})
	}
	for _, form := range []string{tokenizerFile, vocabFile} {
		saved := saveAndLoad(t, GPT2(), form)
		for _, c := range g.GPT2.Nasty {
			if got := saved.Encode(c.Text); !slices.Equal(got, c.IDs) {
				t.Errorf("%s: %q: ids %v, want %v", form, c.Text, got, c.IDs)
			}
		}
	}
}

// keep saves a tokenizer in the folder of the flag -save.
func keep(t *testing.T, name string, tok *Tokenizer) {
	t.Helper()
	if err := tok.Save(filepath.Join(*save, name)); err != nil {
		t.Fatal(err)
	}
}

// saveAndLoad saves a tokenizer and loads it, from tokenizer.json or, with that removed, from vocab.json and merges.txt.
func saveAndLoad(t *testing.T, tok *Tokenizer, form string) *Tokenizer {
	t.Helper()
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	if form != tokenizerFile {
		if err := os.Remove(dir + "/" + tokenizerFile); err != nil {
			t.Fatal(err)
		}
	}
	saved, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

// checkFolder compares a tokenizer with what transformers makes of the folder f.
func checkFolder(t *testing.T, tok *Tokenizer, f folder) {
	t.Helper()
	if tok.VocabSize() != f.Size {
		t.Errorf("%d tokens, want %d", tok.VocabSize(), f.Size)
	}
	if f.Pad == nil { // ours is the EOS then
		f.Pad = f.EOS
	}
	for _, role := range []struct {
		name string
		got  int
		want *int
	}{{"BOS", tok.BOS(), f.BOS}, {"EOS", tok.EOS(), f.EOS}, {"Unk", tok.Unk(), f.Unk}, {"Pad", tok.Pad(), f.Pad}} {
		if role.got != *role.want {
			t.Errorf("%s is %d, want %d", role.name, role.got, *role.want)
		}
	}
	for id := range f.Size {
		if got, want := tok.IsSpecial(id), slices.Contains(f.Special, id); got != want {
			t.Errorf("id %d (%q): special %t, want %t", id, tok.Token(id), got, want)
		}
	}
	for _, c := range f.Cases {
		if got := tok.Encode(c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("%q: ids %v, want %v", c.Text, got, c.IDs)
		}
		if got := tok.Decode(c.IDs, false); got != c.Decoded {
			t.Errorf("%v: text %q, want %q", c.IDs, got, c.Decoded)
		}
		if got := tok.Decode(c.IDs, true); got != c.Skipped {
			t.Errorf("%v without special tokens: text %q, want %q", c.IDs, got, c.Skipped)
		}
	}
}

// compareHashes compares blocks of 100 items with the hashes that tokens.py stored for them. On a difference it
// shows the block's texts.
func compareHashes(t *testing.T, what string, want []string, item func() (data []byte, text string)) {
	t.Helper()
	for block := range want {
		hash := sha256.New()
		var shown []string
		for range 100 {
			data, text := item()
			hash.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
			hash.Write(data)
			shown = append(shown, text)
		}
		if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want[block] {
			t.Fatalf("%s: block %d differs: hash %s, want %s; one or more of %q", what, block, got, want[block], shown)
		}
	}
	if len(want) == 0 {
		t.Errorf("%s: no blocks", what)
	}
}

// pack gives ids as little-endian uint32.
func pack(ids []int) []byte {
	var data bytes.Buffer
	for _, id := range ids {
		data.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
	}
	return data.Bytes()
}

// splitMix is the generator of tokens.py: SplitMix64 (Steele, Lea, Flood 2014). The functions below it draw in the
// same order as tokens.py's.
type splitMix struct{ state uint64 }

func (s *splitMix) below(n int) int {
	s.state += 0x9E3779B97F4A7C15
	z := s.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

var pieces = []string{
	"a", "zebra", "The", " the", "standing", "ing", "photo", "of", "X", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'", " ", "  ", "    ", "\n", "\t", "\r\n",
	"0", "12", "2024", "½", ".", ",", "!", "...", "-", "_", "(", ")", "<", "|", ">", "<|endoftext|>", "<|endoftext|", "endoftext", "é", "ü", "ñ", "\u0301", "\u200d",
	"\ufe0f", "\u00a0", "\u3000", "\u0085", "🙂", "👩", "🏽", "🚒", "🇫", "🇷", "世界", "мир", "שלום", "नमस्ते", "สวัสดี", "ſ", "Ġ", "٣", "Ⅷ", "²",
}

func randomText(random *splitMix) string {
	var text strings.Builder
	for range random.below(25) {
		if random.below(4) > 0 {
			text.WriteString(pieces[random.below(len(pieces))])
			continue
		}
		for range 1 + random.below(4) {
			limit := []int{0x800, 0x800, 0x20000, 0x110000}[random.below(4)]
			text.WriteRune(rune(random.below(limit))) // a surrogate is written as U+FFFD
		}
	}
	return text.String()
}

func randomBytes(random *splitMix) string {
	var out []byte
	for _, b := range []byte(randomText(random)) {
		switch random.below(16) {
		case 0:
			out = append(out, byte(random.below(256)))
		case 1:
		default:
			out = append(out, b)
		}
	}
	return string(out)
}

func randomIDs(random *splitMix, size int) []int {
	ids := make([]int, random.below(20))
	for i := range ids {
		limit := size
		if random.below(4) == 0 {
			limit = 256
		}
		ids[i] = random.below(limit)
	}
	return ids
}
