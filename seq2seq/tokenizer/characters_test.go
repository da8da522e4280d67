package tokenizer

import (
	"os"
	"slices"
	"testing"
)

func TestCharactersAreTokensInTheOrderOfTheAlphabet(t *testing.T) {
	tok, err := Characters("ab é€ü1")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text string
		ids  []int
	}{
		{"", nil},
		{"ab é€ü1", []int{0, 1, 2, 3, 4, 5, 6}},
		{"1  a€€b", []int{6, 2, 2, 0, 4, 4, 1}},
		{"cabd", []int{0, 1}},
	} {
		if ids := tok.Encode(test.text); !slices.Equal(ids, test.ids) {
			t.Errorf("Encode(%q) = %v, want %v", test.text, ids, test.ids)
		}
	}
	if got := tok.Decode([]int{tok.BOS(), 3, 2, 4, 0, tok.EOS()}, true); got != "é €a" {
		t.Errorf("decoded %q", got)
	}
	if tok.EOS() != tok.VocabSize()-1 || tok.BOS() != tok.EOS() {
		t.Errorf("BOS %d and EOS %d of %d tokens", tok.BOS(), tok.EOS(), tok.VocabSize())
	}

	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if ids := loaded.Encode("b €é"); !slices.Equal(ids, []int{1, 2, 4, 3}) {
		t.Errorf("saved and loaded, it encodes %v", ids)
	}
}

func TestCharactersRefusesWhatIsNoAlphabet(t *testing.T) {
	for _, alphabet := range []string{"", "aba", "é é", "a\xff"} {
		if _, err := Characters(alphabet); err == nil {
			t.Errorf("Characters(%q) gave no error", alphabet)
		}
	}
}
