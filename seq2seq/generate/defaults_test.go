package generate_test

import (
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
)

// transformers takes 50 where no file says anything.
func TestTopKIsTheRecipesUnlessAFileSaysOtherwise(t *testing.T) {
	for file, want := range map[string]int{
		`{"do_sample": true}`:              1000,
		`{"do_sample": true, "top_k": 50}`: 50,
		`{"do_sample": true, "top_k": 0}`:  0,
	} {
		o, err := generate.LoadOptions(fstest.MapFS{"generation_config.json": {Data: []byte(file)}}, generate.DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		if o.TopK != want {
			t.Errorf("%s: top_k is %d, want %d", file, o.TopK, want)
		}
	}
}
