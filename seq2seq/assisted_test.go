package seq2seq_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func TestTheSamplesCaptionsAreTheSameWithItsAssistant(t *testing.T) {
	for _, p := range []layers.Precision{layers.Float32, layers.BFloat16} {
		m, err := sample.Captioner()
		if err != nil {
			t.Fatal(err)
		}
		m.Hold(p)
		plain, assisted := m.Generation, m.Generation
		assisted.AssistantModel = m.Assistant()
		pictures := emoji.Validation()
		for i := 0; i < pictures.Len(); i += 11 {
			e, err := pictures.Example(i)
			if err != nil {
				t.Fatal(err)
			}
			picture, err := e.Image()
			if err != nil {
				t.Fatal(err)
			}
			want, err := m.Generate(context.Background(), []vision.Image{picture}, plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Generate(context.Background(), []vision.Image{picture}, assisted)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v, %s: %+v, without an assistant %+v", p, e.ID, got, want)
			}
			var pieces []string
			for text, err := range m.Stream(context.Background(), picture, assisted) {
				if err != nil {
					t.Fatal(err)
				}
				pieces = append(pieces, text)
			}
			if text := strings.Join(pieces, ""); text != want[0].Text || slices.Contains(pieces, "") {
				t.Errorf("%v, %s: streams %q, want %q", p, e.ID, pieces, want[0].Text)
			}
		}
	}
}
