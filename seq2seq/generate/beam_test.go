package generate

import (
	"slices"
	"testing"
)

func TestTheBestRunningBeamDecidesWhetherAnItemIsOver(t *testing.T) {
	for _, c := range []struct {
		early   EarlyStopping
		penalty float64
		want    bool // after 4 of at most 16 new tokens, scores -8 running and -3 ended, divided already
	}{
		{WhenUnlikely, 1, true},    // -8/4 > -3
		{WhenUnlikely, 0.5, false}, // -8/2
		{WhenUnlikely, 0, false},   // -8
		{WhenFull, 1, false},
		{WhenImpossible, 1, true},
		{WhenImpossible, 0.5, true},   // -8/16^0.5
		{WhenImpossible, 0.3, false},  // -8/16^0.3 is -3.5
		{WhenImpossible, -0.1, false}, // at the present length, -8·4^0.1
		{WhenImpossible, 0, false},
	} {
		o := &Options{EarlyStopping: c.early, LengthPenalty: c.penalty}
		b := &beams{running: []beam{{score: -8}}, ended: []beam{{score: -1}, {score: -3}}}
		if got := b.canImprove(o, 4, 17); got != c.want {
			t.Errorf("%v, length penalty %v: it can improve: %v, want %v", c.early, c.penalty, got, c.want)
		}
	}
	o := &Options{EarlyStopping: WhenImpossible, LengthPenalty: -0.5}
	b := &beams{running: []beam{{score: -1}}, ended: []beam{{score: -3}}}
	if !b.canImprove(o, 4, 17) { // -1·4^0.5 > -3 > -1·16^0.5
		t.Error("with a negative length penalty the present length counts: a beam at -2 beats -3")
	}
}

// Samples come in the order in which they were drawn.
func TestBeamsGoOnInTheOrderOfTheirScores(t *testing.T) {
	o := DefaultOptions()
	o.NumBeams, o.EOSTokenID = 2, IDs{9}
	b := &beams{running: []beam{{tokens: []int{0, 5}, row: 3}, {tokens: []int{0, 6}, row: 4}}}
	b.advance([]continuation{{0, 1, -4, 0}, {1, 2, -2, 0}, {1, 9, -6, 0}, {0, 3, -1, 0}}, &o, &stops{maxLength: 9, eos: o.EOSTokenID})
	if len(b.running) != 2 || !slices.Equal(b.running[0].tokens, []int{0, 5, 3}) || !slices.Equal(b.running[1].tokens, []int{0, 6, 2}) || b.running[0].row != 3 || b.running[1].row != 4 {
		t.Errorf("running: %+v", b.running)
	}
	if len(b.ended) != 0 || b.over {
		t.Errorf("the third draw of 2 beams ended: %+v, over %v", b.ended, b.over)
	}
}
