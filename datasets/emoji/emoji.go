// Package emoji is a captioned set of pictures that needs no download: 3,629
// Noto emoji of 64 by 64 pixels, each described by its English name in Unicode
// CLDR ("woman firefighter: medium-dark skin tone") and, where they differ, by
// its name in the Unicode standard and by synonyms.
//
//	train, val := emoji.Train(), emoji.Validation()
//
// 1,775 pictures are skin-tone variants, and 271 of those are held out for
// validation. The plain emoji and most other tones of each stay in the training
// part, so a model that names a held-out picture has put together a name and a
// tone that it never saw together. [Score] tells whether it got either right.
//
// The pictures are those of emoji-datasource-google 16.0.0, byte for byte; the
// names are those of CLDR 41. Importing the package lets datasets.Open know the
// name "emoji", with the splits "train" and "validation". README.md tells their licences. The program in
// generate makes the embedded files from both packages.
package emoji

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"strings"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

var (
	//go:embed captions.jsonl
	captions string
	//go:embed pictures-1.zip
	pictures1 string
	//go:embed pictures-2.zip
	pictures2 string
	//go:embed pictures-3.zip
	pictures3 string
)

// All holds every picture, in the order of their code points. An example's ID
// is its code points in lower-case hexadecimal: "1f469-1f3fe-200d-1f692".
func All() datasets.Dataset { return open() }

// Train is All without Validation: 3,358 pictures.
func Train() datasets.Dataset { return datasets.Subset(open(), open().train) }

// Validation holds the 271 pictures that are held out, all skin-tone variants.
func Validation() datasets.Dataset { return datasets.Subset(open(), open().validation) }

func init() {
	datasets.Register("emoji", func(o datasets.Options) (datasets.Dataset, error) {
		if o.Images != "" {
			return nil, fmt.Errorf("emoji: the sample has its pictures itself, found the option Images = %q", o.Images)
		}
		switch o.Split {
		case "":
			return All(), nil
		case "train":
			return Train(), nil
		case "validation":
			return Validation(), nil
		}
		return nil, fmt.Errorf(`emoji: no split %q, want "train" or "validation"`, o.Split)
	})
}

// PNG returns the file of the picture with the given ID: a PNG of 64 by 64
// pixels with a transparent background.
func PNG(id string) ([]byte, error) { return open().png(id) }

// sample is the whole set.
type sample struct {
	examples          []datasets.Example
	train, validation []int
	files             map[string]*zip.File // by "<ID>.png"
}

func (s *sample) Len() int { return len(s.examples) }

func (s *sample) Example(i int) (datasets.Example, error) { return s.examples[i], nil }

// open reads the embedded files once. What is wrong with them is wrong with
// the build, so it panics.
var open = sync.OnceValue(func() *sample {
	s := &sample{files: map[string]*zip.File{}}
	for _, archive := range []string{pictures1, pictures2, pictures3} {
		r, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
		if err != nil {
			panic(fmt.Sprintf("emoji: embedded pictures: %v", err))
		}
		for _, f := range r.File {
			s.files[f.Name] = f
		}
	}
	decoder := json.NewDecoder(strings.NewReader(captions))
	for {
		var line struct {
			Image    string
			Captions []string
			Split    string
		}
		if err := decoder.Decode(&line); err == io.EOF {
			return s
		} else if err != nil {
			panic(fmt.Sprintf("emoji: embedded captions.jsonl: %v", err))
		}
		if line.Split == "validation" {
			s.validation = append(s.validation, len(s.examples))
		} else {
			s.train = append(s.train, len(s.examples))
		}
		id := strings.TrimSuffix(line.Image, ".png")
		s.examples = append(s.examples, datasets.Example{
			ID:       id,
			Captions: line.Captions,
			Image:    func() (vision.Image, error) { return s.image(id) },
		})
	}
})

func (s *sample) png(id string) ([]byte, error) {
	file, ok := s.files[id+".png"]
	if !ok {
		return nil, fmt.Errorf("emoji: no picture %q", id)
	}
	r, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("emoji: %s: %w", id, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("emoji: %s: %w", id, err)
	}
	return data, nil
}

// image lays a picture on white: emoji are drawn for a light background, and
// black ones would vanish on black.
func (s *sample) image(id string) (vision.Image, error) {
	data, err := s.png(id)
	if err != nil {
		return vision.Image{}, err
	}
	img, err := vision.Decoder{Background: color.White}.Decode(bytes.NewReader(data))
	if err != nil {
		return vision.Image{}, fmt.Errorf("emoji: %s: %w", id, err)
	}
	return img, nil
}
