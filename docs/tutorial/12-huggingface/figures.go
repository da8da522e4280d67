package main

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/internal/figure"
)

// readers say what each file is for.
var readers = map[string]string{
	"config.json":              "the models: kinds, widths, numbers of blocks",
	"generation_config.json":   "how captions are searched for",
	"merges.txt":               "tokenizer: the merges, in order",
	"model.safetensors":        "all weights",
	"preprocessor_config.json": "what is done to a picture: size, mean, deviation",
	"special_tokens_map.json":  "tokenizer: begin, end, padding",
	"tokenizer.json":           "tokenizer: all of it, for the fast one",
	"tokenizer_config.json":    "tokenizer: its kind and settings",
	"vocab.json":               "tokenizer: the id of each token",
}

// draw shows the files, bars as long as they are large, and what each is for.
func draw(files []file) *figure.Figure {
	const top, row, left, width = 56, 24, 200, 200
	largest := int64(0)
	for _, f := range files {
		largest = max(largest, f.size)
	}
	f := figure.New(760, top+row*len(files)+14, "The nine files of a saved captioner: the weights are nearly all of it.")
	f.Text("title", 20, 30, "What is in the folder")
	for i, file := range files {
		y := float64(top + row*i)
		f.Text("code", 20, y+13, file.name)
		size := float64(file.size) / float64(largest) * width
		f.Rect("blue", left, y, max(size, 1), row-6)
		f.Text("dim", left+max(size, 1)+6, y+13, fmt.Sprintf("%.1f kB", float64(file.size)/1000))
		f.Text("dim", left+width+90, y+13, readers[file.name])
	}
	return f
}
