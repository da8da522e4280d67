package main

import (
	"fmt"
	"math"
	"slices"
)

// A job is what a worker of either side is told to do, as JSON.
type job struct {
	Kind      string  `json:"kind"`   // model, encode, finetune, epochs, generate, throughput, gemm or held; start has no worker
	Folder    string  `json:"folder"` // of the model and of pictures.f32
	Size      int     `json:"size"`   // of the pictures, in pixels
	Threads   int     `json:"threads"`
	Precision string  `json:"precision"` // fp32, bf16 or int8
	Engine    string  `json:"engine"`    // kind encode, for the peer: transformers, openvino or onnxruntime
	Shape     shape   `json:"shape"`     // kind model
	Batch     int     `json:"batch"`     // pictures: the first of pictures.f32
	Captions  [][]int `json:"captions"`  // kind finetune: tokens of each picture's caption, without BOS and EOS
	Cached    bool    `json:"cached"`    // kind finetune: the peer too keeps the encoder's output

	Epochs   int `json:"epochs"`   // kind epochs: of a run
	Pictures int `json:"pictures"` // kind epochs: of which each has its share of Captions

	NewTokens int     `json:"new_tokens"` // kind generate and throughput: of each sequence, none of them EOS
	Beams     int     `json:"beams"`
	Sample    bool    `json:"sample"`
	Assisted  bool    `json:"assisted"` // for ours: with the model's own assistant, as commands caption a single picture
	Score     [][]int `json:"score"`    // kind generate, for the peer: sequences whose log-probabilities are wanted
	Cells     []cell  `json:"cells"`    // kind throughput

	Products []product `json:"products"` // kind gemm and held

	Profile   string `json:"profile"`   // for ours: file for a CPU profile of the runs that count
	Uncounted int    `json:"uncounted"` // runs before them
}

// A cell is a way to decode: so many pictures, each with so many beams.
type cell struct {
	Batch int `json:"batch"`
	Beams int `json:"beams"`
}

// A product is X·Wᵀ as in torch.nn.Linear, or X·W as in GPT-2's Conv1D, of X [M, K].
type product struct {
	Name      string `json:"name"`
	M         int    `json:"m"`
	N         int    `json:"n"`
	K         int    `json:"k"`
	Linear    bool   `json:"linear"`
	Precision string `json:"precision"`
	Times     int    `json:"times"` // in one run
}

func (p product) flops() float64 { return 2 * float64(p.M) * float64(p.N) * float64(p.K) }

// bytes of the weight, as it is held for decoding in its precision.
func (p product) bytes() float64 {
	return float64(p.N) * float64(p.K) * bytesOf[p.Precision]
}

// An answer is what came of running a job once.
type answer struct {
	Seconds []float64 `json:"seconds"` // of each product or cell, or of the whole
	// Values are what both sides must agree on: the loss, some of the
	// encoder's states or of a product, log-probabilities.
	Values []float64          `json:"values,omitempty"`
	Tokens [][]int            `json:"tokens,omitempty"` // generated
	Peaks  map[string]float64 `json:"peaks,omitempty"`  // kind gemm and held: of the machine
}

// Precisions, with the names of the commands' --precision.
const (
	fp32  = "fp32"
	bf16  = "bf16"
	int8s = "int8"
)

// tolerance of what both sides must agree on, relative to the largest value:
// encoder states, losses, products, log-probabilities of sequences.
var tolerance = map[string]float64{fp32: 1e-4, bf16: 0.02, int8s: 0.05}

// parts is the number of times in an answer.
func (j job) parts() int { return max(1, len(j.Products), len(j.Cells)) }

// exact tells that both sides must choose the same tokens.
func (j job) exact() bool { return !j.Sample && j.Precision == fp32 }

// agree checks that two answers are those to the same question.
func (j job) agree(ours, peer answer) error {
	if len(ours.Tokens) != len(peer.Tokens) {
		return fmt.Errorf("%d sequences, the peer has %d", len(ours.Tokens), len(peer.Tokens))
	}
	for i, tokens := range ours.Tokens {
		if j.exact() && !slices.Equal(tokens, peer.Tokens[i]) {
			return fmt.Errorf("sequence %d is %d, the peer's %d", i, tokens, peer.Tokens[i])
		}
		if len(tokens) != len(peer.Tokens[i]) {
			return fmt.Errorf("sequence %d has %d tokens, the peer's %d", i, len(tokens), len(peer.Tokens[i]))
		}
	}
	if len(ours.Values) != len(peer.Values) {
		return fmt.Errorf("%d values, the peer has %d", len(ours.Values), len(peer.Values))
	}
	if off, i := distance(ours, peer); !(off <= tolerance[j.Precision]) {
		return fmt.Errorf("value %d is %v, the peer's %v", i, ours.Values[i], peer.Values[i])
	}
	return nil
}

// distance is the largest difference of two answers' values, relative to the
// largest value of the second, and where it is; NaN if there is one.
func distance(a, b answer) (off float64, at int) {
	largest := 0.0
	for _, v := range b.Values {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range a.Values {
		d := math.Abs(v - b.Values[i])
		if d > 0 {
			d /= largest
		}
		if d > off || math.IsNaN(d) {
			off, at = d, i
		}
		if math.IsNaN(d) {
			break
		}
	}
	return off, at
}

// complete checks that an answer has what its kind of job has.
func (j job) complete(a answer) error {
	if want := j.parts(); len(a.Seconds) != want {
		return fmt.Errorf("%d times, want %d", len(a.Seconds), want)
	}
	if len(a.Values) == 0 && len(a.Tokens) == 0 {
		return fmt.Errorf("an answer with nothing to compare")
	}
	for i, tokens := range a.Tokens {
		if len(tokens) != j.NewTokens {
			return fmt.Errorf("sequence %d has %d tokens, want %d", i, len(tokens), j.NewTokens)
		}
	}
	return nil
}
