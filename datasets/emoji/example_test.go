package emoji_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
)

func Example() {
	val := emoji.Validation()
	example, err := val.Example(0)
	if err != nil {
		panic(err)
	}
	img, err := example.Image()
	if err != nil {
		panic(err)
	}
	fmt.Println(val.Len(), "pictures; the first is", img.Width, "by", img.Height)
	fmt.Println(example.ID, example.Captions[0])

	// Output:
	// 271 pictures; the first is 64 by 64
	// 1f385-1f3ff Santa Claus: dark skin tone
}

func ExampleScore() {
	name, tone := emoji.Score("mermaid: light skin tone", "mermaid: dark skin tone")
	fmt.Println("name right:", name, "tone right:", tone)
	// Output: name right: true tone right: false
}
