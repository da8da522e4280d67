package train

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// arithmetic is to be raised when an encoder's results change by as much as a
// bit while its weights and its configuration stay as they are.
const arithmetic = 4

// fingerprint is a digest of all that an encoder's output depends on besides
// its input: its kind, configuration and weights, the precision of its
// products, and the version and the kernels of the program.
func fingerprint(encoder any) (sum [32]byte, err error) {
	h := sha256.New()
	fmt.Fprintf(h, "arithmetic %d, kernels %s, encoder %T, precisions %v\n", arithmetic, kernel.CPU(), encoder, layers.Precisions(encoder))
	if info, ok := debug.ReadBuildInfo(); ok {
		fmt.Fprintf(h, "%s %s\n", info.Main.Path, info.Main.Version)
		for _, d := range info.Deps {
			fmt.Fprintf(h, "%s %s\n", d.Path, d.Version)
		}
	}
	if c, ok := encoder.(interface{ ModelConfig() any }); ok {
		if err := json.NewEncoder(h).Encode(c.ModelConfig()); err != nil {
			return sum, err
		}
	}
	for _, p := range layers.Parameters(encoder) {
		fmt.Fprintf(h, "%s %v\n", p.Name, p.Shape)
		writeFloats(h, mat.Data[float32](p.Value.Value()))
	}
	weights.Release(encoder) // they are needed again only for what is not kept
	h.Sum(sum[:0])
	return sum, nil
}

// writeFloats writes float32 numbers, little-endian.
func writeFloats(w io.Writer, x []float32) {
	b := make([]byte, 0, 1<<14)
	for part := range slices.Chunk(x, cap(b)/4) {
		b = b[:0]
		for _, v := range part {
			u := math.Float32bits(v)
			b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
		}
		_, _ = w.Write(b) // a digest takes everything
	}
}
