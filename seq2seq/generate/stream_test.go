package generate_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
)

func TestAStreamGivesTheTokensOfGenerate(t *testing.T) {
	s := readRandomSearches(t)
	for _, m := range s.Models[:6] {
		d, source := decoder[float32](t, s, m)
		source.Of = []int{1}
		for _, name := range []string{"greedy", "sampling"} {
			o := variants()[name]
			o.NumReturnSequences, o.Prefix = 1, []int{3, 1}
			var got []int
			for id, err := range generate.Stream(context.Background(), d, source, o) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, id)
			}
			if want := mustGenerate(t, d, source, o)[0].Tokens; !slices.Equal(got, want) {
				t.Errorf("%s: the stream gives %v, Generate %v", name, got, want)
			}
		}
	}
}

func TestAStreamComputesNoMoreThanIsTaken(t *testing.T) {
	o := from0()
	o.EOSTokenID = nil
	d := always(0, 0, 1)
	n := 0
	for range generate.Stream(context.Background(), d, items(1), o) {
		if n++; n == 3 {
			break
		}
	}
	if len(d.fed) != 3 {
		t.Errorf("%d steps for 3 tokens", len(d.fed))
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var tokens int
	var last error
	for _, err := range generate.Stream(ctx, d, items(1), o) {
		if last = err; err == nil {
			tokens++
		}
		if tokens == 2 {
			cancel()
		}
	}
	if tokens != 2 || last != context.Canceled {
		t.Errorf("cancelled after 2 tokens: %d tokens and error %v", tokens, last)
	}
}

func TestWhatCannotBeStreamedIsAnError(t *testing.T) {
	for _, c := range []struct {
		source layers.Source
		change func(o *generate.Options)
		want   string
	}{
		{items(2), func(*generate.Options) {}, "the source has 2"},
		{items(0), func(*generate.Options) {}, "the source has 0"},
		{items(1), func(o *generate.Options) { o.NumBeams = 2 }, "num_beams is 2"},
		{items(1), func(o *generate.Options) { o.DoSample, o.NumReturnSequences = true, 3 }, "num_return_sequences 3"},
		{items(1), func(o *generate.Options) { o.TopP = 7 }, "top_p is 7"},
	} {
		o := from0()
		c.change(&o)
		n := 0
		for _, err := range generate.Stream(context.Background(), always(0, 1), c.source, o) {
			if n++; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		}
		if n != 1 {
			t.Errorf("%d pairs, want an error alone", n)
		}
	}
}

// pairs is a text stream whose characters are two tokens each.
type pairs struct{ held []int }

func (p *pairs) Add(id int) string {
	if p.held = append(p.held, id); len(p.held) < 2 {
		return ""
	}
	return p.Close()
}

func (p *pairs) Close() string {
	s := ""
	if len(p.held) > 0 {
		s = fmt.Sprint(p.held)
	}
	p.held = nil
	return s
}

func TestTextComesInWholeCharacters(t *testing.T) {
	o := from0()
	source := items(4)
	source.Of = []int{3}
	var got []string
	for text, err := range generate.Text(generate.Stream(context.Background(), counter(9), source, o), &pairs{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	if want := []string{"[1 2]", "[3]"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	o.TopP = 7
	for text, err := range generate.Text(generate.Stream(context.Background(), counter(9), source, o), &pairs{}) {
		if text != "" || err == nil {
			t.Errorf("%q, error %v; want an error alone", text, err)
		}
	}
}

func TestRealTextComesInWholeCharactersAndStopsAtAString(t *testing.T) {
	tok := tokenizer.GPT2()
	const text = "naïve 😀 漢字, the end. And more"
	ids := tok.Encode(text)
	d := &table{vocabulary: 1000, positions: 100}
	d.logits = func(tokens []int, _ int) []float32 { // the i-th id in small numbers
		x := make([]float32, d.vocabulary)
		x[len(tokens)] = 1
		return x
	}
	o := from0()
	o.EOSTokenID, o.MaxNewTokens = nil, len(ids)
	spoken := &spelled{ids: ids, tok: tok}
	var got strings.Builder
	for piece, err := range generate.Text(generate.Stream(context.Background(), d, items(1), o), &spelledStream{spoken, tok.Stream(true)}) {
		if err != nil {
			t.Fatal(err)
		}
		if piece == "" || !utf8.ValidString(piece) || strings.ContainsRune(piece, utf8.RuneError) {
			t.Errorf("a piece is %q", piece)
		}
		got.WriteString(piece)
	}
	if got.String() != text {
		t.Errorf("%q, want %q", got.String(), text)
	}

	o.StopStrings, o.Text = generate.Strings{"end."}, spoken
	sequence := mustGenerate(t, d, items(1), o)[0]
	if said := spoken.Decode(sequence.Tokens, true); !sequence.Finished || said != "naïve 😀 漢字, the end." {
		t.Errorf("stopped after %q, finished %v", said, sequence.Finished)
	}
}

// spelled gives token i the text of the i-th of ids, and token 0 none.
type spelled struct {
	ids []int
	tok *tokenizer.Tokenizer
}

func (s *spelled) Decode(tokens []int, skipSpecial bool) string {
	var ids []int
	for _, i := range tokens {
		if i > 0 {
			ids = append(ids, s.ids[i-1])
		}
	}
	return s.tok.Decode(ids, skipSpecial)
}

type spelledStream struct {
	*spelled
	stream *tokenizer.Stream
}

func (s *spelledStream) Add(i int) string { return s.stream.Add(s.ids[i-1]) }
func (s *spelledStream) Close() string    { return s.stream.Close() }

var (
	_ generate.TextStream = (*tokenizer.Stream)(nil)
	_ generate.Decoding   = (*tokenizer.Tokenizer)(nil)
)
