package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
)

// Said is a caption of a picture, made anywhere.
type Said struct {
	Picture string // COCO's image_id, or a name
	Caption string // may be empty
}

// ReadResults reads captions: a COCO results file, an array of objects with image_id and caption, or what the caption
// command prints with --json, an object a line with image and caption. A picture may have one caption only.
func ReadResults(r io.Reader) ([]Said, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(data) == 0 {
		return nil, errors.New("no captions: the file is empty")
	}
	array := data[0] == '['
	d := json.NewDecoder(bytes.NewReader(data))
	if array {
		d.Token()
	}
	var all []Said
	seen := map[string]bool{}
	for d.More() {
		s, err := readSaid(d)
		if err == nil && seen[s.Picture] {
			err = fmt.Errorf("picture %s has a caption already", s.Picture)
		}
		if err != nil {
			return nil, fmt.Errorf("caption %d (byte %d): %w", len(all)+1, d.InputOffset(), err)
		}
		seen[s.Picture] = true
		all = append(all, s)
	}
	if array {
		if _, err := d.Token(); err != nil {
			return nil, fmt.Errorf("byte %d: the array does not end: %w", d.InputOffset(), err)
		}
	}
	if d.More() {
		return nil, fmt.Errorf("byte %d: more follows the end of the array", d.InputOffset())
	}
	if len(all) == 0 {
		return nil, errors.New("no captions")
	}
	return all, nil
}

func readSaid(d *json.Decoder) (Said, error) {
	var entry struct {
		ID      json.RawMessage `json:"image_id"`
		Image   *string         `json:"image"`
		Caption *string         `json:"caption"`
	}
	if err := d.Decode(&entry); err != nil {
		return Said{}, err
	}
	if entry.Caption == nil {
		return Said{}, errors.New(`no "caption"`)
	}
	s := Said{Caption: *entry.Caption}
	switch {
	case entry.Image != nil:
		s.Picture = *entry.Image
	case len(entry.ID) == 0 || string(entry.ID) == "null":
		return Said{}, errors.New(`neither "image_id" nor "image"`)
	case json.Unmarshal(entry.ID, &s.Picture) != nil: // a number
		s.Picture = string(entry.ID)
	}
	return s, nil
}

// Results scores captions against those of a data set, whose pictures are not read. A caption's picture is the one with its
// image_id, else the one with its name, else the only one whose file has that name in some folder. As in COCO's own
// evaluation pictures without a caption do not count, and a caption without a picture is an error.
func Results(d datasets.Dataset, said []Said) (*Result, error) {
	find, err := newFinder(d)
	if err != nil {
		return nil, err
	}
	captions := map[int]string{}
	for _, s := range said {
		i, err := find.picture(s.Picture)
		if err != nil {
			return nil, err
		}
		if _, ok := captions[i]; ok {
			return nil, fmt.Errorf("picture %s has two captions, by different names", s.Picture)
		}
		captions[i] = s.Caption
	}
	r := &Result{}
	for i := range d.Len() {
		caption, ok := captions[i]
		if !ok {
			continue
		}
		e, err := d.Example(i)
		if err != nil {
			return nil, err
		}
		r.Pictures = append(r.Pictures, Picture{Index: i, Image: e.ID, Caption: caption, References: slices.Clone(e.Captions)})
	}
	if len(r.Pictures) == 0 {
		return nil, errors.New("evaluate: no captions")
	}
	return r, r.score()
}

// finder finds a data set's pictures by what results call them.
type finder struct {
	ids, names, bases map[string]int // bases: -1 for those that several have
}

func newFinder(d datasets.Dataset) (finder, error) {
	f := finder{map[string]int{}, map[string]int{}, map[string]int{}}
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			return f, err
		}
		if e.ImageID != "" {
			f.ids[e.ImageID] = i
		}
		f.names[e.ID] = i
		base := path.Base(e.ID)
		if _, ok := f.bases[base]; ok {
			f.bases[base] = -1
		} else {
			f.bases[base] = i
		}
	}
	return f, nil
}

func (f finder) picture(name string) (int, error) {
	if i, ok := f.ids[name]; ok {
		return i, nil
	}
	if i, ok := f.names[name]; ok {
		return i, nil
	}
	i, ok := f.bases[path.Base(name)]
	switch {
	case !ok:
		return 0, fmt.Errorf("picture %s has a caption, but is not in the data", name)
	case i < 0:
		return 0, fmt.Errorf("picture %s has a caption, but several of the data have this name, in different folders", name)
	}
	return i, nil
}
