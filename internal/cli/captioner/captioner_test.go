package captioner

import (
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
)

func TestAnAssistantIsMadeWhereItSavesTime(t *testing.T) {
	m, err := sample.Captioner()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want bool
	}{
		{nil, true},
		{[]string{"--precision", "bf16"}, true},
		{[]string{"--num-assistant-tokens", "3", "--max-new-tokens", "8"}, true},
		{[]string{"--num-assistant-tokens", "0"}, false},
		{[]string{"--precision", "int8"}, false},
		{[]string{"--max-new-tokens", "4"}, false},
		{[]string{"--num-beams", "2"}, false},
		{[]string{"--do-sample"}, false},
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
		s.Assist(m, &o)
		if got := o.AssistantModel != nil; got != c.want {
			t.Errorf("%v: an assistant is made: %v, want %v", c.args, got, c.want)
		}
	}
}
