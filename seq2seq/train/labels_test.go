package train_test

import (
	"context"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Labels BOS + ids + EOS make the decoder read BOS BOS ids and say BOS ids EOS. BOS is EOS, so that captions end at once.
func TestAStartTokenAmongTheLabelsTeachesToSayNothing(t *testing.T) {
	for _, test := range []struct {
		starts int
		says   int // tokens
	}{{1, 3}, {2, 0}} {
		m := tiny.Captioner(t, tiny.Options{})
		end := m.Tokenizer.EOS()
		var sequence []int
		for range test.starts {
			sequence = append(sequence, end)
		}
		sequence = append(sequence, 40, 41, 42, end)
		b := pixelBatch{
			Keys:      []train.Key{{}},
			Inputs:    []vision.Pixels{{Height: 16, Width: 16, Data: make([]float32, 3*16*16)}},
			Of:        []int{0},
			Sequences: [][]int{sequence},
		}
		mustRun(t, newTrainer(t, m, batches{b}, nil, options(60, 3e-3)))
		captions, err := m.GenerateFromPixels(context.Background(), b.Inputs, m.Generation)
		if err != nil {
			t.Fatal(err)
		}
		if got := captions[0].TokenIDs; len(got) != test.says {
			t.Errorf("with %d start tokens: %v, want %d tokens", test.starts, got, test.says)
		}
	}
}
