package evaluate

import (
	"cmp"
	"slices"
)

// Worst returns the n pictures with the worst captions, the worst first: by CIDEr, then by ROUGE-L, and then by how improbable
// the model finds their own captions.
func (r *Result) Worst(n int) []Picture {
	ranked := slices.Clone(r.Pictures)
	slices.SortStableFunc(ranked, func(a, b Picture) int {
		return cmp.Or(cmp.Compare(a.Scores.CIDEr, b.Scores.CIDEr), cmp.Compare(a.Scores.ROUGEL, b.Scores.ROUGEL), -cmp.Compare(nll(a), nll(b)))
	})
	return ranked[:min(n, len(ranked))]
}

// Best returns the n pictures with the best captions, the best first.
func (r *Result) Best(n int) []Picture {
	ranked := r.Worst(len(r.Pictures))
	slices.Reverse(ranked)
	return ranked[:min(n, len(ranked))]
}

func nll(p Picture) float64 {
	if p.NLLMean == nil {
		return 0
	}
	return *p.NLLMean
}
