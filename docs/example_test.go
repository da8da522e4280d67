package docs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func Example() {
	ctx := context.Background()
	model, err := sample.Captioner() // or seq2seq.Load(ctx, "nlpconnect/vit-gpt2-image-captioning", nil)
	if err != nil {
		log.Fatal(err)
	}
	picture, err := model.Processor.Decoder().Open("docs/images/picture.png")
	if err != nil {
		log.Fatal(err)
	}
	captions, err := model.Generate(ctx, []vision.Image{picture}, model.Generation)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(captions[0].Text)
	// Output: woman juggling: medium skin tone
}
