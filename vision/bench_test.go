package vision_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// photo returns a 640x480 JPEG file with smooth and with noisy parts.
func photo(b *testing.B) []byte {
	b.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for i := range 640 * 480 {
		x, y := float64(i%640), float64(i/640)
		v := 128 + 60*math.Sin(x/40) + 60*math.Cos(y/30+x/90) + float64(i*7919%31-15)
		img.SetRGBA(i%640, i/640, color.RGBA{uint8(v / 1.1), uint8(255 - v), uint8(v / 2), 255})
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

func BenchmarkDecodeJPEG640x480(b *testing.B) {
	data := photo(b)
	b.SetBytes(3 * 640 * 480)
	for b.Loop() {
		if _, err := vision.Decode(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProcess640x480To224(b *testing.B) {
	img, err := vision.Decode(bytes.NewReader(photo(b)))
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range []vision.Filter{vision.Bilinear, vision.Bicubic} {
		b.Run(f.String(), func(b *testing.B) {
			p := vision.DefaultProcessor(224)
			p.Resample = f
			b.SetBytes(3 * 640 * 480)
			for b.Loop() {
				if _, err := p.Process(img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
