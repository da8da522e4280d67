package seq2seq_test

import (
	"context"
	"fmt"
	"os"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// A pretrained encoder and a pretrained decoder become a captioner, of which
// only what is new between them is to be trained.
func Example() {
	m, err := seq2seq.JoinFS(sample.FS(sample.Encoder), sample.FS(sample.Decoder), layers.NewRandom(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := layers.Trainable(m, "crossattention"); err != nil {
		fmt.Println(err)
		return
	}
	total, trained := layers.Count(m)
	fmt.Printf("%d of %d weights are trained; the first of them:\n", trained, total)
	for _, p := range layers.Parameters(m) {
		if p.Value.RequiresGrad() {
			fmt.Println(p.Name, p.Shape)
			break
		}
	}
	// Output:
	// 592896 of 5926272 weights are trained; the first of them:
	// decoder.transformer.h.0.crossattention.c_attn.weight [192 384]
}

// What Save writes, Load reads, and so does transformers.
func ExampleLoad() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "captioner")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	m, err := sample.Captioner()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Save(dir, seq2seq.SaveOptions{DType: "F16"}); err != nil {
		fmt.Println(err)
		return
	}

	loaded, err := seq2seq.Load(ctx, dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	picture, err := loaded.Processor.Decoder().Open("../docs/images/picture.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	o := loaded.Generation
	o.NumBeams, o.MaxNewTokens = 2, 16
	captions, err := loaded.Generate(ctx, []vision.Image{picture}, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(captions[0].Text)
	// Output: woman juggling: medium skin tone
}

// An assistant guesses what the model will say, which saves time with a single
// picture and changes nothing in what is said.
func ExampleEncoderDecoder_Assistant() {
	m, err := sample.Captioner()
	if err != nil {
		fmt.Println(err)
		return
	}
	picture, err := m.Processor.Decoder().Open("../docs/images/picture.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Hold(layers.Float32) // brings the weights into the order of decoding
	o := m.Generation
	o.AssistantModel = m.Assistant()
	captions, err := m.Generate(context.Background(), []vision.Image{picture}, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(captions[0].Text)
	// Output: woman juggling: medium skin tone
}

// Whole sequences become what the decoder sees, and what it has to say next.
func ExampleShift() {
	const end = 9
	tokens, labels, err := seq2seq.Shift([][]int{{end, 1, 2, 3, end}, {end, 4, end}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("inputs", tokens.IDs, "of sequences that begin at", tokens.Offsets)
	fmt.Println("labels", labels)
	// Output:
	// inputs [9 1 2 3 9 4] of sequences that begin at [0 4 6]
	// labels [1 2 3 9 4 9]
}
