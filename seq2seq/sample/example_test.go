package sample_test

import (
	"context"
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// The embedded captioner puts a held-out picture into words.
func Example() {
	m, err := sample.Captioner()
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := emoji.Validation().Example(48)
	if err != nil {
		fmt.Println(err)
		return
	}
	picture, err := e.Image()
	if err != nil {
		fmt.Println(err)
		return
	}
	captions, err := m.Generate(context.Background(), []vision.Image{picture}, m.Generation)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("actual:   ", e.Captions[0])
	fmt.Println("generated:", captions[0].Text)
	// Output:
	// actual:    man: dark skin tone, red hair
	// generated: man: dark skin tone, red hair
}
