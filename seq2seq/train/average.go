package train

import (
	"io/fs"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/optim"
	"github.com/nlpodyssey/spago/mat"
)

// average is the exponential moving average of the weights that the current
// stage trains; what it does not train is its own average. Kept in the state
// of a run.
type average struct {
	decay   float64
	params  []optim.Param
	means   map[string]mat.Matrix
	updates map[string]int // in each mean
	in      bool           // the means are in the model, and the weights in means
}

// averageFor begins with the weights of params, or goes on with what old has of
// them. A decay of 0 makes none.
func averageFor(decay float64, params []optim.Param, old *average) *average {
	if decay == 0 {
		return nil
	}
	a := &average{decay: decay, params: params, means: map[string]mat.Matrix{}, updates: map[string]int{}}
	for _, p := range params {
		if old != nil && old.means[p.Name] != nil {
			a.means[p.Name], a.updates[p.Name] = old.means[p.Name], old.updates[p.Name]
		} else {
			a.means[p.Name] = p.Value.Value().(mat.Matrix).Clone()
		}
	}
	return a
}

// follow takes the weights after an update into the means.
func (a *average) follow() {
	if a == nil {
		return
	}
	for _, p := range a.params {
		n := a.updates[p.Name]
		rate := 1 - min(a.decay, float64(1+n)/float64(10+n))
		switch w := p.Value.Value().(type) {
		case *mat.Dense[float32]:
			approach(mat.Data[float32](a.means[p.Name]), mat.Data[float32](w), float32(rate))
		case *mat.Dense[float64]:
			approach(mat.Data[float64](a.means[p.Name]), mat.Data[float64](w), rate)
		}
		a.updates[p.Name]++
	}
}

// approach moves the means by a share of what they differ from the weights.
func approach[T float32 | float64](means, weights []T, rate T) {
	for i, w := range weights {
		means[i] += T(rate * (w - means[i])) // not fused, so the same everywhere
	}
}

// swap exchanges weights and means.
func (a *average) swap() {
	for _, p := range a.params {
		switch w := p.Value.Value().(type) {
		case *mat.Dense[float32]:
			exchange(mat.Data[float32](a.means[p.Name]), mat.Data[float32](w))
		case *mat.Dense[float64]:
			exchange(mat.Data[float64](a.means[p.Name]), mat.Data[float64](w))
		}
	}
	a.in = !a.in
}

func exchange[T float32 | float64](x, y []T) {
	for i := range x {
		x[i], y[i] = y[i], x[i]
	}
}

// Averaged calls f while the model has the averages of its weights, which it
// has in validation, in Score and in the hook of an epoch too. Without
// [Options].EMADecay it just calls f.
func (t *Trainer[B]) Averaged(f func() error) error {
	if t.average == nil || t.average.in {
		return f()
	}
	swap := func() {
		t.average.swap()
		layers.Changed(t.Model)
	}
	swap()
	defer swap()
	return f()
}

// saved lists the means as a checkpoint has them; called within Averaged, they
// are in the model.
func (a *average) saved() []checkpoint.Param {
	if a == nil {
		return nil
	}
	var out []checkpoint.Param
	for _, p := range a.params {
		mean := mat.Tensor(a.means[p.Name])
		if a.in {
			mean = p.Value.Value()
		}
		out = append(out, checkpoint.Param{Name: p.Name, Shape: mean.Shape(), Data: mat.Data[float32](mean)})
	}
	return out
}

// unaveraged gives a checkpoint the weights themselves within Averaged.
func (a *average) unaveraged(weights []checkpoint.Param) []checkpoint.Param {
	if a == nil || !a.in {
		return weights
	}
	for i, w := range weights {
		if own := a.means[w.Name]; own != nil {
			weights[i].Data = mat.Data[float32](own)
		}
	}
	return weights
}

// load puts back what saved gave.
func (a *average) load(fsys fs.FS, updates map[string]int) error {
	if a == nil {
		return nil
	}
	a.updates = updates
	return readAll(fsys, averageDir, a.saved())
}

// counts has the number of updates in each mean.
func (a *average) counts() map[string]int {
	if a == nil {
		return nil
	}
	return a.updates
}
