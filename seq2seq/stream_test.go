package seq2seq_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func tinyPicture(i int) vision.Image {
	img, _ := tiny.Picture(i)
	return vision.FromImage(img)
}

func say(t *testing.T, m *seq2seq.VisionEncoderDecoder, o generate.Options, pictures ...vision.Image) []seq2seq.Caption {
	t.Helper()
	captions, err := m.Generate(context.Background(), pictures, o)
	if err != nil {
		t.Fatal(err)
	}
	return captions
}

func TestAStreamIsTheCaptionInWholeCharacters(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	for seed := range uint64(30) {
		o := m.Generation
		o.MaxNewTokens, o.DoSample, o.Seed = 12, true, seed
		if seed%3 == 0 {
			o.Prefix = m.Tokenizer.Encode("a photo of")
		}
		var text strings.Builder
		for piece, err := range m.Stream(context.Background(), tinyPicture(int(seed)%4), o) {
			if err != nil {
				t.Fatal(err)
			}
			if piece == "" || !utf8.ValidString(piece) {
				t.Errorf("seed %d: a piece is %q", seed, piece)
			}
			text.WriteString(piece)
		}
		if want := say(t, m, o, tinyPicture(int(seed)%4))[0].Text; text.String() != want {
			t.Errorf("seed %d: the stream says %q, Generate %q", seed, text.String(), want)
		}
	}
}

func TestAStreamEndsWithItsContextAndWithItsReader(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	o := m.Generation
	o.MaxNewTokens, o.MinNewTokens = 20, 20
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	pieces := 0
	for _, err := range m.Stream(ctx, tinyPicture(0), o) {
		if last = err; err == nil {
			pieces++
		}
		cancel()
	}
	if pieces != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled at the first piece: %d pieces, error %v", pieces, last)
	}
	for range m.Stream(context.Background(), tinyPicture(0), o) {
		break
	}
	o.NumBeams = 2
	for _, err := range m.Stream(context.Background(), tinyPicture(0), o) {
		if err == nil {
			t.Error("beam search is streamed")
		}
	}
}

// What a picture draws hangs on its pixels and the seed.
func TestSamplesDoNotDependOnTheOrderOfPictures(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	o := m.Generation
	o.DoSample, o.MaxNewTokens, o.NumReturnSequences, o.Seed = true, 8, 2, 3
	pictures := []vision.Image{tinyPicture(0), tinyPicture(1), tinyPicture(2), tinyPicture(0)}
	want := say(t, m, o, pictures...)
	if !slices.EqualFunc(want[:2], want[6:], func(a, b seq2seq.Caption) bool { return a.Text == b.Text }) {
		t.Errorf("the same picture is said to be %+v and %+v", want[:2], want[6:])
	}
	if want[0].Text == want[1].Text || want[0].Text == want[2].Text {
		t.Errorf("samples are equal: %+v", want)
	}
	for i, picture := range pictures {
		if got := say(t, m, o, picture); got[0].Text != want[2*i].Text || got[1].Text != want[2*i+1].Text {
			t.Errorf("picture %d is said to be %+v alone, %+v among others", i, got, want[2*i:2*i+2])
		}
	}
}

// A prompt that a caption begins with anyway changes nothing, whatever the search.
func TestAPromptIsGoneOnWith(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	for _, beams := range []int{1, 3} {
		o := m.Generation
		o.MaxNewTokens, o.MinNewTokens, o.NumBeams = 8, 8, beams
		whole := say(t, m, o, tinyPicture(1))[0]
		o.Prefix = whole.TokenIDs[:3]
		o.MaxNewTokens, o.MinNewTokens = 5, 5
		if beams == 1 {
			if got := say(t, m, o, tinyPicture(1))[0]; !slices.Equal(got.TokenIDs, whole.TokenIDs) || got.Text != whole.Text {
				t.Errorf("%v gone on with is %v, want %v", o.Prefix, got.TokenIDs, whole.TokenIDs)
			}
		}
		o.Prefix = m.Tokenizer.Encode("a photo of")
		for _, c := range say(t, m, o, tinyPicture(1), tinyPicture(2)) {
			if !strings.HasPrefix(c.Text, "a photo of") || len(c.TokenIDs) != len(o.Prefix)+5 {
				t.Errorf("%d beams: %q", beams, c.Text)
			}
		}
	}
}

func TestStopStringsNeedNoMoreThanTheModel(t *testing.T) {
	m := tiny.Captioner(t, tiny.Options{})
	o := m.Generation
	o.MaxNewTokens, o.MinNewTokens = 12, 12
	whole := say(t, m, o, tinyPicture(1))[0]
	words := strings.Fields(whole.Text)
	if len(words) < 3 {
		t.Fatalf("too few words to stop in: %q", whole.Text)
	}
	stop := words[1]
	o.StopStrings, o.Text = generate.Strings{stop}, nil
	if got := say(t, m, o, tinyPicture(1))[0]; got.Text != words[0]+" "+stop {
		t.Errorf("stopped at %q: %q, of %q", stop, got.Text, whole.Text)
	}
}
