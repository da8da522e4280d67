package metrics_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
)

func ExampleEvaluate() {
	scores, each, err := metrics.Evaluate([]metrics.Picture{
		{Candidate: "a zebra stands in the grass", References: []string{"A zebra standing in tall grass.", "A zebra grazes."}},
		{Candidate: "two people ride bikes", References: []string{"Two people riding bikes.", "People on bikes"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("BLEU-1 %.3f, ROUGE-L %.3f, CIDEr %.3f\n", scores.BLEU[0], scores.ROUGEL, scores.CIDEr)
	fmt.Printf("CIDEr of each: %.3f, %.3f\n", each[0].CIDEr, each[1].CIDEr)
	// Output:
	// BLEU-1 0.700, ROUGE-L 0.708, CIDEr 2.009
	// CIDEr of each: 1.952, 2.066
}

func ExampleCharacterErrorRate() {
	rate, err := metrics.CharacterErrorRate([]string{"Invoice 4O1", "12 May"}, []string{"Invoice 401", "12 May"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", rate)
	// Output: 0.059
}
