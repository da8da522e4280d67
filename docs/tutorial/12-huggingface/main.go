// Command huggingface saves a captioner as a folder that Hugging Face's
// transformers loads, looks into it, and loads it again.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func main() {
	out := flag.String("out", "docs/tutorial/12-huggingface", "folder of the figures")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out string) error {
	model, err := sample.Captioner()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "captioner")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	if err := model.Save(dir, seq2seq.SaveOptions{}); err != nil {
		return err
	}
	files, err := list(dir)
	if err != nil {
		return err
	}
	if err := draw(files).WriteFile(filepath.Join(out, "folder.svg")); err != nil {
		return err
	}
	if err := tensors(filepath.Join(dir, "model.safetensors")); err != nil {
		return err
	}

	again, err := seq2seq.Load(ctx, dir, nil)
	if err != nil {
		return err
	}
	before, err := caption(ctx, model)
	if err != nil {
		return err
	}
	after, err := caption(ctx, again)
	if err != nil {
		return err
	}
	fmt.Printf("\nbefore: %s, log-probability %.3f\n", before.Text, before.Score)
	fmt.Printf("after:  %s, log-probability %.3f\n", after.Text, after.Score)
	fmt.Printf("the same to the bit: %v\n", before.Score == after.Score)

	half := filepath.Join(dir, "half")
	if err := again.Save(half, seq2seq.SaveOptions{DType: "F16"}); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(half, "model.safetensors"))
	if err != nil {
		return err
	}
	fmt.Printf("\nas float16: %.1f MB\n", float64(info.Size())/1e6)
	return nil
}

// file is one of a folder.
type file struct {
	name string
	size int64 // in bytes
}

// list prints the files of a folder.
func list(dir string) (files []file, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		fmt.Println(e.Name())
		files = append(files, file{e.Name(), info.Size()})
	}
	return files, nil
}

// tensors prints some of what a safetensors file says of itself: a length, and
// so many bytes of JSON.
func tensors(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var length uint64
	if err := binary.Read(f, binary.LittleEndian, &length); err != nil {
		return err
	}
	var header map[string]json.RawMessage
	if err := json.NewDecoder(io.LimitReader(f, int64(length))).Decode(&header); err != nil {
		return err
	}
	delete(header, "__metadata__")
	fmt.Printf("\n%d tensors, among them\n", len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if strings.Contains(name, "h.0.crossattention") || strings.Contains(name, "wte") || strings.Contains(name, "patch_embeddings") {
			var t struct {
				DType string
				Shape []int
			}
			if err := json.Unmarshal(header[name], &t); err != nil {
				return err
			}
			fmt.Println(name, t.DType, t.Shape)
		}
	}
	return nil
}

// caption says what is in the README's picture.
func caption(ctx context.Context, model *seq2seq.VisionEncoderDecoder) (seq2seq.Caption, error) {
	picture, err := model.Processor.Decoder().Open("docs/images/picture.png")
	if err != nil {
		return seq2seq.Caption{}, err
	}
	captions, err := model.Generate(ctx, []vision.Image{picture}, model.Generation)
	if err != nil {
		return seq2seq.Caption{}, err
	}
	return captions[0], nil
}
