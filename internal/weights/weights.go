// Package weights moves the parameters of a model to and from checkpoint
// folders, by their names.
package weights

import (
	"fmt"
	"io/fs"

	"github.com/ekphrasis-ml/ekphrasis/internal/checkpoint"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
)

// Renamer is implemented by a model whose checkpoints exist under other names
// too, or hold tensors that it has no use for.
type Renamer interface {
	// CheckpointName returns the parameter that a tensor of a checkpoint is,
	// and false if the tensor is to be passed over.
	CheckpointName(tensor string) (name string, used bool)
}

// Load fills the parameters of model, which must be float32, from the weights
// in a folder. mayLack reports parameters that the folder need not have (nil:
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
	report, err := checkpoint.Load(ck, Params(layers.Parameters(model)), o)
	return report.Missing, err
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
		if _, ok := p.Value.Value().(*mat.Dense[float32]); !ok {
			panic(fmt.Sprintf("weights: parameter %s is not float32", p.Name))
		}
		out[i] = checkpoint.Param{Name: p.Name, Shape: p.Shape, Data: mat.Data[float32](p.Value.Value())}
	}
	return out
}
