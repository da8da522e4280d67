package main

import (
	"fmt"
	"math"
	"slices"
)

// A job is what a worker of either side is told to do, as JSON.
type job struct {
	Kind     string  `json:"kind"`   // model, encode, finetune, generate or gemm; start has no worker
	Folder   string  `json:"folder"` // of the model and of pictures.f32
	Size     int     `json:"size"`   // of the pictures, in pixels
	Threads  int     `json:"threads"`
	Quick    bool    `json:"quick"`    // kind model: tiny sizes
	Batch    int     `json:"batch"`    // pictures: the first of pictures.f32
	Captions [][]int `json:"captions"` // kind finetune: tokens of each picture's caption, without BOS and EOS
	Cached   bool    `json:"cached"`   // kind finetune: the peer too keeps the encoder's output

	NewTokens int     `json:"new_tokens"` // kind generate: of each sequence, none of them EOS
	Beams     int     `json:"beams"`
	Sample    bool    `json:"sample"`
	Score     [][]int `json:"score"` // kind generate, for the peer: sequences whose log-probabilities are wanted

	Products []product `json:"products"` // kind gemm
}

// A product is X·Wᵀ as in torch.nn.Linear, or X·W as in GPT-2's Conv1D, of X [M, K].
type product struct {
	Name   string `json:"name"`
	M      int    `json:"m"`
	N      int    `json:"n"`
	K      int    `json:"k"`
	Linear bool   `json:"linear"`
	Times  int    `json:"times"` // in one run
}

func (p product) flops() float64 { return 2 * float64(p.M) * float64(p.N) * float64(p.K) }

// An answer is what came of running a job once.
type answer struct {
	Seconds []float64 `json:"seconds"` // of each product, or of the whole
	// Values are what both sides must agree on: the loss, some of the
	// encoder's states or of a product, log-probabilities.
	Values []float64 `json:"values,omitempty"`
	Tokens [][]int   `json:"tokens,omitempty"` // generated
	Peak   float64   `json:"peak,omitempty"`   // kind gemm: fused multiply-adds in registers, GF/s
}

// A row of the table.
type row struct {
	name, title string
	unit        string
	work        float64 // in units, of one run; 0: the seconds themselves are shown
	job         job
}

func rowNames() []string {
	var names []string
	for _, r := range rows(false) {
		names = append(names, r.name)
	}
	return names
}

// rows are all rows, in the table's order.
func rows(quick bool) []row {
	newTokens, firstCaption := 24, 16
	if quick {
		newTokens, firstCaption = 6, 4
	}
	vocabulary := sizes(quick).decoder.VocabSize
	generate := func(name, title string, batch, beams int, sample bool) row {
		return row{name, title, "tokens/s", float64(batch * newTokens), job{Kind: "generate", Batch: batch, NewTokens: newTokens, Beams: beams, Sample: sample}}
	}
	finetune := func(name, title string, cached bool) row {
		return row{name, title, "pairs/s", 16, job{Kind: "finetune", Batch: pictures, Captions: captions(vocabulary), Cached: cached}}
	}
	all := []row{
		{"encode", "encode, batch 8", "pictures/s", 8, job{Kind: "encode", Batch: 8}},
		finetune("finetune", "fine-tune cross-attention, batch 16; peer as usually written", false),
		finetune("finetune-cached", "fine-tune cross-attention, batch 16; peer with cached encoder outputs", true),
		generate("greedy-1", "greedy, batch 1", 1, 1, false),
		generate("greedy-8", "greedy, batch 8", 8, 1, false),
		generate("nucleus-8", "nucleus (k 1000, p 0.95), batch 8", 8, 1, true),
		generate("beam-4", "beam of 4, batch 1", 1, 4, false),
		{"start", fmt.Sprintf("start to first caption of %d tokens", firstCaption), "s", 0, job{Kind: "start", NewTokens: firstCaption}},
		{"gemm", "matrix products", "GF/s", 0, job{Kind: "gemm", Products: products(quick)}},
	}
	for i := range all {
		all[i].job.Size = sizes(quick).encoder.ImageSize.Height
		all[i].job.Quick = quick
	}
	return all
}

// captions are 16 of 9 to 19 tokens below the last of the vocabulary, which is EOS.
func captions(vocabulary int) [][]int {
	out := make([][]int, pictures)
	for i := range out {
		for t := range 9 + (7*i)%11 {
			out[i] = append(out[i], (7919*i+104729*t+13)%(vocabulary-1))
		}
	}
	return out
}

// products are those of the model at batch 8 (encoder) and 16 (fine-tuning).
func products(quick bool) []product {
	all := []product{
		{Name: "ViT query", M: 8 * 197, N: 768, K: 768, Linear: true},
		{Name: "ViT MLP up", M: 8 * 197, N: 3072, K: 768, Linear: true},
		{Name: "ViT MLP down", M: 8 * 197, N: 768, K: 3072, Linear: true},
		{Name: "cross-attention keys, values", M: 16 * 197, N: 1536, K: 768},
		{Name: "GPT-2 MLP up", M: 240, N: 3072, K: 768},
		{Name: "LM head", M: 240, N: 50257, K: 768, Linear: true},
	}
	for i := range all {
		p := &all[i]
		if quick {
			p.M, p.N, p.K = p.M/8, p.N/48, p.K/12
		}
		p.Times = 1 + int(8e9/p.flops())
		if quick {
			p.Times = 2
		}
	}
	return all
}

// tolerance of what both sides must agree on, relative to the largest value.
const tolerance = 1e-4

// agree checks that two answers are those to the same question.
func (r row) agree(ours, peer answer) error {
	if len(ours.Tokens) != len(peer.Tokens) {
		return fmt.Errorf("%d sequences, the peer has %d", len(ours.Tokens), len(peer.Tokens))
	}
	for i, tokens := range ours.Tokens {
		if !r.job.Sample && !slices.Equal(tokens, peer.Tokens[i]) {
			return fmt.Errorf("sequence %d is %d, the peer's %d", i, tokens, peer.Tokens[i])
		}
		if len(tokens) != len(peer.Tokens[i]) {
			return fmt.Errorf("sequence %d has %d tokens, the peer's %d", i, len(tokens), len(peer.Tokens[i]))
		}
	}
	if len(ours.Values) != len(peer.Values) {
		return fmt.Errorf("%d values, the peer has %d", len(ours.Values), len(peer.Values))
	}
	largest := 0.0
	for _, v := range peer.Values {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range ours.Values {
		if !(math.Abs(v-peer.Values[i]) <= tolerance*largest) {
			return fmt.Errorf("value %d is %v, the peer's %v", i, v, peer.Values[i])
		}
	}
	return nil
}

// complete checks that an answer has what its kind of row has.
func (r row) complete(a answer) error {
	want := max(1, len(r.job.Products))
	if len(a.Seconds) != want {
		return fmt.Errorf("%d times, want %d", len(a.Seconds), want)
	}
	if len(a.Values) == 0 && len(a.Tokens) == 0 {
		return fmt.Errorf("an answer with nothing to compare")
	}
	for i, tokens := range a.Tokens {
		if len(tokens) != r.job.NewTokens {
			return fmt.Errorf("sequence %d has %d tokens, want %d", i, len(tokens), r.job.NewTokens)
		}
	}
	return nil
}
