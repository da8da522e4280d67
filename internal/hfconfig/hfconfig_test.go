package hfconfig_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
)

type config struct {
	Width int `json:"width"`
}

func TestErrorsSayWhereAConfigurationIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"{\n\"width\": 1,\n}":   "config.json: line 3",
		`{"width": "wide"}`:     `field "width" is a JSON string where int is wanted`,
		`{"width": 1`:           "config.json: line 1",
		"{\"width\": 1}\n{}":    "config.json: line 2",
		`["width"]`:             "config.json",
		"\xef\xbb\xbf{\"a\":1}": "config.json: line 1",
	} {
		var c config
		err := hfconfig.Read(fstest.MapFS{"config.json": {Data: []byte(text)}}, "config.json", &c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestUnknownFieldsComeThrough(t *testing.T) {
	c := config{Width: 1}
	raw, err := hfconfig.Decode([]byte(`{"width": 2, "other": [1, {"deep": null}]}`), &c)
	if err != nil || c.Width != 2 {
		t.Fatal(c, err)
	}
	c.Width = 3
	data, err := raw.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"other":[1,{"deep":null}],"width":3}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	if string(raw["width"]) != "2" {
		t.Error("encoding changed the original")
	}
}

func TestWriteReplacesAFileAsAWhole(t *testing.T) {
	dir := t.TempDir()
	if err := hfconfig.Write(dir, "config.json", config{Width: 1}); err != nil {
		t.Fatal(err)
	}
	if err := hfconfig.Write(dir, "config.json", func() {}); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("what is no JSON: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	var c config
	if err != nil || json.Unmarshal(data, &c) != nil || c.Width != 1 {
		t.Errorf("the file is %q, %v", data, err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}

func TestAFolderMustBeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "s"} {
		if _, err := hfconfig.FS(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
