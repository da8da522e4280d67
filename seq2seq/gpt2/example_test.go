package gpt2_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
)

// A language model gets a cross-attention that is not Hugging Face's. Once it
// is trained, the layer scale can be folded into other weights.
func ExampleWithCrossAttention() {
	decoder, err := gpt2.Load(sample.FS(sample.Decoder), gpt2.WithCrossAttention(layers.NewRandom(1), gpt2.QKNorm, gpt2.LayerScale))
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range layers.Parameters(decoder) {
		if strings.Contains(p.Name, "h.0.crossattention.") {
			fmt.Println(p.Name, p.Shape)
		}
	}
	fmt.Println(decoder.Config.CrossAttentionType, "→", decoder.Folded().(*gpt2.Model).Config.CrossAttentionType)
	// Output:
	// transformer.h.0.crossattention.c_attn.weight [192 384]
	// transformer.h.0.crossattention.c_attn.bias [384]
	// transformer.h.0.crossattention.q_attn.weight [192 192]
	// transformer.h.0.crossattention.q_attn.bias [192]
	// transformer.h.0.crossattention.c_proj.weight [192 192]
	// transformer.h.0.crossattention.c_proj.bias [192]
	// transformer.h.0.crossattention.qk_gain [6]
	// transformer.h.0.crossattention.layer_scale [192]
	// qk_norm+layer_scale → qk_norm
}
