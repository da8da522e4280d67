package main

import "fmt"

// A row of the table.
type row struct {
	name, title string
	unit        string
	work        float64 // in units, of one run; 0: the seconds themselves are shown
	goal        float64 // how many times as fast as the peer we mean to be; 0: nothing is meant
	repeats     int     // if fewer than are asked for; 0: no
	job         job
}

// Kinds of rows with tables of their own.
const (
	growth     = "growth"
	throughput = "throughput"
)

func rowNames() []string {
	var names []string
	for _, r := range rows(false) {
		names = append(names, r.name)
	}
	return names
}

// Sizes of the rows.
const (
	encodeBatch = 8
	stepBatch   = 16
	runPictures = 32 // of the whole run, with
	runCaptions = 5  // captions each, for
	runEpochs   = 12 // as is finetune's default
)

// rows are all rows, in the table's order.
func rows(quick bool) []row {
	newTokens, firstCaption := 24, 16
	if quick {
		newTokens, firstCaption = 6, 4
	}
	vocabulary := modelShape(quick).decoder().VocabSize
	encode := func(name, title, precision, engine string, goal float64) row {
		return row{name: name, title: title, unit: "pictures/s", work: encodeBatch, goal: goal,
			job: job{Kind: "encode", Batch: encodeBatch, Precision: precision, Engine: engine}}
	}
	finetune := func(name, title, precision string, cached bool, goal float64) row {
		return row{name: name, title: title, unit: "pairs/s", work: stepBatch, goal: goal,
			job: job{Kind: "finetune", Batch: stepBatch, Captions: captions(stepBatch, 9, 19, vocabulary), Precision: precision, Cached: cached}}
	}
	generate := func(name, title, precision string, batch, beams int, sample bool, goal float64) row {
		return row{name: name, title: title, unit: "tokens/s", work: float64(batch * newTokens), goal: goal,
			job: job{Kind: "generate", Batch: batch, NewTokens: newTokens, Beams: beams, Sample: sample, Precision: precision}}
	}
	assisted := func(r row) row {
		r.job.Assisted = true
		return r
	}
	all := []row{
		encode("encode", "encode, batch 8", fp32, "transformers", 2),
		encode("encode-openvino", "encode, batch 8; peer OpenVINO", fp32, "openvino", 1.3),
		encode("encode-onnxruntime", "encode, batch 8; peer ONNX Runtime", fp32, "onnxruntime", 0),
		encode("encode-bf16", "encode, batch 8, bfloat16", bf16, "transformers", 1.7),
		encode("encode-bf16-openvino", "encode, batch 8, bfloat16; peer OpenVINO", bf16, "openvino", 1.3),
		finetune("finetune", "fine-tune, batch 16; peer as usually written", fp32, false, 0),
		finetune("finetune-cached", "fine-tune, batch 16; peer with cached encoder outputs", fp32, true, 3),
		finetune("finetune-cached-bf16", "fine-tune, batch 16, bfloat16; peer with cached encoder outputs", bf16, true, 3),
		{name: "epoch", title: fmt.Sprintf("fine-tune, whole epoch (mean of %d); peer as usually written", runEpochs),
			unit: "pairs/s", work: runPictures, goal: 10, repeats: 3,
			job: job{Kind: "epochs", Batch: stepBatch, Epochs: runEpochs, Pictures: runPictures,
				Captions: captions(runPictures*runCaptions, 9, 19, vocabulary), Precision: fp32}},
		assisted(generate("greedy-1", "greedy, batch 1", fp32, 1, 1, false, 3)),
		assisted(generate("greedy-1-bf16", "greedy, batch 1, bfloat16", bf16, 1, 1, false, 3)),
		generate("greedy-1-plain", "greedy, batch 1; ours without an assistant", fp32, 1, 1, false, 0),
		generate("greedy-1-bf16-plain", "greedy, batch 1, bfloat16; ours without an assistant", bf16, 1, 1, false, 0),
		generate("greedy-1-int8", "greedy, batch 1, int8; peer in float32", int8s, 1, 1, false, 8),
		generate("greedy-8", "greedy, batch 8", fp32, 8, 1, false, 0),
		generate("nucleus-8", "nucleus (top-k 1000, top-p 0.95), batch 8", fp32, 8, 1, true, 3),
		generate("nucleus-8-bf16", "nucleus (top-k 1000, top-p 0.95), batch 8, bfloat16", bf16, 8, 1, true, 3),
		generate("beam-4", "beam of 4, batch 1", fp32, 1, 4, false, 4),
		generate("beam-4-bf16", "beam of 4, batch 1, bfloat16", bf16, 1, 4, false, 4),
		{name: "start", title: fmt.Sprintf("start to first caption of %d tokens", firstCaption), unit: "s", goal: 8,
			job: job{Kind: "start", NewTokens: firstCaption, Precision: fp32}},
		{name: "gemm", title: "matrix products", job: job{Kind: "gemm", Products: products(quick, fp32), Precision: fp32}},
		{name: "gemm-bf16", title: "matrix products, bfloat16", job: job{Kind: "gemm", Products: products(quick, bf16), Precision: bf16}},
		{name: "held", title: "products of a row", job: job{Kind: "held", Products: heldProducts(quick), Precision: int8s}},
		{name: throughput, title: "decoding by batch and beams", repeats: 2,
			job: job{Kind: throughput, Batch: 16, NewTokens: newTokens, Cells: cells(quick), Precision: fp32}},
		{name: growth, title: "growth of time and memory", repeats: 3, job: job{Kind: growth}},
	}
	for i := range all {
		all[i].job.Size = modelShape(quick).Picture
		if all[i].job.Batch == 0 {
			all[i].job.Batch = encodeBatch
		}
	}
	return all
}

// captions are n of so many tokens below the last of the vocabulary, which is EOS.
func captions(n, shortest, longest, vocabulary int) [][]int {
	out := make([][]int, n)
	for i := range out {
		for t := range shortest + (7*i)%(longest-shortest+1) {
			out[i] = append(out[i], (7919*i+104729*t+13)%(vocabulary-1))
		}
	}
	return out
}

// products are those of the model at batch 8 (encoder) and 16 (fine-tuning).
func products(quick bool, precision string) []product {
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
		p.Precision = precision
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

// heldProducts are the largest product of a step of decoding, with the
// weight as it is held for that.
func heldProducts(quick bool) []product {
	var all []product
	for _, m := range []int{1, 8} {
		for _, precision := range []string{fp32, bf16, int8s} {
			p := product{Name: "LM head", M: m, N: 50257, K: 768, Linear: true, Precision: precision, Times: 5}
			if quick {
				p.N, p.K = 600, 64
			}
			all = append(all, p)
		}
	}
	return all
}

// cells are all pairs of these batches and beams.
func cells(quick bool) []cell {
	batches, beams := []int{1, 4, 8, 16}, []int{1, 2, 4, 8}
	if quick {
		batches, beams = []int{1, 4}, []int{1, 2}
	}
	var all []cell
	for _, batch := range batches {
		for _, n := range beams {
			all = append(all, cell{batch, n})
		}
	}
	return all
}
