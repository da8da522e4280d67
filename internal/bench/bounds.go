package main

import (
	"fmt"
	"maps"
	"strings"
)

// peaks are what the machine does at best, from the rows that measured it.
func (t table) peaks() map[string]float64 {
	all := map[string]float64{}
	for _, m := range t.Rows {
		maps.Copy(all, m.ours.peaks)
	}
	return all
}

// bounds is a table of what the machine allows, for the rows whose least work
// does not depend on how it is done: encoding is bound by arithmetic, and
// decoding a few captions by the reading of weights.
func (t table) bounds(b *strings.Builder) {
	peaks := t.peaks()
	head := "\n| work | | at most | bound by | ours, of that |\n| --- | --- | --: | --- | --: |\n"
	for _, m := range t.compared() {
		most, by := m.row.bound(modelShape(t.Quick), peaks)
		if ours := m.ours.median(0); most > 0 && ours > 0 {
			fmt.Fprintf(b, "%s| %s | %s | %s | %s | %s |\n", head, m.row.title, m.row.unit, number(most), by, ratio(m.row.work/ours, most))
			head = ""
		}
	}
}

// bound is the rate that a row cannot exceed; 0 if that is not known.
func (r row) bound(s shape, peaks map[string]float64) (most float64, by string) {
	switch {
	case r.job.Kind == "encode" && r.job.Engine == "transformers":
		peak, by := fastest(r.job.Precision, peaks)
		return peak * 1e9 / s.pictureFlops(), by
	case r.job.Kind == "generate" && !r.job.Assisted:
		// A step reads all weights once, and the keys and values of each picture.
		bytes := s.decoderWeights()*bytesOf[r.job.Precision] + float64(r.job.Batch)*s.crossValues()*4
		return peaks[memoryPeak] * 1e9 * float64(r.job.Batch) / bytes, fmt.Sprintf("reading %.0f MB a step", bytes/1e6)
	}
	return 0, ""
}

// bytesOf are those of a weight as it is held for decoding: in float32 three, in bfloat16 half as many, and a scale for 64.
var bytesOf = map[string]float64{fp32: 3 + 4.0/64, bf16: 1.5 + 4.0/64, int8s: 1}

// fastest is the best rate of a precision's operations. A product of float32
// takes eight of int8 where these are on tiles, and those of bfloat16 are made
// of int16 where these are much faster; see internal/kernel.
func fastest(precision string, peaks map[string]float64) (best float64, by string) {
	best, by = peaks[float32Peak], "float32"
	if precision == fp32 {
		if digits := peaks[int8Peak] / 8; digits > best {
			return digits, "int8 on tiles, eight products for one"
		}
		return best, by
	}
	for _, name := range []string{bfloat16Peak, tilesPeak} {
		if peaks[name] > best {
			best, by = peaks[name], name
		}
	}
	if p := peaks[int16Peak]; p > 1.25*best {
		return p, int16Peak
	}
	return best, by
}

// pictureFlops are the operations of encoding a picture.
func (s shape) pictureFlops() float64 {
	c := s.encoder()
	side := s.Picture / c.PatchSize.Height
	patches := float64(side * side)
	tokens, dim, inner := patches+1, float64(c.HiddenSize), float64(c.IntermediateSize)
	patch := float64(3 * c.PatchSize.Height * c.PatchSize.Width)
	layer := tokens*(4*dim*dim+2*dim*inner) + 2*tokens*tokens*dim
	return 2 * (patches*patch*dim + float64(c.NumHiddenLayers)*layer)
}

// decoderWeights are those that a step of decoding reads: the two projections
// that the cross-attention's keys and values come of are not among them.
func (s shape) decoderWeights() float64 {
	c := s.decoder()
	dim := float64(c.Dim)
	const attention, cross, mlp = 4, 2, 8
	return float64(c.NumLayers)*(attention+cross+mlp)*dim*dim + float64(c.VocabSize)*dim
}

// crossValues are the elements of a picture's keys and values.
func (s shape) crossValues() float64 {
	e, d := s.encoder(), s.decoder()
	side := s.Picture / e.PatchSize.Height
	return float64(side*side+1) * 2 * float64(d.Dim) * float64(d.NumLayers)
}
