package generate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
)

func TestStopStringsEndWhereTransformersEnds(t *testing.T) {
	var golden struct {
		Vocabulary int
		Cases      []struct {
			IDs     []int
			Strings []string
			Ends    []int // lengths at which the last token completes a string
		}
	}
	reference.ReadJSON(t, "testdata/stops.json", &golden)
	tok, err := tokenizer.GPT2().Cut(golden.Vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, c := range golden.Cases {
		stop := stopStrings(c.Strings, tok)
		var ends []int
		for n := 2; n <= len(c.IDs); n++ {
			if stop(c.IDs[:n]) {
				ends = append(ends, n)
			}
		}
		if !slices.Equal(ends, c.Ends) {
			t.Errorf("%q ends at %d for %q, want %d", tok.Decode(c.IDs, false), ends, c.Strings, c.Ends)
		}
		if len(ends) > 0 {
			ended++
		}
	}
	if ended < 50 {
		t.Fatalf("%d of %d texts have a stop string, want at least 50", ended, len(golden.Cases))
	}
	t.Attr("compared", fmt.Sprintf("%d texts with stop strings: where they end", len(golden.Cases)))
}

// A prompt may hold a stop string, or a part of one.
func TestAStopStringInAPromptEndsNothingUntilItComesAgain(t *testing.T) {
	tok := tokenizer.GPT2()
	stop := stopStrings([]string{"aa"}, tok)
	for _, c := range []struct {
		texts []string
		want  bool
	}{
		{[]string{"aa", "b"}, false},
		{[]string{"aa", "a"}, true},
		{[]string{"aab", "aa"}, true},
		{[]string{"a", "a"}, true},
		{[]string{"aa", " "}, false},
	} {
		var ids []int
		for _, text := range c.texts {
			ids = append(ids, tok.Encode(text)...)
		}
		if got := stop(ids); got != c.want {
			t.Errorf("%q: %v, want %v", c.texts, got, c.want)
		}
	}
}
