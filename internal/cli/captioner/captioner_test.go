package captioner

import (
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
)

func TestAnAssistantIsMadeWhereItSavesTime(t *testing.T) {
	m, err := sample.Captioner()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args     []string
		pictures int
		want     bool
	}{
		{nil, 1, true},
		{[]string{"--num-assistant-tokens", "3"}, 1, true},
		{[]string{"--num-assistant-tokens", "0"}, 1, false},
		{[]string{"--max-new-tokens", "4"}, 1, false},
		{[]string{"--max-new-tokens", "4"}, 3, true},
		{[]string{"--precision", "bf16"}, 1000, false}, // a small model
		{[]string{"--precision", "int8"}, 1000, false},
		{[]string{"--num-beams", "2"}, 9, false},
		{[]string{"--do-sample"}, 9, false},
	} {
		var s Flags
		f := cli.Flags("test", "")
		s.AddModel(f)
		s.AddGeneration(f)
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		o, err := s.Generation(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Assist(m, &o, c.pictures); got != c.want || got != (o.AssistantModel != nil) {
			t.Errorf("%v, %d pictures: an assistant is made: %v, want %v", c.args, c.pictures, got, c.want)
		}
	}
}

func TestAnAssistantPaysForManyTokensOfALargeModel(t *testing.T) {
	const small, large = 4_000_000, 90_000_000
	for _, c := range []struct {
		precision       layers.Precision
		weights, tokens int
		want            bool
	}{
		{layers.Float32, large, 16, true}, {layers.Float32, small, 16, true}, {layers.Float32, large, 11, false},
		{layers.BFloat16, large, 16, false}, {layers.BFloat16, large, 32, true}, {layers.BFloat16, small, 320, false},
		{layers.Int8, large, 1000, false},
	} {
		if got := assistantPays(c.precision, c.weights, c.tokens); got != c.want {
			t.Errorf("%v, %d weights, %d tokens: %v, want %v", c.precision, c.weights, c.tokens, got, c.want)
		}
	}
}
