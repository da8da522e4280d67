// Generate makes the files that package emoji embeds from the two packages
// that hold them:
//
//	npm pack emoji-datasource-google@16.0.0            # unpack: package/
//	apt-get download unicode-cldr-core=41-0.1          # dpkg -x: usr/share/unicode/cldr/
//	cd datasets/emoji && go run ./generate -pictures .../package -names .../usr/share/unicode/cldr
//
// It writes captions.jsonl and pictures-*.zip; the same input gives the same
// bytes.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxArchive    = 5e6 // bytes of pictures in a zip file
	numValidation = 271
	groupShare    = 5 // at most one in so many variants of an emoji is held out
)

// An entry is a picture with its captions; its JSON form is a line of
// captions.jsonl.
type entry struct {
	Image    string   `json:"image"`
	Captions []string `json:"captions"`
	Split    string   `json:"split"`

	base  string // image of the emoji that this one is a skin-tone variant of, or ""
	tone  string // of a variant: "1F3FB" to "1F3FF", or two for two people
	bytes []byte
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("generate: ")
	pictures := flag.String("pictures", "", "`folder` of the unpacked emoji-datasource-google package")
	names := flag.String("names", "", "`folder` of the unpacked CLDR, which holds common/")
	out := flag.String("out", ".", "`folder` to write to")
	flag.Parse()
	if *pictures == "" || *names == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*pictures, *names, *out); err != nil {
		log.Fatal(err)
	}
}

func run(pictures, names, out string) error {
	cldr, err := readAnnotations(names)
	if err != nil {
		return err
	}
	source, err := readEmoji(filepath.Join(pictures, "emoji.json"))
	if err != nil {
		return err
	}
	entries, err := describe(source, cldr)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if e.bytes, err = os.ReadFile(filepath.Join(pictures, "img", "google", "64", e.Image)); err != nil {
			return err
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Image, b.Image) })
	if err := holdOut(entries); err != nil {
		return err
	}
	if err := writeCaptions(filepath.Join(out, "captions.jsonl"), entries); err != nil {
		return err
	}
	return writePictures(out, entries)
}

// holdOut marks numValidation skin-tone variants for validation, in the order
// of their names' hashes: at most one in groupShare of an emoji's variants, of
// every tone its share, and none whose picture also appears under another name.
func holdOut(entries []entry) error {
	variants, groups, tones := 0, map[string]int{}, map[string]int{}
	drawings := map[[32]byte]int{}
	order := make([]int, len(entries))
	hash := make([][32]byte, len(entries))
	for i, e := range entries {
		order[i], hash[i] = i, sha256.Sum256([]byte(e.Image))
		drawings[sha256.Sum256(e.bytes)]++
		if e.base != "" {
			variants++
			groups[e.base]++
			tones[e.tone]++
		}
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(hash[i][:], hash[j][:]) })

	held, inGroup, inTone := 0, map[string]int{}, map[string]int{}
	for _, i := range order {
		e := &entries[i]
		e.Split = "train"
		if held < numValidation && e.base != "" && drawings[sha256.Sum256(e.bytes)] == 1 &&
			(inGroup[e.base]+1)*groupShare <= groups[e.base] &&
			inTone[e.tone]*variants < numValidation*tones[e.tone] {
			e.Split = "validation"
			inGroup[e.base]++
			inTone[e.tone]++
			held++
		}
	}
	if held != numValidation {
		return fmt.Errorf("only %d variants can be held out, want %d", held, numValidation)
	}
	return nil
}

func writeCaptions(path string, entries []entry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// writePictures stores the pictures as they are, in order, in as many zip
// files as maxArchive asks for.
func writePictures(dir string, entries []entry) error {
	var b bytes.Buffer
	w, archive := zip.NewWriter(&b), 1
	flush := func() error {
		if err := w.Close(); err != nil {
			return err
		}
		path := filepath.Join(dir, fmt.Sprintf("pictures-%d.zip", archive))
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return err
		}
		b.Reset()
		w, archive = zip.NewWriter(&b), archive+1
		return nil
	}
	for _, e := range entries {
		if b.Len()+len(e.bytes) > maxArchive {
			if err := flush(); err != nil {
				return err
			}
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.Image, Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := f.Write(e.bytes); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return flush()
}
