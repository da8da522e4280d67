package attention_test

import (
	"image"
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/attention"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func look(t *testing.T, tokens []int) *attention.Map {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	picture, _ := tiny.Picture(0)
	pixels, err := m.Processor.Process(vision.FromImage(picture))
	if err != nil {
		t.Fatal(err)
	}
	seen, err := attention.Look(m, pixels, tokens)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestTheWeightsOfATokenAreAtMostOneAndTheMeanIsTheirs(t *testing.T) {
	seen := look(t, []int{70, 71, 72})
	for token := range seen.Tokens {
		mean := make([]float64, seen.Rows*seen.Cols)
		for l := range seen.Layers {
			for h := range seen.Heads {
				sum := 0.0
				for i, w := range seen.Weights(token, l, h) {
					if w < 0 {
						t.Fatalf("token %d layer %d head %d: weight %v", token, l, h, w)
					}
					sum += float64(w)
					mean[i] += float64(w) / float64(seen.Layers*seen.Heads)
				}
				if !(sum > 0 && sum <= 1+1e-6) {
					t.Errorf("token %d layer %d head %d: weights add up to %v", token, l, h, sum)
				}
			}
		}
		for i, w := range seen.Mean(token) {
			if math.Abs(float64(w)-mean[i]) > 1e-6 {
				t.Errorf("token %d patch %d: mean %v, want %v", token, i, w, mean[i])
			}
		}
	}
}

func TestATokenThatBeginsWithASpaceBeginsAWord(t *testing.T) {
	seen := look(t, []int{1, 2, 3, 4})
	text := map[int]string{1: "ze", 2: "bra", 3: " run", 4: "ning"}
	words := seen.Words(func(ids []int) string { return text[ids[0]] })
	if len(words) != 2 || words[0].Text != "zebra" || words[1].Text != "running" {
		t.Fatalf("%+v", words)
	}
	for i := range words[0].Heat {
		if want := (seen.Mean(0)[i] + seen.Mean(1)[i]) / 2; math.Abs(float64(words[0].Heat[i]-want)) > 1e-6 {
			t.Errorf("patch %d: heat %v, want the mean of both tokens, %v", i, words[0].Heat[i], want)
		}
	}
}

func TestTheDrawingIsBrightestWhereTheModelLooked(t *testing.T) {
	picture := vision.NewImage(40, 40)
	for i := range picture.Pix {
		picture.Pix[i] = 200
	}
	heat := []float32{0, 0, 0, 1} // of 2×2 patches, the last
	drawing, err := attention.Draw(picture, []attention.Word{{Text: "a word that is far too long for its place", Heat: heat}}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	const side, margin = 160, 12
	tile := image.Rect(2*margin+side, margin, 2*margin+2*side, margin+side)
	bright := func(x, y int) uint32 { r, _, _, _ := drawing.At(x, y).RGBA(); return r }
	if hot, cold := bright(tile.Max.X-10, tile.Max.Y-10), bright(tile.Min.X+10, tile.Min.Y+10); hot < 2*cold {
		t.Errorf("red is %d where the model looked and %d where it did not", hot, cold)
	}
	if none := look(t, nil); len(none.Words(nil)) != 0 {
		t.Error("a caption without tokens has words")
	}
}
