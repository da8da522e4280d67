package generate

import (
	"fmt"

	"github.com/nlpodyssey/cybertron/pkg/generationutils"
	"github.com/nlpodyssey/spago/mat"
)

// Cybertron makes a processor of one of cybertron's, which takes and returns
// the scores as a vector of float32 [vocabulary]. It panics if the result has
// another size.
func Cybertron(p generationutils.ScoreProcessor) Processor {
	return ProcessorFunc(func(scores []float32, _ []int) {
		in := mat.NewDense[float32](mat.WithBacking(append([]float32(nil), scores...)))
		out := mat.Data[float32](p(in))
		if len(out) != len(scores) {
			panic(fmt.Sprintf("generate: cybertron's processor makes %d scores of %d", len(out), len(scores)))
		}
		copy(scores, out)
	})
}
