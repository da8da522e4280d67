package datasets

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"unicode/utf8"
)

// readJSON reads COCO's and Karpathy's files, which are objects, and arrays of
// records, an entry at a time.
func readJSON(r *bufio.Reader, b *listBuilder) error {
	d := json.NewDecoder(r)
	token, err := d.Token()
	if err != nil {
		return jsonError(b.source, d, err)
	}
	switch token {
	case json.Delim('['):
		err = eachElement(d, b.source, "record", func(i int) error {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return err
			}
			return addRecord(b, raw)
		})
	case json.Delim('{'):
		err = readCaptionFile(d, b)
	default:
		err = fmt.Errorf("datasets: %s: begins with %v, want an object or an array", b.source, token)
	}
	if err != nil {
		return err
	}
	if _, err := d.Token(); err == nil {
		return fmt.Errorf("datasets: %s: byte %d: more follows the end of the JSON value", b.source, d.InputOffset())
	} else if err != io.EOF {
		return jsonError(b.source, d, err)
	}
	return nil
}

// jsonError says where a file's JSON is broken.
func jsonError(source string, d *json.Decoder, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("datasets: %s: byte %d: %w", source, d.InputOffset(), err)
}

// eachElement calls f for every element of the array that d is in, and reads
// the array's end. An error of f is prefixed by the source, name and index.
func eachElement(d *json.Decoder, source, name string, f func(i int) error) error {
	for i := 0; d.More(); i++ {
		if err := f(i); err != nil {
			if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
				return jsonError(source, d, fmt.Errorf("%s[%d]: %w", name, i, err))
			}
			return fmt.Errorf("datasets: %s: %s[%d]: %w", source, name, i, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonError(source, d, err)
	}
	return nil
}

// jsonID is a number or a string, as it is written.
type jsonID string

func (id *jsonID) UnmarshalJSON(data []byte) error {
	*id = jsonID(data)
	return nil
}

// text is the id without the quotes of a string.
func (id jsonID) text() string {
	var s string
	if json.Unmarshal([]byte(id), &s) == nil {
		return s
	}
	return string(id)
}

// captionFile is what has been read of a COCO or Karpathy file. COCO's
// annotations may come before the images that they describe.
type captionFile struct {
	*listBuilder
	pictures    map[jsonID]int // -1 for those of splits that are not wanted
	annotations []annotation
}

type annotation struct {
	image   jsonID
	caption string
}

// readCaptionFile reads the object that d has just begun.
func readCaptionFile(d *json.Decoder, b *listBuilder) error {
	file := captionFile{listBuilder: b, pictures: map[jsonID]int{}}
	found := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return jsonError(b.source, d, err)
		}
		name := key.(string)
		found[name] = true
		switch name {
		case "images":
			err = file.array(d, name, file.image)
		case "annotations":
			err = file.array(d, name, file.annotation)
		default:
			var other json.RawMessage
			if err = d.Decode(&other); err != nil {
				err = jsonError(b.source, d, err)
			}
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonError(b.source, d, err)
	}
	if !found["images"] {
		return fmt.Errorf(`datasets: %s: no "images": neither COCO's captions nor Karpathy's splits`, b.source)
	}
	return file.join()
}

func (f *captionFile) array(d *json.Decoder, name string, element func(*json.Decoder) error) error {
	if token, err := d.Token(); err != nil {
		return jsonError(f.source, d, err)
	} else if token != json.Delim('[') {
		return fmt.Errorf("datasets: %s: %q is %v, want an array", f.source, name, token)
	}
	return eachElement(d, f.source, name, func(int) error { return element(d) })
}

// image adds a picture, with its captions if the file is one of Karpathy's.
func (f *captionFile) image(d *json.Decoder) error {
	var entry struct {
		ID        jsonID `json:"id"`
		Name      string `json:"file_name"` // COCO
		COCO      jsonID `json:"cocoid"`    // Karpathy, from here on
		Folder    string `json:"filepath"`
		File      string `json:"filename"`
		Split     string `json:"split"`
		Sentences []struct {
			Raw string `json:"raw"`
		} `json:"sentences"`
	}
	if err := d.Decode(&entry); err != nil {
		return err
	}
	name := entry.Name
	if name == "" && entry.File != "" {
		name = path.Join(entry.Folder, entry.File)
	}
	if name == "" {
		return errors.New(`neither "file_name" nor "filename"`)
	}
	if _, ok := f.pictures[entry.ID]; ok {
		return fmt.Errorf("picture %s: id %s is that of another picture too", name, entry.ID)
	}
	number, isNew := -1, false
	if f.wants(entry.Split) {
		if number, isNew = f.picture(name); !isNew {
			return fmt.Errorf("picture %s is listed twice", name)
		}
	}
	if entry.ID != "" {
		f.pictures[entry.ID] = number
	}
	if number < 0 {
		return nil
	}
	f.ids = append(f.ids, cmp.Or(entry.COCO, entry.ID).text())
	for i, s := range entry.Sentences {
		if err := f.caption(number, s.Raw); err != nil {
			return fmt.Errorf("picture %s, sentences[%d]: %w", name, i, err)
		}
	}
	return nil
}

func (f *captionFile) annotation(d *json.Decoder) error {
	var entry struct {
		Image   jsonID  `json:"image_id"`
		Caption *string `json:"caption"`
	}
	if err := d.Decode(&entry); err != nil {
		return err
	}
	if entry.Image == "" {
		return errors.New(`no "image_id"`)
	}
	if entry.Caption == nil {
		return errors.New(`no "caption"`)
	}
	f.annotations = append(f.annotations, annotation{entry.Image, *entry.Caption})
	return nil
}

// join gives the annotations to their pictures.
func (f *captionFile) join() error {
	for i, a := range f.annotations {
		number, ok := f.pictures[a.image]
		if ok && number < 0 {
			continue
		}
		if !ok {
			return fmt.Errorf(`datasets: %s: annotations[%d]: no image has id %s`, f.source, i, a.image)
		}
		if err := f.caption(number, a.caption); err != nil {
			return fmt.Errorf("datasets: %s: annotations[%d] of %s: %w", f.source, i, f.names[number], err)
		}
	}
	return nil
}

// readJSONLines reads a record a line. Empty lines are passed over.
func readJSONLines(r *bufio.Reader, b *listBuilder) error {
	return eachLine(r, b.source, func(line string) error {
		return addRecord(b, []byte(line))
	})
}

// The names under which a record has its picture and its captions, in order of
// preference.
var (
	pictureFields = []string{"image", "file_name", "filename", "image_name", "image_path", "path"}
	captionFields = []string{"captions", "caption", "text", "sentences", "sentence", "comment", "description"}
)

// addRecord adds what a JSON object says of a picture.
func addRecord(b *listBuilder, data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("record is not UTF-8")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	var name, split string
	if key, err := findField(fields, pictureFields, "picture"); err != nil {
		return err
	} else if err := json.Unmarshal(fields[key], &name); err != nil || name == "" {
		return fmt.Errorf("%q is %s, want the name of a picture", key, fields[key])
	}
	if raw, ok := fields["split"]; ok {
		if err := json.Unmarshal(raw, &split); err != nil {
			return fmt.Errorf(`"split" is %s, want a string`, raw)
		}
	}
	if !b.wants(split) {
		return nil
	}
	captions, err := recordCaptions(fields)
	if err != nil {
		return fmt.Errorf("picture %s: %w", name, err)
	}
	number, _ := b.picture(name)
	for _, c := range captions {
		if err := b.caption(number, c); err != nil {
			return fmt.Errorf("picture %s: %w", name, err)
		}
	}
	return nil
}

// recordCaptions are a JSON object's captions: a string or several.
func recordCaptions(fields map[string]json.RawMessage) ([]string, error) {
	key, err := findField(fields, captionFields, "caption")
	if err != nil {
		return nil, err
	}
	var captions []string
	raw := bytes.TrimSpace(fields[key])
	if raw[0] == '"' {
		captions = make([]string, 1)
		err = json.Unmarshal(raw, &captions[0])
	} else {
		err = json.Unmarshal(raw, &captions)
	}
	if err != nil || len(captions) == 0 {
		return nil, fmt.Errorf("%q is %s, want a string or an array of strings", key, raw)
	}
	return captions, nil
}

// findField is the first of the wanted names that occurs.
func findField[V any](fields map[string]V, wanted []string, what string) (string, error) {
	for _, key := range wanted {
		if _, ok := fields[key]; ok {
			return key, nil
		}
	}
	return "", fmt.Errorf("no %s: want one of %q, found %q", what, wanted, sortedKeys(fields))
}
