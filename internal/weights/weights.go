// Package weights moves the parameters of a model to and from checkpoint
// folders, by their names.
package weights

import (
	"fmt"
	"io/fs"
	"runtime"
	"sync/atomic"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Renamer is implemented by a model whose checkpoints exist under other names
// too, or hold tensors that it has no use for.
type Renamer interface {
	// CheckpointName returns the parameter that a tensor of a checkpoint is,
	// and false if the tensor is to be passed over.
	CheckpointName(tensor string) (name string, used bool)
}

// Load fills the parameters of model, which must be float32, from the weights
// in a folder. The elements of large ones may lie in the file itself, mapped
// into memory: they can be written to, which the file does not see, and take
// memory only when they are used. mayLack reports parameters that the folder need not have (nil:
// none); the names of those it lacked are returned.
func Load(fsys fs.FS, model any, mayLack func(name string) bool) (missing []string, err error) {
	ck, err := checkpoint.Open(fsys)
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	o := checkpoint.Options{AllowMissing: mayLack}
	if r, ok := model.(Renamer); ok {
		o.Rename = func(tensor string) string { name, _ := r.CheckpointName(tensor); return name }
		o.Ignore = func(tensor string) bool { _, used := r.CheckpointName(tensor); return !used }
	}
	parameters := layers.Parameters(model)
	params := Params(parameters)
	var adopted atomic.Int64
	for i, p := range parameters {
		params[i].Adopt = func(values []float32) {
			adopted.Add(int64(len(values)))
			adopt(p.Value, values)
		}
	}
	report, err := checkpoint.Load(ck, params, o)
	if adopted.Load() > 0 {
		// The zeros that the parameters had until now have not been touched,
		// but are counted: without them the next collection comes in time.
		runtime.GC()
	}
	return report.Missing, err
}

// Release lets go of the memory that the parameters of model take, as far as
// it can be had again from the file that they were read from: for a model that
// will not be used for a while. See mmap.Release.
func Release(model any) {
	for _, p := range layers.Parameters(model) {
		if value, ok := p.Value.Value().(*mat.Dense[float32]); ok {
			mmap.Release(mat.Data[float32](value))
		}
	}
}

// adopt makes values the elements of a parameter, without a copy.
func adopt(p *nn.Param, values []float32) {
	value := mat.NewDense[float32](mat.WithShape(p.Shape()...), mat.WithBacking(values))
	value.SetRequiresGrad(p.RequiresGrad())
	p.ReplaceValue(value)
}

// Save writes the parameters of model to a folder, stored as dtype ("" means
// float32), in shards if they are many.
func Save(dir string, model any, dtype safetensors.DType) error {
	return checkpoint.Save(dir, Params(layers.Parameters(model)), checkpoint.SaveOptions{DType: dtype, MaxShardSize: maxShardSize})
}

// maxShardSize is what transformers used for years: files of 5 GB.
const maxShardSize = 5_000_000_000

// Params shares the elements of float32 parameters with a checkpoint.
func Params(params []layers.Parameter) []checkpoint.Param {
	out := make([]checkpoint.Param, len(params))
	for i, p := range params {
		if _, ok := p.Value.Value().(*mat.Dense[float64]); ok {
			panic(fmt.Sprintf("weights: parameter %s is not float32", p.Name))
		}
		out[i] = checkpoint.Param{Name: p.Name, Shape: p.Shape, Data: mat.Data[float32](p.Value.Value())}
	}
	return out
}
