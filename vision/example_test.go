package vision_test

import (
	"fmt"
	"os"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func ExampleProcessor_Process() {
	img, err := vision.Open("testdata/images/444-53x41.jpg")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pixels, err := vision.DefaultProcessor(224).Process(img)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(img.Width, img.Height, img.Pix[:3])
	fmt.Println(pixels.Height, pixels.Width, len(pixels.Data), pixels.Data[0])
	// Output:
	// 53 41 [133 128 134]
	// 224 224 150528 0.043137312
}

func ExampleLoadProcessor() {
	model := fstest.MapFS{vision.ProcessorFile: {Data: []byte(`{
		"feature_extractor_type": "ViTFeatureExtractor",
		"image_mean": [0.5, 0.5, 0.5],
		"image_std": [0.5, 0.5, 0.5],
		"resample": 3,
		"size": 384
	}`)}} // or os.DirFS("model")
	p, err := vision.LoadProcessor(model)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Size.Height, p.Size.Width, p.Resample, p.RescaleFactor)
	// Output: 384 384 bicubic 0.00392156862745098
}
