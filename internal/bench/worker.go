package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
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
	for runs := 1; ; runs++ {
		a, err := run()
		if err != nil {
			return err
		}
		if runs == j.Uncounted && j.Profile != "" {
			stop, err := profile(j.Profile)
			if err != nil {
				return err
			}
			defer stop()
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

// profile notes where the time goes, in a file that go tool pprof reads.
func profile(name string) (stop func(), err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// prepare loads what a job needs and returns what runs it.
func (j job) prepare(ctx context.Context) (func() (answer, error), error) {
	switch j.Kind {
	case "model":
		return func() (answer, error) { return answer{}, writeModel(j.Folder, j.Shape) }, nil
	case "gemm":
		return j.gemm(), nil
	case "held":
		return j.held(), nil
	}
	m, err := seq2seq.Load(ctx, j.Folder, nil)
	if err != nil {
		return nil, err
	}
	if err := j.setPrecision(m); err != nil {
		return nil, err
	}
	pixels, err := readPixels(filepath.Join(j.Folder, pixelsFile), max(j.Batch, j.Pictures), j.Size)
	if err != nil {
		return nil, err
	}
	switch j.Kind {
	case "encode":
		return encode(m, pixels), nil
	case "finetune":
		return j.finetune(ctx, m, pixels)
	case "epochs":
		return j.epochs(ctx, m, pixels)
	case "generate":
		return j.generate(ctx, m, pixels)
	case throughput:
		return j.throughput(ctx, m, pixels)
	}
	return nil, fmt.Errorf("there is no kind of job %q", j.Kind)
}

// setPrecision does what the commands' --precision does: to caption pictures,
// weights are held in it, and to train, only products are made in it.
func (j job) setPrecision(m *seq2seq.VisionEncoderDecoder) error {
	p, err := layers.ParsePrecision(j.Precision)
	if err != nil {
		return err
	}
	switch j.Kind {
	case "generate", throughput:
		m.Hold(p)
	case "encode":
		m.SetPrecision(p)
		layers.Pack(m.Encoder)
	default:
		m.SetPrecision(p)
	}
	return nil
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
	requests := make(chan struct{})
	data := pairs{keys: requests, size: j.Batch, pixels: pixels, requests: requests, caption: func(_, picture int) []int {
		return sequence(m, j.Captions[picture])
	}}
	t, err := newTrainer(m, data, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	steps, failed := make(chan train.Step), make(chan error, 1)
	t.Hooks.Step = func(s train.Step) error { steps <- s; return nil }
	go func() { failed <- t.Run(ctx) }()
	return func() (a answer, err error) {
		requests <- struct{}{}
		select {
		case s := <-steps:
			return answer{Seconds: []float64{s.Duration.Seconds()}, Values: []float64{s.Loss}}, nil
		case err := <-failed:
			return answer{}, err
		}
	}, nil
}

// epochs makes a whole run, from the same weights each time; the answer is
// the mean time of an epoch, and the losses of the first.
func (j job) epochs(ctx context.Context, m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) (func() (answer, error), error) {
	if err := layers.Trainable(m, "crossattention"); err != nil {
		return nil, err
	}
	var trained, start [][]float32
	for _, p := range layers.Parameters(m) {
		if p.Value.RequiresGrad() {
			w := mat.Data[float32](p.Value)
			trained, start = append(trained, w), append(start, slices.Clone(w))
		}
	}
	each := len(j.Captions) / j.Pictures
	return func() (answer, error) {
		for i, w := range trained {
			copy(w, start[i])
		}
		data := pairs{keys: new(int), size: j.Batch, pixels: pixels, caption: func(epoch, picture int) []int {
			return sequence(m, j.Captions[picture*each+(epoch+picture)%each])
		}}
		t, err := newTrainer(m, data, j.Epochs)
		if err != nil {
			return answer{}, err
		}
		var losses []float64
		t.Hooks.Step = func(s train.Step) error {
			if s.Epoch == 1 {
				losses = append(losses, s.Loss)
			}
			return nil
		}
		a, err := timed(func() error { return t.Run(ctx) })
		a.Seconds[0] /= float64(j.Epochs)
		a.Values = losses
		return a, err
	}, nil
}

// sequence is a caption as the trainer takes it.
func sequence(m *seq2seq.VisionEncoderDecoder, caption []int) []int {
	return slices.Concat([]int{m.Tokenizer.BOS()}, caption, []int{m.Tokenizer.EOS()})
}

// newTrainer trains as the peer does, at a constant rate.
func newTrainer(m *seq2seq.VisionEncoderDecoder, data pairs, epochs int) (*train.Trainer[train.Batch[vision.Pixels]], error) {
	o := train.DefaultOptions()
	o.Epochs, o.LearningRate, o.LRScheduler, o.WarmupSteps = epochs, 1e-5, "constant", 0
	return train.New(train.NewCaptioning(&m.EncoderDecoder, 1<<30), train.Data[train.Batch[vision.Pixels]](data), nil, o)
}

// pairs is a data set of prepared pictures, each with a caption an epoch.
type pairs struct {
	keys     any // tells its pictures from those of another run
	size     int // of a batch
	pixels   []vision.Pixels
	caption  func(epoch, picture int) []int
	requests chan struct{} // an epoch begins with one, if it is not nil
}

func (p pairs) NumBatches() int { return len(p.pixels) / p.size }

func (p pairs) Epoch(_ context.Context, epoch, first int) iter.Seq2[train.Batch[vision.Pixels], error] {
	return func(yield func(train.Batch[vision.Pixels], error) bool) {
		if p.requests != nil {
			<-p.requests
		}
		for n := first; n < p.NumBatches(); n++ {
			var b train.Batch[vision.Pixels]
			for i := range p.size {
				picture := n*p.size + i
				b.Keys = append(b.Keys, train.Key{Data: p.keys, Index: picture})
				b.Inputs = append(b.Inputs, p.pixels[picture])
				b.Of = append(b.Of, i)
				b.Sequences = append(b.Sequences, p.caption(epoch, picture))
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// generate decodes from the encoder's output.
func (j job) generate(ctx context.Context, m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) (func() (answer, error), error) {
	states, err := m.Encode(pixels, nil)
	if err != nil {
		return nil, err
	}
	o := j.options(m)
	if j.Sample {
		o.DoSample, o.TopK, o.TopP, o.Seed = true, 1000, 0.95, 1
	}
	if j.Assisted {
		o.AssistantModel = m.Assistant()
	}
	return func() (answer, error) {
		var sequences []generate.Sequence
		a, err := timed(func() (err error) {
			sequences, err = generate.Generate(ctx, m.Decoder, layers.Source{Packed: states}, o)
			return err
		})
		for _, s := range sequences {
			a.Tokens = append(a.Tokens, s.Tokens)
			if !j.exact() { // the peer chooses others, but can say how probable these are
				a.Values = append(a.Values, logProbability(s, o))
			}
		}
		return a, err
	}, nil
}

func (j job) options(m *seq2seq.VisionEncoderDecoder) generate.Options {
	o := m.Generation
	o.MaxNewTokens, o.MinNewTokens, o.NumBeams = j.NewTokens, j.NewTokens, j.Beams
	return o
}

// logProbability is the sum of the log-probabilities of a sequence's tokens.
func logProbability(s generate.Sequence, o generate.Options) float64 {
	if o.NumBeams > 1 {
		return s.Score * math.Pow(float64(len(s.Tokens)), o.LengthPenalty)
	}
	return s.Score
}

// throughput decodes in each of the job's ways.
func (j job) throughput(ctx context.Context, m *seq2seq.VisionEncoderDecoder, pixels []vision.Pixels) (func() (answer, error), error) {
	sources := map[int]layers.Source{} // by batch
	for _, c := range j.Cells {
		if _, ok := sources[c.Batch]; ok {
			continue
		}
		states, err := m.Encode(pixels[:c.Batch], nil)
		if err != nil {
			return nil, err
		}
		sources[c.Batch] = layers.Source{Packed: states}
	}
	return func() (a answer, err error) {
		for _, c := range j.Cells {
			o := j.options(m)
			o.NumBeams = c.Beams
			var sequences []generate.Sequence
			one, err := timed(func() (err error) {
				sequences, err = generate.Generate(ctx, m.Decoder, sources[c.Batch], o)
				return err
			})
			if err != nil {
				return a, err
			}
			a.Seconds = append(a.Seconds, one.Seconds...)
			for _, s := range sequences {
				a.Tokens = append(a.Tokens, s.Tokens)
			}
		}
		return a, nil
	}, nil
}

func (j job) gemm() func() (answer, error) {
	type operands struct{ x, w, y []float32 }
	var all []operands
	for _, p := range j.Products {
		all = append(all, operands{sawtooth(p.M*p.K, 7), sawtooth(p.K*p.N, 5), make([]float32, p.M*p.N)})
	}
	return func() (answer, error) {
		a := answer{Peaks: peaks(j.Threads)}
		for i, p := range j.Products {
			o, ldw := all[i], p.N
			if p.Linear {
				ldw = p.K
			}
			multiply := kernel.GemmIn[float32](p.Precision == bf16)
			start := time.Now()
			for range p.Times {
				multiply(false, p.Linear, p.M, p.N, p.K, o.x, p.K, o.w, ldw, o.y, p.N, false, nil)
			}
			a.Seconds = append(a.Seconds, time.Since(start).Seconds()/float64(p.Times))
			a.Values = append(a.Values, some(o.y)...)
		}
		return a, nil
	}
}

// held multiplies a few rows with weights as they are held for decoding.
func (j job) held() func() (answer, error) {
	formats := map[string]kernel.HeldFormat{fp32: kernel.HeldInt24, bf16: kernel.HeldBFloat12, int8s: kernel.HeldInt8}
	var all []*kernel.Held
	for _, p := range j.Products {
		all = append(all, kernel.Hold(formats[p.Precision], p.Linear, p.K, p.N, sawtooth(p.K*p.N, 5), p.K))
	}
	return func() (answer, error) {
		a := answer{Peaks: peaks(j.Threads)}
		for i, p := range j.Products {
			x, y := sawtooth(p.M*p.K, 7), make([]float32, p.M*p.N)
			start := time.Now()
			for range p.Times {
				all[i].Multiply(p.M, x, p.K, y, p.N, nil)
			}
			a.Seconds = append(a.Seconds, time.Since(start).Seconds()/float64(p.Times))
			a.Values = append(a.Values, some(y)...)
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
