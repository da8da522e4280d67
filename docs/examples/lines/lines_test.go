package lines

import (
	"strings"
	"testing"
)

func TestNoHeldOutLineIsTrainedOn(t *testing.T) {
	trained := map[string]bool{}
	const n = 3000
	for i := range n {
		e, err := Dataset{N: n, Seed: 1}.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		trained[e.Captions[0]] = true
	}
	for i := range n {
		e, err := Dataset{N: n, Seed: 1, HeldOut: true}.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		text := e.Captions[0]
		if trained[text] {
			t.Errorf("%q is held out and trained on", text)
		}
		if len(text) < 1 || len(text) > MaxLength || strings.Trim(text, Alphabet) != "" || strings.TrimSpace(text) != text {
			t.Errorf("line %q", text)
		}
	}
}

func TestALineIsDrawnTheSameEachTime(t *testing.T) {
	for i := range 40 {
		e, err := Dataset{N: 40}.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		a, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		if a.Width != Width || a.Height != Height || string(a.Pix) != string(b.Pix) {
			t.Errorf("line %d is %d×%d pixels, or drawn in two ways", i, a.Width, a.Height)
		}
	}
}
