package train_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
)

// averaged is the run of staged with averages of its weights.
func averaged(t *testing.T, data string, decay float64, texts ...string) (*seq2seq.VisionEncoderDecoder, *trainer) {
	t.Helper()
	m, tr, err := stagedWith(t, data, func(o *train.Options) { o.EMADecay = decay }, texts...)
	must(t, err)
	return m, tr
}

// recurrence is the average as its definition says, in float64.
type recurrence struct {
	means   map[string][]float64
	updates map[string]int
}

func (r *recurrence) follow(decay float64, weights map[string][]float32) {
	for name, mean := range r.means {
		n := float64(r.updates[name])
		keep := math.Min(decay, (1+n)/(10+n))
		for i, w := range weights[name] {
			mean[i] = keep*mean[i] + (1-keep)*float64(w)
		}
		r.updates[name]++
	}
}

// begin has means of those weights that are trained; those that were already
// go on.
func (r *recurrence) begin(m any) {
	old := *r
	*r = recurrence{map[string][]float64{}, map[string]int{}}
	weights := weightsOf(m)
	for _, p := range layers.Parameters(m) {
		switch {
		case !p.Value.RequiresGrad():
		case old.means[p.Name] != nil:
			r.means[p.Name], r.updates[p.Name] = old.means[p.Name], old.updates[p.Name]
		default:
			for _, w := range weights[p.Name] {
				r.means[p.Name] = append(r.means[p.Name], float64(w))
			}
		}
	}
}

func TestTheAverageOfTheWeightsFollowsItsDefinition(t *testing.T) {
	for _, decay := range []float64{0.5, 0.9, 0.9999} {
		m, tr := averaged(t, tiny.Data(t, 13), decay, threeStages...)
		var want recurrence
		check := func(when string) {
			t.Helper()
			own := weightsOf(m)
			moved := false
			must(t, tr.Averaged(func() error {
				for name, got := range weightsOf(m) {
					mean, trained := want.means[name]
					if !trained && !sameBits(got, own[name]) {
						t.Errorf("decay %v, %s: %s is not trained and has an average", decay, when, name)
					}
					for i, w := range mean {
						if d := math.Abs(float64(got[i]) - w); d > 1e-6*(1+math.Abs(w)) {
							t.Fatalf("decay %v, %s: %s[%d] is %v, want %v", decay, when, name, i, got[i], w)
						}
					}
					moved = moved || trained && !sameBits(got, own[name])
				}
				return nil
			}))
			if !moved {
				t.Errorf("decay %v, %s: the averages are the weights", decay, when)
			}
			for name, got := range weightsOf(m) {
				if !sameBits(got, own[name]) {
					t.Errorf("decay %v, %s: afterwards %s is another", decay, when, name)
				}
			}
		}
		tr.Hooks.Stage = func(train.StageStart) error { want.begin(m); return nil }
		tr.Hooks.Step = func(s train.Step) error {
			want.follow(decay, weightsOf(m))
			check(fmt.Sprintf("step %d", s.Step))
			return nil
		}
		mustRun(t, tr)
	}
}

func TestTheAveragesAreValidatedAndSeenByTheHookOfAnEpoch(t *testing.T) {
	m, tr := averaged(t, tiny.Data(t, 13), 0.9, "epochs=2")
	tr.Hooks.Epoch = func(e train.Epoch) error {
		inHook := weightsOf(m)
		must(t, tr.Averaged(func() error {
			for name, w := range weightsOf(m) {
				if !sameBits(w, inHook[name]) {
					t.Errorf("epoch %d: %s is averaged twice", e.Epoch, name)
				}
			}
			return nil
		}))
		loss, err := tr.Validate(context.Background())
		if err != nil || loss != e.ValLoss {
			t.Errorf("epoch %d: validation loss %v, with the weights of the hook %v, %v", e.Epoch, e.ValLoss, loss, err)
		}
		return nil
	}
	mustRun(t, tr)
	own := weightsOf(m)
	loss, err := tr.Validate(context.Background())
	must(t, err)
	again := newTrainer(t, m, pictures(t, m, 13, train.PictureOptions{}), pictures(t, m, 13, train.PictureOptions{BatchSize: 4}), options(1, 1e-3))
	plain, err := again.Validate(context.Background())
	if err != nil || plain == loss {
		t.Errorf("validation loss of the averages is %v, and of the weights too (%v)", loss, err)
	}
	for name, w := range weightsOf(m) {
		if !sameBits(w, own[name]) {
			t.Errorf("after validation %s is another", name)
		}
	}
}

func TestARunWithAveragesGoesOnToTheBit(t *testing.T) {
	data := tiny.Data(t, 13)
	// record stops the run after an update, or in the hook of an epoch.
	record := func(m *seq2seq.VisionEncoderDecoder, tr *trainer, to *[]string, dir string, stopStep, stopEpoch int) {
		tr.Hooks.Step = func(s train.Step) error {
			if *to = append(*to, fmt.Sprintf("step %d %v", s.Step, s.Loss)); s.Step == stopStep {
				return errStop
			}
			return nil
		}
		tr.Hooks.Epoch = func(e train.Epoch) error {
			*to = append(*to, fmt.Sprintf("epoch %d %v %v", e.Epoch, e.TrainLoss, e.ValLoss))
			if e.Epoch == stopEpoch {
				return errors.Join(errStop, tr.SaveState(dir, 1)) // while the averages are in the model
			}
			return nil
		}
	}
	var want []string
	whole, tr := averaged(t, data, 0.9, threeStages...)
	record(whole, tr, &want, "", 0, 0)
	mustRun(t, tr)
	for _, stop := range [][2]int{{1, 0}, {4, 0}, {0, 1}, {5, 0}, {8, 0}, {0, 2}, {10, 0}, {0, 3}, {11, 0}, {14, 0}, {0, 4}} {
		dir := t.TempDir()
		var got []string
		m, tr := averaged(t, data, 0.9, threeStages...)
		record(m, tr, &got, dir, stop[0], stop[1])
		if err := tr.Run(context.Background()); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		must(t, tr.SaveState(dir, 1))
		states, err := train.States(dir)
		must(t, err)
		m, tr = averaged(t, data, 0.9, threeStages...)
		record(m, tr, &got, dir, 0, 0)
		must(t, tr.LoadState(states[0]))
		mustRun(t, tr)
		if !slices.Equal(got, want) {
			t.Errorf("stopped after step %d or epoch %d:\n%q\nwithout a stop:\n%q", stop[0], stop[1], got, want)
		}
		wantWeights := weightsOf(whole)
		for name, w := range weightsOf(m) {
			if !sameBits(w, wantWeights[name]) {
				t.Errorf("stopped after step %d or epoch %d: %s differs", stop[0], stop[1], name)
			}
		}
	}
}

// In bfloat16 a decoder keeps weights in another order while they are frozen,
// as in validation.
func TestAModelInBFloat16UsesTheWeightsThatItHasNow(t *testing.T) {
	data := tiny.Data(t, 13)
	m, tr := averaged(t, data, 0.9, "epochs=2 train=decoder.*")
	m.SetPrecision(layers.BFloat16)
	layers.Pack(m.Decoder)
	dir := t.TempDir()
	validate := func() float64 {
		t.Helper()
		loss, err := tr.Validate(context.Background())
		must(t, err)
		return loss
	}
	var losses []float64
	tr.Hooks.Epoch = func(e train.Epoch) error {
		losses = append(losses, e.ValLoss)
		return tr.SaveState(dir, 2)
	}
	mustRun(t, tr)
	plain := func() float64 {
		e, err := train.Evaluate(context.Background(), tr.Model, train.Data[pixelBatch](pictures(t, m, 13, train.PictureOptions{BatchSize: 4})), nil)
		must(t, err)
		return e.Loss
	}
	if first, second := plain(), plain(); first != second || first == losses[1] {
		t.Errorf("of the weights validation loss is %v and %v, of the averages %v", first, second, losses[1])
	}
	states, err := train.States(dir)
	must(t, err)
	must(t, tr.LoadState(states[0]))
	if got := validate(); got != losses[0] {
		t.Errorf("with the first epoch's state validation loss is %v, want %v", got, losses[0])
	}
}
