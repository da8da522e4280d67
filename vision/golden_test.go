package vision_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// The files in testdata are made by internal/reference/images.py.

// golden reads an 8-bit RGB PNG with nothing but the standard library.
func golden(t *testing.T, path string) vision.Image {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	out := vision.NewImage(img.Bounds().Dx(), img.Bounds().Dy())
	for i := range out.Width * out.Height {
		r, g, b, _ := img.At(i%out.Width, i/out.Width).RGBA()
		copy(out.Pix[3*i:], []uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)})
	}
	return out
}

// compare fails unless the two pictures are the same.
func compare(t *testing.T, got, want vision.Image) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height {
		t.Fatalf("size %dx%d, want %dx%d", got.Width, got.Height, want.Width, want.Height)
	}
	differ, largest, first := 0, 0, 0
	for i, v := range got.Pix {
		d := int(v) - int(want.Pix[i])
		if d != 0 {
			if differ == 0 {
				first = i
			}
			differ++
			largest = max(largest, d, -d)
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d values differ, by up to %d; the first is %d, want %d (x %d, y %d, channel %d)",
			differ, len(got.Pix), largest, got.Pix[first], want.Pix[first],
			first/3%got.Width, first/3/got.Width, first%3)
	}
}

func files(t *testing.T, pattern string, atLeast int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < atLeast {
		t.Fatalf("testdata/%s: found %d files, expected at least %d", pattern, len(paths), atLeast)
	}
	return paths
}

func TestPicturesAreReadAsPillowReadsThem(t *testing.T) {
	for _, path := range files(t, "images/*", 130) {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			got, err := vision.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, golden(t, "testdata/rgb/"+name+".png"))
		})
	}
}

func TestAlphaIsLaidOnWhiteAsTransformersDoes(t *testing.T) {
	for _, path := range files(t, "white/*", 20) {
		name := strings.TrimSuffix(filepath.Base(path), ".png")
		t.Run(name, func(t *testing.T) {
			got, err := vision.Decoder{Background: color.White}.Open("testdata/images/" + name)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, golden(t, path))
		})
	}
}

func TestResizeIsPillows(t *testing.T) {
	filters := map[string]vision.Filter{}
	for f := vision.Nearest; f <= vision.MKS2021; f++ {
		filters[f.String()] = f
	}
	for _, path := range files(t, "resized/*", 130) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			// SOURCE_WIDTHxHEIGHT_FILTER.png
			parts := strings.Split(strings.TrimSuffix(filepath.Base(path), ".png"), "_")
			var width, height int
			if _, err := fmt.Sscanf(parts[1], "%dx%d", &width, &height); err != nil {
				t.Fatal(err)
			}
			f, ok := filters[parts[2]]
			if !ok {
				t.Fatalf("no filter is called %s", parts[2])
			}
			source := golden(t, "testdata/rgb/"+parts[0]+".png")
			before := bytes.Clone(source.Pix)
			compare(t, source.Resize(width, height, f), golden(t, path))
			if !bytes.Equal(source.Pix, before) {
				t.Error("the source was changed")
			}
		})
	}
}

func TestProcessorsGiveTheBitsOfTransformers(t *testing.T) {
	var cases []struct {
		Config        json.RawMessage
		Source        string
		Height, Width int
		SHA256        string
		Offset        *int
	}
	data, err := os.ReadFile("testdata/processors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile("testdata/processors.f32")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(string(c.Config), func(t *testing.T) {
			p, err := vision.LoadProcessor(fstest.MapFS{vision.ProcessorFile: {Data: c.Config}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Process(golden(t, "testdata/rgb/"+c.Source+".png"))
			if err != nil {
				t.Fatal(err)
			}
			if got.Height != c.Height || got.Width != c.Width || len(got.Data) != 3*c.Height*c.Width {
				t.Fatalf("height %d, width %d, %d values; want height %d, width %d", got.Height, got.Width, len(got.Data), c.Height, c.Width)
			}
			if c.Offset != nil {
				for i, v := range got.Data {
					want := math.Float32frombits(binary.LittleEndian.Uint32(values[4*(*c.Offset+i):]))
					if v != want {
						t.Fatalf("value %d is %v, want %v", i, v, want)
					}
				}
			}
			bits, err := binary.Append(nil, binary.LittleEndian, got.Data)
			if err != nil {
				t.Fatal(err)
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256(bits)); sum != c.SHA256 {
				t.Errorf("the values have SHA-256 %s, want %s", sum, c.SHA256)
			}
		})
	}
}
