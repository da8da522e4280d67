package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// openPictures reads a folder, and those in it, of pictures that each have a
// text file of the same name beside them, a caption a line. Hidden files and
// files of other kinds do not count.
func openPictures(dir string, options Options) (Dataset, error) {
	if options.Images != "" {
		return nil, fmt.Errorf("datasets: %s: a folder of pictures has them itself, found the option Images = %q", dir, options.Images)
	}
	pictures, texts, err := findPictures(dir)
	if err != nil {
		return nil, err
	}
	b := newListBuilder(dir, options.Split)
	b.wants("")
	owner := map[string]string{} // text file to picture
	for _, name := range pictures {
		text := strings.TrimSuffix(name, path.Ext(name)) + ".txt"
		if other, ok := owner[text]; ok {
			return nil, fmt.Errorf("datasets: %s: pictures %s and %s would share the captions of %s", dir, other, name, text)
		}
		if !texts[text] {
			return nil, fmt.Errorf("datasets: %s: picture %s has no captions: %s is missing", dir, name, text)
		}
		owner[text] = name
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(text)))
		if err != nil {
			return nil, fmt.Errorf("datasets: %w", err)
		}
		number, _ := b.picture(name)
		if err := captionLines(b, number, filepath.Join(dir, text), string(data)); err != nil {
			return nil, err
		}
	}
	for _, text := range sortedKeys(texts) {
		if owner[text] == "" && len(pictures) > 0 {
			return nil, fmt.Errorf("datasets: %s: %s has captions of a picture that is missing", dir, text)
		}
	}
	return b.finish(dir, options.Decoder)
}

// findPictures lists the pictures and the text files of a folder and those in
// it, in the order of their names, by slash-separated names.
func findPictures(dir string) (pictures []string, texts map[string]bool, err error) {
	texts = map[string]bool{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir():
		case isPicture(name):
			pictures = append(pictures, name)
		case path.Ext(name) == ".txt":
			texts[name] = true
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("datasets: %s: %w", dir, err)
	}
	return pictures, texts, nil
}

// captionLines adds the captions of a text, one a line. Empty lines are passed
// over, but one must be full.
func captionLines(b *listBuilder, picture int, file, text string) error {
	number, found := 0, false
	for line := range strings.Lines(strings.TrimPrefix(text, byteOrderMark)) {
		number++
		if strings.TrimSpace(line) == "" {
			continue
		}
		found = true
		if err := b.caption(picture, line); err != nil {
			return fmt.Errorf("datasets: %s:%d: %w", file, number, err)
		}
	}
	if !found {
		return fmt.Errorf("datasets: %s: %w", file, errNoCaption)
	}
	return nil
}

var errNoCaption = errors.New("no caption")
