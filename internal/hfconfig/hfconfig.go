// Package hfconfig reads and writes Hugging Face's JSON configuration files.
package hfconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
)

// Read decodes the JSON file name of a folder into v, whose fields keep their
// values where the file says nothing. Errors name the file.
func Read(fsys fs.FS, name string, v any) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, describe(err, data))
	}
	return nil
}

// describe adds the line to a syntax error, and says a field's type plainly.
func describe(err error, data []byte) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1
		for _, b := range data[:min(int(syntax.Offset), len(data))] {
			if b == '\n' {
				line++
			}
		}
		return fmt.Errorf("line %d: %w", line, err)
	}
	var field *json.UnmarshalTypeError
	if errors.As(err, &field) {
		return fmt.Errorf("field %q is a JSON %s where %s is wanted", field.Field, field.Value, field.Type)
	}
	return err
}

// Raw is a JSON object as it was read: it carries the fields that this
// project does not know from a loaded file to a saved one.
type Raw map[string]json.RawMessage

// With returns a copy of r in which the fields of v replace their namesakes.
func (r Raw) With(v any) (Raw, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var known Raw
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, err
	}
	out := maps.Clone(r)
	if out == nil {
		out = Raw{}
	}
	maps.Copy(out, known)
	return out, nil
}

// Decode reads a JSON object into v, and returns it as it was.
func Decode(data []byte, v any) (Raw, error) {
	if err := json.Unmarshal(data, v); err != nil {
		return nil, err
	}
	var raw Raw
	err := json.Unmarshal(data, &raw)
	return raw, err
}

// Encode writes r with the fields of v in place of their namesakes.
func (r Raw) Encode(v any) ([]byte, error) {
	merged, err := r.With(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(merged)
}

// Write saves v as the JSON file name in a folder, indented and with its keys
// in order, replacing the old one only once the new one is complete.
func Write(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return atomicfile.WriteBytes(filepath.Join(dir, name), append(data, '\n'))
}

// FS returns a folder of the file system, or an error that says that it is
// missing or no folder.
func FS(dir string) (fs.FS, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, not a folder", dir)
	}
	return os.DirFS(dir), nil
}
