package vit

import (
	"fmt"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// BenchmarkEncode is ViT-B/16 at 224 pixels; pictures/s tells batches apart.
func BenchmarkEncode(b *testing.B) {
	m, err := New[float32](DefaultConfig(), layers.NewRandom(1))
	if err != nil {
		b.Fatal(err)
	}
	layers.Freeze(m)
	for _, p := range []layers.Precision{layers.Float32, layers.BFloat16} {
		layers.SetPrecision(m, p)
		for _, batch := range []int{1, 2, 4, 8, 32} {
			b.Run(fmt.Sprintf("%v/%d", p, batch), func(b *testing.B) {
				pictures := make([]vision.Pixels, batch)
				for i := range pictures {
					pictures[i] = vision.Pixels{Height: 224, Width: 224, Data: reference.Fill("pixels", 3*224*224, 1, 1)}
				}
				for b.Loop() {
					if _, err := m.Encode(pictures, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "pictures/s")
			})
		}
	}
}
