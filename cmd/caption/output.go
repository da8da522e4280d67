package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// result is a line of the output.
type result struct {
	Image    string  `json:"image"`
	Caption  string  `json:"caption"`
	TokenIDs []int   `json:"token_ids"`
	Score    float64 `json:"score"`
}

// output is where captions go.
type output struct {
	write func(r result) error
	file  *os.File       // nil: standard output
	have  map[string]int // how often a resumed file has a picture
}

// open makes the output that the flags ask for. Text has the pictures' names
// only if there are several.
func (s *settings) open(pictures, captionsEach int) (*output, error) {
	o := &output{have: map[string]int{}}
	var to io.Writer = os.Stdout
	var err error
	switch {
	case s.resume != "":
		err = o.resume(s.resume, captionsEach)
	case s.output != "":
		o.file, err = os.Create(s.output)
	}
	if err != nil {
		return nil, err
	}
	if o.file != nil {
		to = o.file
	}
	switch {
	case s.csv:
		w := csv.NewWriter(to)
		o.write = func(r result) error {
			return writeCSV(w, r.Image, r.Caption, strconv.FormatFloat(r.Score, 'g', -1, 64))
		}
		err = writeCSV(w, "image", "caption", "score")
	case s.JSON || o.file != nil:
		e := json.NewEncoder(to)
		e.SetEscapeHTML(false)
		o.write = func(r result) error { return e.Encode(r) }
	case pictures == 1:
		o.write = func(r result) error { _, err := fmt.Fprintln(to, oneLine(r.Caption)); return err }
	default:
		o.write = func(r result) error { _, err := fmt.Fprintf(to, "%s: %s\n", r.Image, oneLine(r.Caption)); return err }
	}
	return o, err
}

// oneLine has spaces for the line breaks that a model may say.
func oneLine(s string) string {
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
}

func writeCSV(w *csv.Writer, fields ...string) error {
	if err := w.Write(fields); err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}

// resume reads which pictures a file has, and goes on behind the last of which
// it has all captions: what was cut short is written again.
func (o *output) resume(name string, captionsEach int) error {
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	whole, captions, end := 0, 0, 0 // bytes to keep; captions of the present picture; bytes read
	present := ""
	lines := bufio.NewScanner(bytes.NewReader(data[:bytes.LastIndexByte(data, '\n')+1]))
	lines.Buffer(nil, 1<<24)
	for n := 1; lines.Scan(); n++ {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Image == "" {
			return fmt.Errorf("--resume: %s:%d is not a line of captions: %s", name, n, lines.Bytes())
		}
		if captions > 0 && r.Image != present {
			return fmt.Errorf("--resume: %s:%d: %s has only %d captions before it; with num_return_sequences %d go on in another file", name, n, present, captions, captionsEach)
		}
		present = r.Image
		end += len(lines.Bytes()) + 1
		if captions++; captions == captionsEach {
			o.have[r.Image]++
			whole, captions = end, 0
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("--resume: %s: %w", name, err)
	}
	if o.file, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666); err != nil {
		return err
	}
	if err := o.file.Truncate(int64(whole)); err != nil {
		return err
	}
	_, err = o.file.Seek(int64(whole), io.SeekStart)
	return err
}

// left are the pictures that the output does not have yet. One that is named
// twice is captioned twice.
func (o *output) left(pictures []string) []string {
	return slices.DeleteFunc(pictures, func(name string) bool {
		o.have[name]--
		return o.have[name] >= 0
	})
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}
