package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// captionList is the names and captions of pictures, close together in
// memory: a list of a million captions is no more than a few slices.
type captionList struct {
	names    []string
	ids      []string // COCO's, by picture; nil: there are none
	captions []string // by picture
	starts   []int    // [len(names)+1]: picture i has captions[starts[i]:starts[i+1]]
}

func (l *captionList) Len() int { return len(l.names) }

func (l *captionList) of(i int) []string {
	start, end := l.starts[i], l.starts[i+1]
	return l.captions[start:end:end]
}

// fileList is a Dataset whose pictures are files.
type fileList struct {
	captionList
	source  string
	images  string // folder
	decoder vision.Decoder
}

func (l *fileList) Example(i int) (Example, error) {
	id := ""
	if l.ids != nil {
		id = l.ids[i]
	}
	return Example{
		ID:       l.names[i],
		ImageID:  id,
		Captions: l.of(i),
		Image: func() (vision.Image, error) {
			img, err := l.decoder.Open(l.path(i))
			if err != nil {
				return vision.Image{}, fmt.Errorf("picture of %s: %w", l.source, err)
			}
			return img, nil
		},
	}, nil
}

func (l *fileList) path(i int) string {
	name := filepath.FromSlash(l.names[i])
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.images, name)
}

// checkImages looks for the first, the middle and the last picture. When none
// is there, the folder of pictures is the wrong one.
func (l *fileList) checkImages() error {
	for _, i := range []int{0, l.Len() / 2, l.Len() - 1} {
		if _, err := os.Stat(l.path(i)); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return fmt.Errorf("datasets: %s: no picture at %s; is %q the folder of its pictures?", l.source, l.path(0), l.images)
}

// A listBuilder collects what a file of captions says.
type listBuilder struct {
	source string
	parts  []string        // the splits to take, or none to take all
	seen   map[string]bool // the splits that occur

	names    []string
	ids      []string       // COCO's, if the source has them
	index    map[string]int // of names
	captions []string
	pictures []int // of each caption
}

func newListBuilder(source, split string) *listBuilder {
	b := &listBuilder{source: source, seen: map[string]bool{}, index: map[string]int{}}
	if split != "" {
		b.parts = strings.Split(split, "+")
	}
	return b
}

// wants reports whether pictures of a split are to be taken.
func (b *listBuilder) wants(split string) bool {
	b.seen[split] = true
	return b.parts == nil || slices.Contains(b.parts, split)
}

// picture is the number of the picture with the given name, a new one or not.
func (b *listBuilder) picture(name string) (number int, isNew bool) {
	if i, ok := b.index[name]; ok {
		return i, false
	}
	b.index[name] = len(b.names)
	b.names = append(b.names, name)
	return len(b.names) - 1, true
}

// caption adds a caption to a picture.
func (b *listBuilder) caption(picture int, text string) error {
	text, err := cleanCaption(text)
	if err != nil {
		return err
	}
	b.captions = append(b.captions, text)
	b.pictures = append(b.pictures, picture)
	return nil
}

// cleanCaption removes the space around a caption.
func cleanCaption(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("caption %q is not UTF-8", text)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("caption is empty")
	}
	return text, nil
}

// list orders the captions by picture.
func (b *listBuilder) list() (captionList, error) {
	for _, part := range b.parts {
		if len(b.seen) == 1 && b.seen[""] {
			return captionList{}, fmt.Errorf("datasets: %s: split %q is wanted, but no picture tells its split", b.source, part)
		}
		if !b.seen[part] {
			return captionList{}, fmt.Errorf("datasets: %s: no picture is of split %q; its splits are %q",
				b.source, part, sortedKeys(b.seen))
		}
	}
	if len(b.names) == 0 {
		return captionList{}, fmt.Errorf("datasets: %s: no pictures", b.source)
	}
	l := captionList{names: b.names, ids: b.ids, captions: make([]string, len(b.captions)), starts: make([]int, len(b.names)+1)}
	for _, p := range b.pictures {
		l.starts[p+1]++
	}
	for i, name := range b.names {
		if l.starts[i+1] == 0 {
			return captionList{}, fmt.Errorf("datasets: %s: picture %s has no caption", b.source, name)
		}
		l.starts[i+1] += l.starts[i]
	}
	next := slices.Clone(l.starts)
	for i, p := range b.pictures {
		l.captions[next[p]] = b.captions[i]
		next[p]++
	}
	return l, nil
}

// finish makes the data set, with pictures in a folder.
func (b *listBuilder) finish(images string, decoder vision.Decoder) (Dataset, error) {
	list, err := b.list()
	if err != nil {
		return nil, err
	}
	l := &fileList{captionList: list, source: b.source, images: images, decoder: decoder}
	if err := l.checkImages(); err != nil {
		return nil, err
	}
	return l, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
