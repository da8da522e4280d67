package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// SaveOptions says how weights are stored.
type SaveOptions struct {
	// DType is the type in the file: safetensors.F32, F16 or BF16. Empty: F32.
	DType safetensors.DType
	// MaxShardSize is how many bytes of tensors a file holds at most, unless a single tensor has more. 0: no limit.
	MaxShardSize int64
}

// Save writes params to the folder dir, creating it if need be: model.safetensors or, if they exceed MaxShardSize,
// model-00001-of-0000N.safetensors and so on with model.safetensors.index.json, as Hugging Face names them. Shards are
// filled in the order of params. Safetensors files of an earlier Save which no longer belong are removed.
//
// All files are written in full before the first of them replaces an old one, so on a full disk the old weights stay
// as they were. Errors name the file. It panics if two parameters share a name or if Data does not fit Shape.
func Save(dir string, params []Param, o SaveOptions) error {
	if o.DType == "" {
		o.DType = safetensors.F32
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	shards := split(params, o)
	var staged []*atomicfile.File
	keep := map[string]bool{}
	stage := func(name string, write func(*atomicfile.File) error) error {
		f, err := atomicfile.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		staged = append(staged, f)
		keep[name] = true
		if err := write(f); err != nil {
			return err
		}
		return f.Sync()
	}
	defer func() {
		for _, f := range staged {
			f.Discard()
		}
	}()

	weightMap := map[string]string{}
	for i, shard := range shards {
		name := singleFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		for _, t := range shard {
			weightMap[t.Name] = name
		}
		err := stage(name, func(f *atomicfile.File) error {
			return safetensors.Write(f, shard, map[string]string{"format": "pt"})
		})
		if err != nil {
			return err
		}
	}
	if len(weightMap) != len(params) {
		panic("checkpoint: two parameters share a name")
	}
	if len(shards) > 1 {
		if err := stage(indexFile, func(f *atomicfile.File) error { return writeIndex(f, weightMap, shards) }); err != nil {
			return err
		}
		// An old index must not point to a mixture of old and new shards, not even for a moment.
		if err := remove(filepath.Join(dir, indexFile)); err != nil {
			return err
		}
	}
	for _, f := range staged {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	return removeStale(dir, keep)
}

// split fills shards in the order of params.
func split(params []Param, o SaveOptions) [][]safetensors.Tensor {
	shards := [][]safetensors.Tensor{nil}
	size := int64(0)
	for _, p := range params {
		p.check()
		bytes := int64(len(p.Data)) * int64(o.DType.Size())
		last := len(shards) - 1
		if o.MaxShardSize > 0 && size+bytes > o.MaxShardSize && len(shards[last]) > 0 {
			shards = append(shards, nil)
			last, size = last+1, 0
		}
		size += bytes
		info := safetensors.Info{Name: p.Name, DType: o.DType, Shape: p.Shape}
		shards[last] = append(shards[last], safetensors.Tensor{Info: info, Data: p.Data})
	}
	return shards
}

func writeIndex(f *atomicfile.File, weightMap map[string]string, shards [][]safetensors.Tensor) error {
	total := int64(0)
	for _, shard := range shards {
		for _, t := range shard {
			total += int64(len(t.Data)) * int64(t.DType.Size())
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"metadata":   map[string]int64{"total_size": total},
		"weight_map": weightMap,
	}, "", "  ")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return err
}

var weightFile = regexp.MustCompile(`^model(-\d{5}-of-\d{5}\.safetensors|\.safetensors|\.safetensors\.index\.json)$`)

// removeStale removes safetensors files of other weights, which would be loaded in place of the new ones or waste room.
func removeStale(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if weightFile.MatchString(e.Name()) && !keep[e.Name()] {
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes a file that need not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
