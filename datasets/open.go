package datasets

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Options say where a source's pictures are and which of them to take.
type Options struct {
	// Images is the folder that the source's picture names are relative to;
	// "" means the folder that holds the source.
	Images string
	// Split takes only the pictures of a part, for sources that tell parts
	// apart: "train", or several as in "train+restval". "" takes all.
	Split string
	// Decoder reads the pictures; see vision.Decoder for its zero value.
	Decoder vision.Decoder
}

// Open reads a source's captions; its pictures are read on demand. The source
// is the name of a registered data set, such as "emoji", or a path:
//
//	captions_train2017.json   COCO captions: images, annotations
//	dataset_coco.json         Karpathy's splits: images with sentences
//	list.json                 an array of records
//	list.jsonl                a record a line
//	list.csv, list.tsv        a header line and a record a line
//	results.csv, captions.txt Flickr's "image_name| comment_number| comment" and "image,caption"
//	Flickr8k.token.txt        Flickr's "name.jpg#0<tab>caption"
//	folder/                   with metadata.jsonl or metadata.csv, as Hugging Face's imagefolder
//	folder/                   of pictures, each with a .txt beside it, a caption a line
//	shard.tar, folder/        WebDataset shards: key.jpg with key.txt or key.json
//
// A record names its picture under "image", "file_name", "filename",
// "image_name", "image_path" or "path" and its captions under "captions",
// "caption", "text", "sentences", "sentence", "comment" or "description" (in
// JSON, a string or an array of strings; in a table, also columns "caption_1",
// "caption_2", …), and may have a "split". Lines that name one picture add
// captions to it. Space around captions is removed. A local file that bears a
// registered name is "./emoji".
//
// Whatever is malformed is an error that names the file and the line or entry:
// a caption that is empty or not UTF-8, a picture without caption, a picture
// listed twice where that is a mistake. That pictures exist is checked for a
// few only; a missing one is an error of its Example's Image.
func Open(source string, options Options) (Dataset, error) {
	if open, ok := registered(source); ok {
		return open(options)
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("datasets: data source: %w", err)
	}
	if info.IsDir() {
		return openFolder(source, options)
	}
	switch ext := strings.ToLower(filepath.Ext(source)); ext {
	case ".json":
		return openList(source, options, readJSON)
	case ".jsonl", ".ndjson":
		return openList(source, options, readJSONLines)
	case ".csv", ".tsv", ".txt", ".token":
		return openList(source, options, readTable)
	case ".tar":
		return openShards([]string{source}, options)
	default:
		return nil, fmt.Errorf("datasets: %s: file name ends in %q, want .json, .jsonl, .csv, .tsv, .txt, .token or .tar, or a folder", source, ext)
	}
}

// openList reads a file of captions with the reader of its format.
func openList(file string, options Options, read func(*bufio.Reader, *listBuilder) error) (Dataset, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	defer f.Close()
	b := newListBuilder(file, options.Split)
	r := bufio.NewReaderSize(f, 1<<16)
	if mark, _ := r.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		r.Discard(len(byteOrderMark))
	}
	if err := read(r, b); err != nil {
		return nil, err
	}
	images := options.Images
	if images == "" {
		images = filepath.Dir(file)
	}
	return b.finish(images, options.Decoder)
}

const byteOrderMark = "\ufeff"

// openFolder finds out what kind of folder it is.
func openFolder(dir string, options Options) (Dataset, error) {
	var found []string
	for _, name := range []string{"metadata.jsonl", "metadata.csv"} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			found = append(found, file)
		}
	}
	switch {
	case len(found) > 1:
		return nil, fmt.Errorf("datasets: found both %s and %s; name the one to read", found[0], found[1])
	case len(found) == 1:
		return Open(found[0], options)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	var shards []string
	for _, e := range entries {
		if strings.ToLower(filepath.Ext(e.Name())) == ".tar" {
			shards = append(shards, filepath.Join(dir, e.Name()))
		}
	}
	if len(shards) > 0 {
		return openShards(shards, options)
	}
	return openPictures(dir, options)
}

// isPicture tells by a name whether a file is a picture that package vision
// reads.
func isPicture(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp":
		return true
	}
	return false
}

var registry = struct {
	sync.Mutex
	open map[string]func(Options) (Dataset, error)
}{open: map[string]func(Options) (Dataset, error){}}

// Register lets Open know a data set by name, as package datasets/emoji does
// when it is imported. It panics when the name is taken.
func Register(name string, open func(Options) (Dataset, error)) {
	registry.Lock()
	defer registry.Unlock()
	if registry.open[name] != nil {
		panic(fmt.Sprintf("datasets: data set %q is registered twice", name))
	}
	registry.open[name] = open
}

// Names lists the registered data sets.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	return slices.Sorted(maps.Keys(registry.open))
}

func registered(name string) (func(Options) (Dataset, error), bool) {
	registry.Lock()
	defer registry.Unlock()
	open, ok := registry.open[name]
	return open, ok
}
