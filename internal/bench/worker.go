package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// work is our side: it reads a job, runs it once, and once more for each
// further JSON value, and writes a line with the answer each time. peer.py is
// the other side.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	var j job
	if err := requests.Decode(&j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	kernel.SetThreads(j.Threads)
	run, err := j.prepare(ctx)
	if err != nil {
		return err
	}
	for {
		a, err := run()
		if err != nil {
			return err
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
		var more struct{}
		if err := requests.Decode(&more); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// prepare loads what a job needs and returns what runs it.
func (j job) prepare(ctx context.Context) (func() (answer, error), error) {
	switch j.Kind {
	case "model":
		return func() (answer, error) { return answer{}, writeModel(j.Folder, j.Quick) }, nil
	case "gemm":
		return j.gemm(), nil
	}
	m, err := seq2seq.Load(ctx, j.Folder, nil)
	if err != nil {
		return nil, err
	}
	pixels, err := readPixels(filepath.Join(j.Folder, pixelsFile), j.Batch, j.Size)
	if err != nil {
		return nil, err
	}
	switch j.Kind {
	case "encode":
		return encode(m, pixels), nil
	case "finetune":
		return j.finetune(ctx, m, pixels)
	case "generate":
		return j.generate(ctx, m, pixels)
	}
	return nil, fmt.Errorf("there is no kind of job %q", j.Kind)
}

// timed is the answer with the seconds that f takes.
func timed(f func() error) (answer, error) {
	start := time.Now()
	err := f()
	return answer{Seconds: []float64{time.Since(start).Seconds()}}, err
}

func encode(m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) func() (answer, error) {
	return func() (answer, error) {
		var states layers.Packed
		a, err := timed(func() (err error) {
			states, err = m.Encode(pixels, nil)
			return err
		})
		if err == nil {
			a.Values = some(mat.Data[float32](states.States.Value()))
		}
		return a, err
	}
}

// some is every 997th element: peer.py takes the same.
func some(x []float32) []float64 {
	var out []float64
	for i := 0; i < len(x); i += 997 {
		out = append(out, float64(x[i]))
	}
	return out
}

// finetune makes a step of the trainer at a time; the encoder's output is
// kept, as it is for every user who freezes the encoder.
func (j job) finetune(ctx context.Context, m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) (func() (answer, error), error) {
	if err := layers.Trainable(m, "crossattention"); err != nil {
		return nil, err
	}
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.LRScheduler, o.WarmupSteps = math.MaxInt32, 1e-5, "constant", 0
	data := repeated{requests: make(chan struct{})}
	for i, p := range pixels {
		data.batch.Keys = append(data.batch.Keys, train.Key{Data: data.requests, Index: i})
		data.batch.Inputs = append(data.batch.Inputs, p)
		data.batch.Of = append(data.batch.Of, i)
		data.batch.Sequences = append(data.batch.Sequences, slices.Concat([]int{m.Tokenizer.BOS()}, j.Captions[i], []int{m.Tokenizer.EOS()}))
	}
	t, err := train.New(train.NewCaptioning(&m.EncoderDecoder, 1<<30), train.Data[train.Batch[vision.Pixels]](data), nil, o)
	if err != nil {
		return nil, err
	}
	steps, failed := make(chan train.Step), make(chan error, 1)
	t.Hooks.Step = func(s train.Step) error { steps <- s; return nil }
	go func() { failed <- t.Run(ctx) }()
	return func() (a answer, err error) {
		data.requests <- struct{}{}
		select {
		case s := <-steps:
			return answer{Seconds: []float64{s.Duration.Seconds()}, Values: []float64{s.Loss}}, nil
		case err := <-failed:
			return answer{}, err
		}
	}, nil
}

// repeated is a data set of one batch, which waits for a request each time.
type repeated struct {
	batch    train.Batch[vision.Pixels]
	requests chan struct{}
}

func (r repeated) NumBatches() int { return 1 }

func (r repeated) Epoch(context.Context, int, int) iter.Seq2[train.Batch[vision.Pixels], error] {
	return func(yield func(train.Batch[vision.Pixels], error) bool) {
		<-r.requests
		yield(r.batch, nil)
	}
}

// generate decodes from the encoder's output.
func (j job) generate(ctx context.Context, m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) (func() (answer, error), error) {
	states, err := m.Encode(pixels, nil)
	if err != nil {
		return nil, err
	}
	o := m.Generation
	o.MaxNewTokens, o.MinNewTokens, o.NumBeams = j.NewTokens, j.NewTokens, j.Beams
	if j.Sample {
		o.DoSample, o.TopK, o.TopP, o.Seed = true, 1000, 0.95, 1
	}
	return func() (answer, error) {
		var sequences []generate.Sequence
		a, err := timed(func() (err error) {
			sequences, err = generate.Generate(ctx, m.Decoder, layers.Source{Packed: states}, o)
			return err
		})
		for _, s := range sequences {
			a.Tokens = append(a.Tokens, s.Tokens)
			if j.Sample { // the peer draws others, but can say how probable these are
				a.Values = append(a.Values, s.Score)
			}
		}
		return a, err
	}, nil
}

func (j job) gemm() func() (answer, error) {
	type operands struct{ x, w, y []float32 }
	var all []operands
	for _, p := range j.Products {
		all = append(all, operands{sawtooth(p.M*p.K, 7), sawtooth(p.K*p.N, 5), make([]float32, p.M*p.N)})
	}
	return func() (answer, error) {
		a := answer{Peak: peak(j.Threads)}
		for i, p := range j.Products {
			o, ldw := all[i], p.N
			if p.Linear {
				ldw = p.K
			}
			start := time.Now()
			for range p.Times {
				kernel.Gemm(false, p.Linear, p.M, p.N, p.K, o.x, p.K, o.w, ldw, o.y, p.N, false, nil)
			}
			a.Seconds = append(a.Seconds, time.Since(start).Seconds()/float64(p.Times))
			a.Values = append(a.Values, some(o.y)...)
		}
		return a, nil
	}
}

// sawtooth is 0, 1, … period-1, 0, … less their middle: its products are exact.
func sawtooth(n, period int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%period - period/2)
	}
	return x
}

// peak is what the machine's fused multiply-add does at best, without
// touching memory, in GF/s: the best of some short loops. 0 if there is no
// loop for its instructions.
func peak(threads int) (best float64) {
	const rounds = 1 << 21
	loop, flops := fusedMultiplyAdds(kernel.CPU())
	if loop == nil {
		return 0
	}
	for range 10 {
		start := time.Now()
		kernel.Parallel(threads, 1, func(lo, hi int) { loop((hi - lo) * rounds) })
		best = max(best, float64(threads)*rounds*flops/time.Since(start).Seconds()/1e9)
	}
	return best
}
