package datasets_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/datasets/emoji"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// A training loop sees each picture once an epoch, with one of its captions.
func Example() {
	loader, err := datasets.NewLoader(emoji.Train(), datasets.LoaderOptions{
		BatchSize: 4,
		Shuffle:   true,
		Seed:      1,
		Prepare:   vision.DefaultProcessor(64).Process,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(loader.NumBatches(), "batches; the first is")
	for batch, err := range loader.Epoch(context.Background(), 0) {
		if err != nil {
			panic(err)
		}
		for i, caption := range batch.Captions {
			fmt.Println(len(batch.Pixels[i].Data), "values of", caption)
		}
		break
	}

	// Output:
	// 840 batches; the first is
	// 12288 values of woman with veil: light skin tone
	// 12288 values of person mountain biking: medium-dark skin tone
	// 12288 values of face with no good gesture
	// 12288 values of man in tuxedo: light skin tone
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "dot.png"))
	if err != nil {
		panic(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
	list := filepath.Join(dir, "captions.csv")
	if err := os.WriteFile(list, []byte("image,caption\ndot.png,a dot\ndot.png,a black dot\n"), 0o644); err != nil {
		panic(err)
	}

	data, err := datasets.Open(list, datasets.Options{})
	if err != nil {
		panic(err)
	}
	example, err := data.Example(0)
	if err != nil {
		panic(err)
	}
	img, err := example.Image()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %q, %d by %d\n", example.ID, example.Captions, img.Width, img.Height)
	// Output: dot.png: ["a dot" "a black dot"], 3 by 2
}
