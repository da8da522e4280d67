package datasets

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// shot is a PNG of one pixel.
func shot(t testing.TB, c color.Color) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	img.Set(0, 0, c)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// redAndBlue are two picture files.
func redAndBlue(t testing.TB) (red, blue string) {
	return shot(t, color.NRGBA{R: 255, A: 255}), shot(t, color.NRGBA{B: 255, A: 255})
}

// write fills a new folder with files by their slash-separated names.
func write(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// archive is a tar file of the given names and contents, in turn.
func archive(t testing.TB, members ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		header := &tar.Header{Name: members[i], Size: int64(len(members[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}
		if strings.HasSuffix(members[i], "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(members[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// described is what a test expects of an example: its first channel that is
// not 0 tells a red picture (0) from a blue one (2).
type described struct {
	id       string
	captions []string
	channel  int
}

func checkExamples(t *testing.T, d Dataset, want []described) {
	t.Helper()
	var got []described
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		img, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, described{e.ID, e.Captions, slices.Index(img.Pix, 255)})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found\n%v, want\n%v", got, want)
	}
}

func TestEverySourceIsRead(t *testing.T) {
	red, blue := redAndBlue(t)
	pictures := map[string]string{"a.png": red, "sub/b.png": blue}
	both := []described{
		{"a.png", []string{"red", "a red dot"}, 0},
		{"sub/b.png", []string{"blue"}, 2},
	}
	for _, c := range []struct {
		name, file, content string
		want                []described
	}{
		{"COCO", "c.json", `{"info": {"year": 2017}, "licenses": [], "images": [
			{"id": 7, "file_name": "a.png", "height": 1}, {"id": 9, "file_name": "sub/b.png"}],
			"annotations": [{"image_id": 7, "id": 1, "caption": "red\n"}, {"image_id": 9, "caption": "blue"},
			{"image_id": 7, "caption": " a red dot"}]}`, both},
		{"COCO, annotations before images, ids that are strings", "c.json", `{
			"annotations": [{"image_id": "x", "caption": "red"}, {"image_id": "x", "caption": "a red dot"}, {"image_id": "y", "caption": "blue"}],
			"images": [{"id": "x", "file_name": "a.png"}, {"id": "y", "file_name": "sub/b.png"}]}`, both},
		{"Karpathy", "d.json", `{"dataset": "coco", "images": [
			{"filename": "a.png", "split": "train", "imgid": 0, "sentences": [{"raw": "red", "tokens": ["red"]}, {"raw": "a red dot"}]},
			{"filepath": "sub", "filename": "b.png", "split": "val", "sentences": [{"raw": "blue"}]}]}`, both},
		{"array", "l.json", `[{"image": "a.png", "caption": ["red", "a red dot"]}, {"image": "sub/b.png", "caption": "blue"}]`, both},
		{"lines", "l.jsonl", "\ufeff" + `{"image": "a.png", "caption": "red"}` + "\r\n\n" +
			`{"image": "sub/b.png", "captions": ["blue"]}` + "\n" + `{"file_name": "a.png", "text": "a red dot"}`, both},
		{"CSV", "l.csv", "ID,Image , caption\n1,a.png,red\n2,sub/b.png,\"blue\"\r\n\n3,a.png,a red dot", both},
		{"CSV of several captions", "l.csv", "file_name,caption_1,caption_2\na.png,red,a red dot\nsub/b.png,,blue\n", both},
		{"CSV with quoting", "l.csv", "image,caption\na.png,\"a \"\"red\"\", dot\"\na.png,a \"red\" dot\nsub/b.png,\"one\ntwo\"\n", []described{
			{"a.png", []string{`a "red", dot`, `a "red" dot`}, 0}, {"sub/b.png", []string{"one\ntwo"}, 2}}},
		{"TSV", "l.tsv", "path\ttext\na.png\tred\na.png\ta red dot\nsub/b.png\tblue\n", both},
		{"Flickr8k", "captions.txt", "image,caption\na.png,red\na.png,a red dot\nsub/b.png,blue\n", both},
		{"Flickr8k's tokens", "Flickr8k.token.txt", "a.png#0\tred\na.png#1\ta red dot\r\nsub/b.png#0\tblue", both},
		{"Flickr30k's tokens", "results.token", "a.png#0\tred | dot\nsub/b.png#0\tblue", []described{
			{"a.png", []string{"red | dot"}, 0}, {"sub/b.png", []string{"blue"}, 2}}},
		{"Flickr30k", "results.csv", "image_name| comment_number| comment\na.png| 0| red\na.png| 1| a red dot\nsub/b.png| 0| \"blue\n", []described{
			{"a.png", []string{"red", "a red dot"}, 0}, {"sub/b.png", []string{`"blue`}, 2}}},
		{"imagefolder, lines", "metadata.jsonl", `{"file_name": "a.png", "text": ["red", "a red dot"]}` + "\n" + `{"file_name": "sub/b.png", "text": "blue"}`, both},
		{"imagefolder, table", "metadata.csv", "file_name,text\na.png,red\na.png,a red dot\nsub/b.png,blue\n", both},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, pictures)
			elsewhere := write(t, map[string]string{c.file: c.content})
			file := filepath.Join(elsewhere, c.file)
			d, err := Open(file, Options{Images: dir})
			if err != nil {
				t.Fatal(err)
			}
			checkExamples(t, d, c.want)
			if _, err := Open(file, Options{}); err == nil || !strings.Contains(err.Error(), "the folder of its pictures?") {
				t.Errorf("without the folder of pictures the error is %v", err)
			}

			// Beside its pictures the file needs no options, and where its
			// name tells what it is, the folder is enough.
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			source := filepath.Join(dir, c.file)
			if strings.HasPrefix(c.file, "metadata") {
				source = dir
			}
			if d, err = Open(source, Options{}); err != nil {
				t.Fatal(err)
			}
			checkExamples(t, d, c.want)
		})
	}
}

func TestAFolderOfPicturesAndTextsIsRead(t *testing.T) {
	red, blue := redAndBlue(t)
	dir := write(t, map[string]string{
		"a.png": red, "a.txt": "\ufeffred\r\n\n a red dot ",
		"sub/b.PNG": blue, "sub/b.txt": "blue\n",
		".DS_Store": "", ".hidden/c.png": red, "._a.png": "", "notes.md": "notes",
	})
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkExamples(t, d, []described{{"a.png", []string{"red", "a red dot"}, 0}, {"sub/b.PNG", []string{"blue"}, 2}})
}

func TestWebDatasetShardsAreRead(t *testing.T) {
	red, blue := redAndBlue(t)
	one := archive(t, "./", "", "./0.txt", "red\na red dot", "./0.png", red, "./0.seg.png", "other", "./0.cls", "1",
		"./sub/1.png", blue, "./sub/1.json", `{"caption": "blue", "width": 1}`)
	two := archive(t, "0.json", `{"caption": "ignored"}`, "0.png", blue, "0.txt", "blue again")
	dir := write(t, map[string]string{"s-0.tar": one, "s-1.tar": two})

	d, err := Open(filepath.Join(dir, "s-0.tar"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkExamples(t, d, []described{{"0.png", []string{"red", "a red dot"}, 0}, {"sub/1.png", []string{"blue"}, 2}})

	if d, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	checkExamples(t, d, []described{
		{"s-0.tar/0.png", []string{"red", "a red dot"}, 0},
		{"s-0.tar/sub/1.png", []string{"blue"}, 2},
		{"s-1.tar/0.png", []string{"blue again"}, 2},
	})
}

func TestTheWantedSplitsAreTaken(t *testing.T) {
	red, _ := redAndBlue(t)
	dir := write(t, map[string]string{
		"a": red, "b": red, "c": red,
		"k.json": `{"images": [{"filename": "a", "split": "train", "sentences": [{"raw": "a"}]},
			{"filename": "b", "split": "val", "sentences": [{"raw": "b"}]}, {"filename": "c", "split": "restval", "sentences": [{"raw": "c"}]}]}`,
		"c.json": `{"images": [{"id": 1, "file_name": "a", "split": "train"}, {"id": 2, "file_name": "b", "split": "val"}, {"id": 3, "file_name": "c", "split": "restval"}],
			"annotations": [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}, {"image_id": 3, "caption": "c"}]}`,
		"l.jsonl": `{"image": "a", "split": "train", "text": "a"}
			{"image": "b", "split": "val", "text": "b"}
			{"image": "c", "split": "restval", "text": "c"}`,
		"t.csv":  "image,text,split\na,a,train\nb,b,val\nc,c,restval\n",
		"no.csv": "image,text\na,a\n",
	})
	for _, file := range []string{"k.json", "c.json", "l.jsonl", "t.csv"} {
		for split, want := range map[string][]string{
			"": {"a", "b", "c"}, "val": {"b"}, "train": {"a"}, "train+restval": {"a", "c"},
		} {
			d, err := Open(filepath.Join(dir, file), Options{Split: split})
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(t, d); !slices.Equal(got, want) {
				t.Errorf("%s: split %q is %v, want %v", file, split, got, want)
			}
		}
		_, err := Open(filepath.Join(dir, file), Options{Split: "test"})
		if err == nil || !strings.Contains(err.Error(), `no picture is of split "test"; its splits are ["restval" "train" "val"]`) {
			t.Errorf("%s: error is %v", file, err)
		}
	}
	_, err := Open(filepath.Join(dir, "no.csv"), Options{Split: "train"})
	if err == nil || !strings.Contains(err.Error(), `split "train" is wanted, but no picture tells its split`) {
		t.Errorf("error is %v", err)
	}
}

func TestWhatIsMalformedIsNamed(t *testing.T) {
	red, _ := redAndBlue(t)
	const aPNG = `{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "a"}`
	for _, c := range []struct{ file, content, want string }{
		{"l.jsonl", "{\"image\": \"a.png\", \"text\": \"a\"}\n\n{\"image\": ", "l.jsonl:3: record: unexpected end of JSON input"},
		{"l.jsonl", `{"text": "a"}`, `l.jsonl:1: no picture: want one of ["image" "file_name"`},
		{"l.jsonl", `{"image": 3, "text": "a"}`, `l.jsonl:1: "image" is 3, want the name of a picture`},
		{"l.jsonl", `{"image": "", "text": "a"}`, `l.jsonl:1: "image" is "", want the name of a picture`},
		{"l.jsonl", `{"image": "a.png", "b": 0}`, `l.jsonl:1: picture a.png: no caption: want one of ["captions"`},
		{"l.jsonl", `{"image": "a.png", "text": " "}`, "l.jsonl:1: picture a.png: caption is empty"},
		{"l.jsonl", `{"image": "a.png", "text": []}`, `l.jsonl:1: picture a.png: "text" is [], want a string or an array of strings`},
		{"l.jsonl", `{"image": "a.png", "text": null}`, `l.jsonl:1: picture a.png: "text" is null, want`},
		{"l.jsonl", `{"image": "a.png", "text": ["a", 1]}`, `l.jsonl:1: picture a.png: "text" is ["a", 1], want`},
		{"l.jsonl", `{"image": "a.png", "text": "a", "split": 1}`, `l.jsonl:1: "split" is 1, want a string`},
		{"l.jsonl", "{\"image\": \"a.png\", \"text\": \"\xff\"}", "l.jsonl:1: record is not UTF-8"},
		{"l.jsonl", "\n", "l.jsonl: no pictures"},
		{"l.csv", "", "l.csv: no header line"},
		{"l.csv", "image,caption\n", "l.csv: no pictures"},
		{"l.csv", "name,caption\n", `l.csv:1: no column of pictures: want one of ["image"`},
		{"l.csv", "image,label\n", `l.csv:1: no column of captions: want one of ["captions"`},
		{"l.csv", "image,text,Text\n", `l.csv:1: two columns are named "text"`},
		{"l.csv", "image,caption\na.png,a\na.png,b,c\n", "l.csv:3: found 3 cells, want 2 as in the header"},
		{"l.csv", "image,caption\na.png\n", "l.csv:2: found 1 cells, want 2 as in the header"},
		{"l.csv", "image,caption\na.png, \n", "l.csv:2: picture a.png: caption is empty"},
		{"l.csv", "image,caption\n,a\n", "l.csv:2: the name of the picture is empty"},
		{"l.csv", "image,caption\na.png,\"b\nc\"\na.png,\xff\n", `l.csv:4: picture a.png: caption "\xff" is not UTF-8`},
		{"l.csv", "image,caption\na.png,\"a\n\na.png,b\n", "l.csv:2: a quoted cell does not end"},
		{"l.csv", "image,caption\na.png,\"a\"b\n", `l.csv:2: a quoted cell is followed by "b"`},
		{"results.csv", "image_name| comment_number| comment\na.png| 4   A dog runs.\n", "results.csv:2: found 2 cells, want 3 as in the header"},
		{"t.token", "a.png#0\ta\na.png 1 b\n", `t.token:2: found "a.png 1 b", want "name.jpg#0", a tab and a caption`},
		{"t.token", "a.png#0\ta\na.png#1\t\n", "t.token:2: caption is empty"},
		{"c.json", "", "c.json: byte 0: unexpected EOF"},
		{"c.json", "3", "c.json: begins with 3, want an object or an array"},
		{"c.json", `{"a": 1}`, `c.json: no "images": neither COCO's captions nor Karpathy's splits`},
		{"c.json", `{"images": []}`, "c.json: no pictures"},
		{"c.json", `{"images": {}}`, `c.json: "images" is {, want an array`},
		{"c.json", `{"images": [{"id": 1}]}`, `c.json: images[0]: neither "file_name" nor "filename"`},
		{"c.json", `{"images": [{"file_name": 1}]}`, `c.json: images[0]: json: cannot unmarshal number`},
		{"c.json", `{"images": [{"id": 1, "file_name": "a.png"}]}`, "c.json: picture a.png has no caption"},
		{"c.json", `{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]}`, "c.json: images[1]: picture a.png is listed twice"},
		{"c.json", `{"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]}`, "c.json: images[1]: picture b.png: id 1 is that of another picture too"},
		{"c.json", aPNG + `, {"image_id": 2, "caption": "b"}]}`, "c.json: annotations[1]: no image has id 2"},
		{"c.json", aPNG + `, {"image_id": 1, "caption": ""}]}`, "c.json: annotations[1] of a.png: caption is empty"},
		{"c.json", aPNG + `, {"image_id": 1, "bbox": []}]}`, `c.json: annotations[1]: no "caption"`},
		{"c.json", aPNG + `, {"caption": "a"}]}`, `c.json: annotations[1]: no "image_id"`},
		{"c.json", aPNG + `, {"image_`, "c.json: byte "},
		{"c.json", aPNG, "unexpected EOF"},
		{"c.json", aPNG + `]`, "unexpected EOF"},
		{"c.json", aPNG + `]} {}`, "more follows the end of the JSON value"},
		{"c.json", aPNG + `], "info": }`, "c.json: byte "},
		{"c.json", `{"images": [{"filename": "a.png", "sentences": [{"raw": "a"}, {"raw": ""}]}]}`, "c.json: images[0]: picture a.png, sentences[1]: caption is empty"},
		{"l.json", `[{"image": "a.png", "text": "a"}, {"image": "a.png"}]`, "l.json: record[1]: picture a.png: no caption"},
		{"l.json", `[{"image": "a.png", "text": "a"}, {"image]`, "l.json: byte "},
		{"l.xml", "", `file name ends in ".xml", want .json, .jsonl`},
		{"s.tar", "no archive", "s.tar: unexpected EOF"},
		{"s.tar", archive(t), "s.tar: no pictures"},
		{"s.tar", archive(t, "0.png", red), "s.tar: picture 0.png has no 0.txt or .json"},
		{"s.tar", archive(t, "0.txt", "a"), "s.tar: 0 has captions but no picture"},
		{"s.tar", archive(t, "0.png", red, "0.jpg", red), "s.tar: 0.jpg: 0 has two of them"},
		{"s.tar", archive(t, "0.txt", "a", "0.txt", "b"), "s.tar: 0.txt: 0 has two of them"},
		{"s.tar", archive(t, "0.png", red, "0.txt", "a\n\xff"), `s.tar: 0.txt:2: caption "\xff" is not UTF-8`},
		{"s.tar", archive(t, "0.png", red, "0.txt", " \n"), "s.tar: 0.txt: no caption"},
		{"s.tar", archive(t, "0.png", red, "0.json", "{"), "s.tar: 0.json: unexpected end of JSON input"},
		{"s.tar", archive(t, "0.png", red, "0.json", "{}"), "s.tar: 0.json: no caption: want one of"},
		{"s.tar", archive(t, "0.png", red, "0.json", `{"caption": ""}`), "s.tar: 0.json: caption is empty"},
		{"s.tar", archive(t, "0.txt", "a", "0.png", red)[:1600], "s.tar: unexpected EOF"},
	} {
		dir := write(t, map[string]string{c.file: c.content, "a.png": red})
		_, err := Open(filepath.Join(dir, c.file), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Join(dir, c.file)) {
			t.Errorf("%s %q:\nerror is %v\nwant      …%s…", c.file, c.content, err, c.want)
		}
	}
}

func TestWrongFoldersAreNamed(t *testing.T) {
	red, _ := redAndBlue(t)
	for want, files := range map[string]map[string]string{
		"no pictures": {"a.md": ""},
		"picture a.png has no captions: a.txt is missing":            {"a.png": red, "b.png": red, "b.txt": "b"},
		"sub/b.txt has captions of a picture that is missing":        {"a.png": red, "a.txt": "a", "sub/b.txt": "b"},
		"pictures a.jpg and a.png would share the captions of a.txt": {"a.png": red, "a.jpg": red, "a.txt": "a"},
		"a.txt: no caption":                      {"a.png": red, "a.txt": "\n \n"},
		`a.txt:3: caption "\xff\n" is not UTF-8`: {"a.png": red, "a.txt": "a\n\n\xff\n"},
		"name the one to read":                   {"metadata.csv": "", "metadata.jsonl": ""},
	} {
		dir := write(t, files)
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
	for _, dir := range []string{
		write(t, map[string]string{"a.png": red, "a.txt": "a"}),
		write(t, map[string]string{"s.tar": archive(t, "0.png", red, "0.txt", "a")}),
	} {
		if _, err := Open(dir, Options{Images: "elsewhere"}); err == nil || !strings.Contains(err.Error(), `found the option Images = "elsewhere"`) {
			t.Errorf("error is %v", err)
		}
	}
	if _, err := Open("does/not/exist", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func TestAMissingOrBrokenPictureIsAnErrorOfItsImage(t *testing.T) {
	red, _ := redAndBlue(t)
	dir := write(t, map[string]string{"a.png": red, "broken.png": red[:30],
		"l.csv": "image,caption\na.png,a\nmissing.png,b\nbroken.png,c\n"})
	d, err := Open(filepath.Join(dir, "l.csv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"", "missing.png", "broken.png"} {
		e, err := d.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Image()
		if (err != nil) != (i > 0) || i > 0 && (!strings.Contains(err.Error(), filepath.Join(dir, name)) || !strings.Contains(err.Error(), "l.csv")) {
			t.Errorf("%s: error is %v", e.ID, err)
		}
	}

	shard := filepath.Join(write(t, map[string]string{"s.tar": archive(t, "0.txt", "a", "0.png", red[:30])}), "s.tar")
	if d, err = Open(shard, Options{}); err != nil {
		t.Fatal(err)
	}
	e, _ := d.Example(0)
	if _, err := e.Image(); err == nil || !strings.Contains(err.Error(), shard+": 0.png: ") {
		t.Errorf("error is %v", err)
	}
}

func TestNamesMayBeAbsolute(t *testing.T) {
	red, _ := redAndBlue(t)
	dir := write(t, map[string]string{"a.png": red})
	name := filepath.ToSlash(filepath.Join(dir, "a.png"))
	list := write(t, map[string]string{"l.csv": "image,caption\n" + name + ",a\n"})
	d, err := Open(filepath.Join(list, "l.csv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkExamples(t, d, []described{{name, []string{"a"}, 0}})
}

func TestTheDecoderOfTheOptionsReadsThePictures(t *testing.T) {
	clear := shot(t, color.NRGBA{R: 9, G: 9, B: 9, A: 0})
	files := map[string]string{"a.png": clear, "a.txt": "a"}
	for _, source := range []string{
		write(t, files),
		write(t, map[string]string{"s.tar": archive(t, "a.png", clear, "a.txt", "a")}),
	} {
		d, err := Open(source, Options{Decoder: vision.Decoder{Background: color.White}})
		if err != nil {
			t.Fatal(err)
		}
		e, _ := d.Example(0)
		if img, err := e.Image(); err != nil || img.Pix[0] != 255 {
			t.Errorf("a clear pixel on white is %v, %v", img.Pix, err)
		}
	}
}

func TestARegisteredDataSetIsOpenedByItsName(t *testing.T) {
	Register("test set", func(o Options) (Dataset, error) {
		if o.Split != "train" {
			return nil, fmt.Errorf("split is %q", o.Split)
		}
		return pictures{n: 3}, nil
	})
	if d, err := Open("test set", Options{Split: "train"}); err != nil || d.Len() != 3 {
		t.Errorf("found %v, %v", d, err)
	}
	if _, err := Open("test set", Options{}); err == nil {
		t.Error("the function's error is lost")
	}
	if !slices.Contains(Names(), "test set") {
		t.Errorf("names are %q", Names())
	}
	defer func() {
		if recover() == nil {
			t.Error("a second data set takes the name")
		}
	}()
	Register("test set", nil)
}

func FuzzCaptionFiles(f *testing.F) {
	f.Add("image,caption\na.png,\"a\"\"b\"\n")
	f.Add("a.png#0\ta\n")
	f.Add("image| comment\na| b\n")
	f.Add(`{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "a"}]}`)
	f.Add(`{"image": "a.png", "caption": ["a"]}`)
	f.Add(`[{"image": "a.png", "caption": "a"}]`)
	f.Fuzz(func(t *testing.T, content string) {
		for name, read := range map[string]func(*bufio.Reader, *listBuilder) error{
			"JSON": readJSON, "lines": readJSONLines, "table": readTable,
		} {
			b := newListBuilder("x", "")
			if err := read(bufio.NewReader(strings.NewReader(content)), b); err != nil {
				continue
			}
			l, err := b.list()
			if err != nil {
				continue
			}
			for i := range l.Len() {
				for _, c := range l.of(i) {
					if c == "" || c != strings.TrimSpace(c) {
						t.Errorf("%s: caption %q", name, c)
					}
				}
			}
		}
	})
}

func TestPicturesKeepTheIDsThatResultFilesNameThemBy(t *testing.T) {
	red, blue := redAndBlue(t)
	for _, c := range []struct {
		file, content string
		want          [2]string
	}{
		{"c.json", `{"annotations": [{"image_id": 9, "caption": "blue"}, {"image_id": 7, "caption": "red"}],
			"images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}]}`, [2]string{"7", "9"}},
		{"c.json", `{"images": [{"id": "x", "file_name": "a.png"}, {"id": "y", "file_name": "b.png"}],
			"annotations": [{"image_id": "y", "caption": "blue"}, {"image_id": "x", "caption": "red"}]}`, [2]string{"x", "y"}},
		{"d.json", `{"images": [{"filename": "z.png", "split": "test", "cocoid": 1, "sentences": [{"raw": "z"}]},
			{"filename": "a.png", "split": "val", "cocoid": 7, "sentences": [{"raw": "red"}]},
			{"filename": "b.png", "split": "val", "cocoid": 9, "sentences": [{"raw": "blue"}]}]}`, [2]string{"7", "9"}},
		{"l.csv", "image,caption\na.png,red\nb.png,blue\n", [2]string{"", ""}},
	} {
		dir := write(t, map[string]string{"a.png": red, "b.png": blue, c.file: c.content})
		split := ""
		if c.file == "d.json" {
			split = "val"
		}
		d, err := Open(filepath.Join(dir, c.file), Options{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if e, err := d.Example(i); err != nil || e.ImageID != want {
				t.Errorf("%s: picture %s has id %q, want %q (%v)", c.content, e.ID, e.ImageID, want, err)
			}
		}
	}
}
