// Package checkpoint reads and writes the weights in a model's folder, in the files that Hugging Face uses.
//
// Open finds the weights, whichever way they are stored, and Load puts them into a model's parameters, checking every
// name, shape and type before it touches anything, and listing all that is wrong in one error. Save writes what
// transformers loads.
//
//	ck, err := checkpoint.Open(os.DirFS(dir))
//	if err != nil {
//		return err
//	}
//	defer ck.Close()
//	report, err := checkpoint.Load(ck, params, checkpoint.Options{})
package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/editdistance"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/ekphrasis-ml/ekphrasis/internal/pytorch"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

const (
	singleFile   = "model.safetensors"
	indexFile    = "model.safetensors.index.json"
	pytorchFile  = "pytorch_model.bin"
	pytorchIndex = "pytorch_model.bin.index.json"
)

// Checkpoint is the open weights of a folder. Its methods may be called by several goroutines at once.
type Checkpoint struct {
	file    string // the weights, or the index of their shards
	tensors map[string]tensors
	closers []io.Closer
}

// tensors is an open file of weights.
type tensors interface {
	Names() []string
	Info(name string) (safetensors.Info, bool)
	Read(name string, dst []float32) error
}

// inPlace is implemented by a file of weights that is in memory.
type inPlace interface {
	InPlace(name string) ([]float32, bool)
}

// Open opens the weights of a model's folder. It takes the first of these, the order of Hugging Face's from_pretrained:
// model.safetensors, model.safetensors.index.json with its shards, pytorch_model.bin, pytorch_model.bin.index.json with
// its shards.
//
// It is an error if there is none, or if a shard is missing, damaged, or lacks a tensor that the index promises.
func Open(fsys fs.FS) (*Checkpoint, error) {
	for _, candidate := range []struct {
		file string
		open func(*Checkpoint, fs.FS, string) error
	}{
		{singleFile, (*Checkpoint).openSingle},
		{indexFile, (*Checkpoint).openShards},
		{pytorchFile, (*Checkpoint).openSingle},
		{pytorchIndex, (*Checkpoint).openShards},
	} {
		if _, err := fs.Stat(fsys, candidate.file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c := &Checkpoint{file: candidate.file, tensors: map[string]tensors{}}
		if err := candidate.open(c, fsys, candidate.file); err != nil {
			_ = c.Close()
			return nil, err
		}
		return c, nil
	}
	return nil, fmt.Errorf("no weights: expected %s, %s, %s or %s", singleFile, indexFile, pytorchFile, pytorchIndex)
}

func (c *Checkpoint) openSingle(fsys fs.FS, file string) error {
	t, err := c.openFile(fsys, file)
	if err != nil {
		return err
	}
	for _, name := range t.Names() {
		c.tensors[name] = t
	}
	return nil
}

func (c *Checkpoint) openShards(fsys fs.FS, file string) error {
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(index.WeightMap) == 0 {
		return fmt.Errorf("%s: no weight_map", file)
	}
	shards := map[string]tensors{}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		shard := index.WeightMap[name]
		t, ok := shards[shard]
		if !ok {
			if t, err = c.openFile(fsys, shard); err != nil {
				return fmt.Errorf("shard of %s: %w", file, err)
			}
			shards[shard] = t
		}
		if _, ok := t.Info(name); !ok {
			return fmt.Errorf("%s: tensor %q is not in %s", file, name, shard)
		}
		c.tensors[name] = t
	}
	return nil
}

func (c *Checkpoint) openFile(fsys fs.FS, name string) (tensors, error) {
	r, size, err := c.openReader(fsys, name)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".safetensors") {
		if f, ok := r.(*os.File); ok && size >= minMapped {
			if memory, err := mmap.Private(f, size); err == nil {
				return safetensors.NewMapped(name, memory)
			}
		}
		return safetensors.New(name, r, size)
	}
	return pytorch.New(name, r, size)
}

// minMapped is the size in bytes from which on a file is mapped: a mapping is never given back, so it must be worth it.
const minMapped = 4 << 20

// lfsPointer is how the text starts that git leaves in place of a large file when git-lfs is not installed.
const lfsPointer = "version https://git-lfs.github.com/spec/v1\n"

func (c *Checkpoint) openReader(fsys fs.FS, name string) (io.ReaderAt, int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	c.closers = append(c.closers, f)
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	r, size := io.ReaderAt(nil), info.Size()
	if at, ok := f.(io.ReaderAt); ok {
		r = at
	} else { // a file inside an archive, say
		data, err := io.ReadAll(f)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		r, size = bytes.NewReader(data), int64(len(data))
	}
	start := make([]byte, len(lfsPointer))
	if _, err := r.ReadAt(start, 0); err == nil && string(start) == lfsPointer {
		return nil, 0, fmt.Errorf("%s: a Git LFS pointer, not the weights: run git lfs pull", name)
	}
	return r, size, nil
}

// Names returns the tensors' names, sorted.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.tensors)) }

// Info describes a tensor, and reports whether the checkpoint has it.
func (c *Checkpoint) Info(name string) (safetensors.Info, bool) {
	t, ok := c.tensors[name]
	if !ok {
		return safetensors.Info{}, false
	}
	return t.Info(name)
}

// Read reads a tensor of a float type into dst [product of its shape], in row-major order. Errors name the file and
// the tensor.
func (c *Checkpoint) Read(name string, dst []float32) error {
	t, ok := c.tensors[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q%s", c.file, name, didYouMean(closest(name, c.Names())))
	}
	return t.Read(name, dst)
}

// inPlace returns a tensor's elements as they lie in memory, if they do.
func (c *Checkpoint) inPlace(name string) ([]float32, bool) {
	if f, ok := c.tensors[name].(inPlace); ok {
		return f.InPlace(name)
	}
	return nil, false
}

// Close closes the files. The Checkpoint cannot be read afterwards.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, closer := range c.closers {
		errs = append(errs, closer.Close())
	}
	c.closers = nil
	return errors.Join(errs...)
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", name)
}

// closest returns the candidate that takes the fewest edits to become name, or "" if none is within a third of the
// name. Dotted parts that only one of them has in front count as an edit each, so that a forgotten prefix is found.
func closest(name string, candidates []string) string {
	best, fewest := "", len(name)/3+1
	for _, candidate := range candidates {
		short, long := name, candidate
		if len(short) > len(long) {
			short, long = long, short
		}
		var edits int
		if prefix, ok := strings.CutSuffix(long, "."+short); ok {
			edits = 1 + strings.Count(prefix, ".")
		} else if len(long)-len(short) < fewest {
			edits = editdistance.Levenshtein([]byte(short), []byte(long))
		} else {
			continue
		}
		if edits > 0 && edits < fewest {
			best, fewest = candidate, edits
		}
	}
	return best
}
