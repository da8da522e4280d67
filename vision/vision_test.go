package vision_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not contain %q", err, part)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestATruncatedPictureIsAnErrorThatNamesTheFile(t *testing.T) {
	for _, name := range []string{
		"rgb8.png", "palette4-interlaced.png", "420-53x41.jpg", "420-progressive-53x41.jpg", "restart.jpg",
		"plain.gif", "lossy80-37x29.webp", "lossless.webp", "animated.webp", "rgb.bmp",
	} {
		data := read(t, "testdata/images/"+name)
		for _, part := range []float64{0.02, 0.3, 0.6, 0.8} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, data[:int(float64(len(data))*part)], 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := vision.Open(path); err == nil {
				t.Errorf("%s: %.0f%% of the file gave a picture", name, 100*part)
			} else {
				wantError(t, err, path)
			}
		}
	}
}

func TestAJPEGWithoutItsEndIsTruncated(t *testing.T) {
	for _, name := range []string{"420-53x41.jpg", "420-progressive-53x41.jpg"} {
		data := read(t, "testdata/images/"+name)
		_, err := vision.Decode(bytes.NewReader(data[:len(data)-2]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: error %v, want %v", name, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestWhatIsNotAPictureIsAnError(t *testing.T) {
	_, err := vision.Decode(strings.NewReader(""))
	wantError(t, err, "no data")
	_, err = vision.Decode(strings.NewReader("<html>404</html>"))
	wantError(t, err, "not an image", "<html>")
	_, err = vision.Open("testdata/none.png")
	wantError(t, err, "testdata/none.png")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
	_, err = vision.Decode(io.MultiReader(strings.NewReader("\x89PNG"), failing{}))
	wantError(t, err, "the disk is gone")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestADamagedJPEGHeaderIsAnErrorThatSaysWhere(t *testing.T) {
	data := read(t, "testdata/images/420-53x41.jpg")
	at := func(marker byte) int {
		i := bytes.Index(data, []byte{0xff, marker})
		if i < 0 {
			t.Fatalf("no marker %#x", marker)
		}
		return i
	}
	segment := func(marker byte) []byte {
		i := at(marker)
		return data[i : i+2+int(binary.BigEndian.Uint16(data[i+2:]))]
	}
	patch := func(marker byte, offset int, value ...byte) []byte {
		out := bytes.Clone(data)
		copy(out[at(marker)+offset:], value)
		return out
	}
	const sof, dht, dqt, dri, sos = 0xc0, 0xc4, 0xdb, 0xdd, 0xda
	scan := segment(sos)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"12 bits", patch(sof, 4, 12), "segment 0xc0: expected 8 bits a sample, found 12"},
		{"2 components", bytes.Replace(data, segment(sof), append([]byte{0xff, sof, 0, 14}, append(segment(sof)[4:9:9], 2, 1, 0x11, 0, 2, 0x11, 0)...), 1), "found 2"},
		{"frame too short", patch(sof, 9, 4), "segment 0xc0: wrong length"},
		{"sampling 0", patch(sof, 11, 0x02), "sampling factors 0 and 2"},
		{"sampling 3 and 2", patch(sof, 11, 0x32, 0, 2, 0x21), "do not divide 3"},
		{"two frames", bytes.Replace(data, segment(sof), bytes.Repeat(segment(sof), 2), 1), "a second frame"},
		{"arithmetic", patch(sof, 1, 0xc9), "segment 0xc9: lossless, hierarchical and arithmetic coding are not supported"},
		{"no frame", bytes.Replace(data, segment(sof), nil, 1), "a scan before the frame header"},
		{"no quantisation", bytes.ReplaceAll(bytes.Replace(data, segment(dqt), nil, 1), []byte{0xff, dqt}, []byte{0xff, 0xfe}), "a quantisation table is not defined"},
		{"quantisation table 4", patch(dqt, 4, 4), "found quantisation table 4"},
		{"quantisation table cut", patch(dqt, 4, 0x10), "segment 0xdb: wrong length"},
		{"no Huffman tables", bytes.ReplaceAll(data, []byte{0xff, dht}, []byte{0xff, 0xfe}), "a Huffman table is not defined"},
		{"Huffman table 4", patch(dht, 4, 4), "found Huffman table 4"},
		{"too many codes", patch(dht, 5, 3), "segment 0xc4"},
		{"too many short codes", patch(dht, 5, 3, 0, 2), "more Huffman codes than fit"},
		{"restart interval", bytes.Replace(data, scan, append([]byte{0xff, dri, 0, 3, 0}, scan...), 1), "segment 0xdd: wrong length"},
		{"unknown component", patch(sos, 5, 9), "scan 1: no component 9"},
		{"component twice", patch(sos, 7, 1), "scan 1: no component 1"},
		{"scan's tables", patch(sos, 6, 0x40), "scan 1: found Huffman tables 4 and 0"},
		{"scan too short", patch(sos, 4, 2), "scan 1: wrong length"},
		{"length 1", patch(sof, 2, 0, 1), "segment 0xc0: expected a length of at least 2, found 1"},
		{"no scan", append(data[:at(sos):at(sos)], 0xff, 0xd9), "no image data"},
	} {
		_, err := vision.Decode(bytes.NewReader(c.data))
		if err == nil {
			t.Errorf("%s: no error", c.name)
		} else if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "JPEG image") {
			t.Errorf("%s: error %q, want one with %q", c.name, err, c.want)
		}
	}
}

func TestAJPEGOfEndlessScansIsRefused(t *testing.T) {
	data := read(t, "testdata/images/420-progressive-16x16.jpg")
	at := bytes.Index(data, []byte{0xff, 0xda})
	scan := data[at : at+2+int(binary.BigEndian.Uint16(data[at+2:]))]
	_, err := vision.Decode(bytes.NewReader(slices.Concat(data[:at], bytes.Repeat(scan, 501), data[at:])))
	wantError(t, err, "more than 500 scans")
}

func TestAGIFWithoutAFrameIsAnError(t *testing.T) {
	data := read(t, "testdata/images/plain.gif")
	header := 13 + 3*16
	_, err := vision.Decode(bytes.NewReader(append(bytes.Clone(data[:header]), ';')))
	wantError(t, err, "GIF image", "no frame")
	data[header+10] = 9
	_, err = vision.Decode(bytes.NewReader(data))
	wantError(t, err, "GIF image", "found 9")
}

func TestAProcessorSaysHowItsPicturesAreRead(t *testing.T) {
	p := vision.DefaultProcessor(8)
	if d := p.Decoder(); d != (vision.Decoder{}) {
		t.Errorf("%+v, want the zero Decoder", d)
	}
	p.DoConvertRGB = true
	if d := p.Decoder(); d.Background != color.White {
		t.Errorf("background %v, want white", d.Background)
	}
}

// sized returns the beginning of a file of each format that announces the size.
func sized(width, height uint32) map[string][]byte {
	u16 := func(v uint32) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	u24 := func(v uint32) []byte { return u32(v)[:3] }
	b16 := func(v uint32) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
	b32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	join := func(parts ...any) []byte {
		var out []byte
		for _, p := range parts {
			switch p := p.(type) {
			case string:
				out = append(out, p...)
			case []byte:
				out = append(out, p...)
			}
		}
		return out
	}
	header := join("IHDR", b32(width), b32(height), "\x08\x02\x00\x00\x00")
	frame := join("\x00\x11\x08", b16(height), b16(width), "\x03\x01\x22\x00\x02\x11\x00\x03\x11\x00")
	return map[string][]byte{
		"PNG":  join("\x89PNG\r\n\x1a\n", b32(13), header, b32(crc32.ChecksumIEEE(header)), b32(0), "IDAT"),
		"JPEG": join("\xff\xd8\xff\xc0", frame, "\xff\xd9"),
		"GIF":  join("GIF89a", u16(width), u16(height), "\x00\x00\x00\x2c\x00\x00\x00\x00", u16(1), u16(1), "\x00\x08\x00\x3b"),
		"WebP": join("RIFF", u32(26), "WEBPVP8X", u32(10), "\x10\x00\x00\x00", u24(width-1), u24(height-1), "VP8 "),
		"BMP": join("BM", u32(0), u32(0), u32(54), u32(40), u32(width), u32(height), u16(1), u16(24), u32(0), u32(0),
			u32(0), u32(0), u32(0), u32(0)),
	}
}

func TestAPictureAboveTheLimitIsRefusedBeforeItIsDecoded(t *testing.T) {
	for name, data := range sized(16000, 16000) {
		_, err := vision.Decode(bytes.NewReader(data))
		wantError(t, err, name, "too large", "16000x16000", "178956970")
	}
	for name, data := range sized(101, 10) {
		_, err := vision.Decoder{MaxPixels: 1000}.Decode(bytes.NewReader(data))
		wantError(t, err, name, "too large", "101x10", "1000")
		_, err = vision.Decoder{MaxPixels: 1010}.Decode(bytes.NewReader(data))
		if err != nil && strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v, with a limit that is not exceeded", name, err)
		}
	}
}

func TestAPictureWithoutPixelsIsAnError(t *testing.T) {
	for name, data := range sized(0, 0) {
		if name == "WebP" || name == "GIF" { // A WebP has no such size, and the frame makes the GIF's.
			continue
		}
		_, err := vision.Decode(bytes.NewReader(data))
		wantError(t, err, name)
	}
}

func TestALargeJPEGHeaderWithoutDataTakesNoMemory(t *testing.T) {
	data := sized(12000, 12000)["JPEG"]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := vision.Decode(bytes.NewReader(data)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v, want %v", err, io.ErrUnexpectedEOF)
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 1<<20 {
		t.Errorf("%d bytes", allocated)
	}
}

func TestFromImageTakesAPartOfAPicture(t *testing.T) {
	bounds := image.Rect(0, 0, 24, 18)
	yes := image.NewYCbCr(bounds, image.YCbCrSubsampleRatio444)
	nrgba, rgba, gray := image.NewNRGBA(bounds), image.NewRGBA(bounds), image.NewGray(bounds)
	gray16, nrgba64, cmyk := image.NewGray16(bounds), image.NewNRGBA64(bounds), image.NewCMYK(bounds)
	paletted := image.NewPaletted(bounds, color.Palette{color.Black, color.NRGBA{200, 3, 7, 90}, color.White})
	for i, pix := range [][]uint8{yes.Y, yes.Cb, yes.Cr, nrgba.Pix, gray.Pix, gray16.Pix, nrgba64.Pix, cmyk.Pix} {
		for j := range pix {
			pix[j] = uint8(j*j*31 + 7*j + i)
		}
	}
	for j := range paletted.Pix {
		paletted.Pix[j] = uint8(j * j % 3)
	}
	for j := range rgba.Pix {
		rgba.Pix[j] = uint8(255 - j%4*j%3)
		if j%4 == 3 {
			rgba.Pix[j] = 255
		}
	}
	part := image.Rect(5, 3, 16, 18)
	for _, img := range []interface {
		image.Image
		SubImage(image.Rectangle) image.Image
	}{yes, nrgba, rgba, gray, gray16, nrgba64, cmyk, paletted} {
		whole, got := vision.FromImage(img), vision.FromImage(img.SubImage(part))
		want := vision.NewImage(part.Dx(), part.Dy())
		for y := range want.Height {
			copy(want.Pix[3*want.Width*y:3*want.Width*(y+1)], whole.Pix[3*(whole.Width*(y+part.Min.Y)+part.Min.X):])
		}
		if slices.Max(want.Pix) == 0 {
			t.Fatalf("%T: the picture is black", img)
		}
		t.Logf("%T", img)
		compare(t, got, want)
	}
}

func TestFromImageConvertsTheStandardLibrarysJPEGLikeDecode(t *testing.T) {
	for _, name := range []string{"420-53x41.jpg", "422-53x41.jpg", "444-53x41.jpg", "440.jpg", "411.jpg"} {
		data := read(t, "testdata/images/"+name)
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want, err := vision.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		// The two inverse transforms round differently, which is all that may differ.
		for i, v := range vision.FromImage(img).Pix {
			if d := int(v) - int(want.Pix[i]); d < -4 || d > 4 {
				t.Fatalf("%s: value %d is %d, want about %d", name, i, v, want.Pix[i])
			}
		}
	}
}

func TestABackgroundIsLaidUnderTransparentPixels(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	img.SetNRGBA(0, 0, color.NRGBA{10, 20, 30, 0})
	img.SetNRGBA(1, 0, color.NRGBA{10, 20, 30, 255})
	img.SetNRGBA(2, 0, color.NRGBA{0, 100, 200, 51})
	for _, c := range []struct {
		background color.Color
		want       []uint8
	}{
		{nil, []uint8{10, 20, 30, 10, 20, 30, 0, 100, 200}},
		{color.White, []uint8{255, 255, 255, 10, 20, 30, 204, 224, 244}},
		{color.Black, []uint8{0, 0, 0, 10, 20, 30, 0, 20, 40}},
		{color.NRGBA{100, 0, 50, 7}, []uint8{100, 0, 50, 10, 20, 30, 80, 20, 80}},
	} {
		if got := (vision.Decoder{Background: c.background}).FromImage(img).Pix; !bytes.Equal(got, c.want) {
			t.Errorf("on %v: %v, want %v", c.background, got, c.want)
		}
	}
}

// counting returns a picture whose values tell where they are.
func counting(width, height int) vision.Image {
	img := vision.NewImage(width, height)
	for i := range img.Pix {
		img.Pix[i] = uint8(i*i%251 + 1)
	}
	return img
}

func TestCenterCropCutsAndPadsEachSide(t *testing.T) {
	for _, c := range []struct{ width, height, cropWidth, cropHeight, left, top int }{
		{5, 4, 5, 4, 0, 0},
		{5, 4, 3, 2, 1, 1},
		{5, 4, 2, 1, 1, 1},
		{5, 4, 8, 4, -2, 0},
		{5, 4, 6, 7, -1, -2},
		{5, 4, 3, 9, 1, -3},
		{1, 1, 1, 2, 0, -1},
	} {
		img := counting(c.width, c.height)
		got := img.CenterCrop(c.cropWidth, c.cropHeight)
		want := vision.NewImage(c.cropWidth, c.cropHeight)
		for i := range want.Pix {
			x, y := i/3%c.cropWidth+c.left, i/3/c.cropWidth+c.top
			if x >= 0 && x < c.width && y >= 0 && y < c.height {
				want.Pix[i] = img.Pix[3*(y*c.width+x)+i%3]
			}
		}
		compare(t, got, want)
	}
}

// plainResize filters in two dimensions at once, in float64.
func plainResize(img vision.Image, width, height int, weight func(float64) float64, support float64) []float64 {
	weights := func(in, out, i int) []float64 {
		scale := float64(in) / float64(out)
		stretch := max(1, scale)
		center := (float64(i) + 0.5) * scale
		w := make([]float64, in)
		sum := 0.0
		for j := range w {
			if d := float64(j) + 0.5 - center; math.Abs(d) < support*stretch+0.5 {
				w[j] = weight(d / stretch)
			}
			sum += w[j]
		}
		for j := range w {
			w[j] /= sum
		}
		return w
	}
	out := make([]float64, 3*width*height)
	for i := range out {
		wx, wy := weights(img.Width, width, i/3%width), weights(img.Height, height, i/3/width)
		for y, b := range wy {
			for x, a := range wx {
				out[i] += a * b * float64(img.Pix[3*(y*img.Width+x)+i%3])
			}
		}
	}
	return out
}

func TestResizeIsAFilterOfBothDirections(t *testing.T) {
	triangle := func(x float64) float64 { return max(0, 1-math.Abs(x)) }
	cubic := func(x float64) float64 {
		switch x = math.Abs(x); {
		case x < 1:
			return 1.5*x*x*x - 2.5*x*x + 1
		case x < 2:
			return -0.5*x*x*x + 2.5*x*x - 4*x + 2
		}
		return 0
	}
	for _, in := range [][2]int{{1, 1}, {1, 7}, {2, 3}, {9, 5}, {31, 17}} {
		for _, out := range [][2]int{{1, 1}, {3, 2}, {8, 13}, {40, 1}} {
			img := counting(in[0], in[1])
			for i, v := range img.Pix {
				img.Pix[i] = 60 + v/2 // far from the limits, where the pass in between would clip
			}
			for f, want := range map[vision.Filter][]float64{
				vision.Bilinear: plainResize(img, out[0], out[1], triangle, 1),
				vision.Bicubic:  plainResize(img, out[0], out[1], cubic, 2),
			} {
				for i, v := range img.Resize(out[0], out[1], f).Pix {
					// Half a level for each of two roundings, the first a little more by the filter's negative lobes.
					if d := math.Abs(float64(v) - want[i]); d > 1.2 {
						t.Fatalf("%v from %v to %v: value %d is %d, want %.2f", f, in, out, i, v, want[i])
					}
				}
			}
		}
	}
}

func TestResizeOfOneColourIsThatColour(t *testing.T) {
	img := vision.NewImage(13, 7)
	for i := range img.Pix {
		img.Pix[i] = []uint8{255, 1, 130}[i%3]
	}
	for f := vision.Nearest; f <= vision.MKS2021; f++ {
		for _, size := range [][2]int{{1, 1}, {2, 30}, {50, 3}, {13, 7}, {64, 64}} {
			for i, v := range img.Resize(size[0], size[1], f).Pix {
				if v != img.Pix[i%3] {
					t.Fatalf("%v to %v: value %d is %d, want %d", f, size, i, v, img.Pix[i%3])
				}
			}
		}
	}
}

func TestResizeToTheSameSizeIsACopy(t *testing.T) {
	img := counting(6, 4)
	got := img.Resize(6, 4, vision.Bicubic)
	compare(t, got, img)
	got.Pix[0]++
	if got.Pix[0] == img.Pix[0] {
		t.Error("the copy shares its pixels with the source")
	}
}

func TestResizePanicsOnAProgrammersMistake(t *testing.T) {
	for name, resize := range map[string]func(){
		"to 0x3":          func() { counting(2, 2).Resize(0, 3, vision.Box) },
		"unknown filter":  func() { counting(2, 2).Resize(3, 3, vision.Filter(8)) },
		"has no pixels":   func() { vision.Image{}.Resize(3, 3, vision.Box) },
		"needs 12 values": func() { vision.Image{Width: 2, Height: 2, Pix: make([]uint8, 11)}.Resize(3, 3, vision.Box) },
		"NewImage(-1, 3)": func() { vision.NewImage(-1, 3) },
	} {
		func() {
			defer func() {
				if message, _ := recover().(string); !strings.Contains(message, name) {
					t.Errorf("panic %q, want one with %q", message, name)
				}
			}()
			resize()
		}()
	}
}

func TestAFieldThatCannotBeFollowedIsNamed(t *testing.T) {
	for config, field := range map[string]string{
		`{"size": "large"}`:                               "size",
		`{"size": {"height": 3}}`:                         "size",
		`{"size": {"longest_edge": 3}}`:                   "size",
		`{"size": {"shortest_edge": 3, "max_width": 9}}`:  "size",
		`{"size": -1}`:                                    "size",
		`{"size": 100000000}`:                             "size",
		`{"size": [1, 2, 3]}`:                             "size",
		`{"do_center_crop": true, "crop_size": 60000}`:    "crop_size",
		`{"size": 60000}`:                                 "size",
		`{"image_std": 1e-50}`:                            "image_std",
		`{"do_center_crop": true}`:                        "crop_size",
		`{"do_resize": 1}`:                                "do_resize",
		`{"resample": 8}`:                                 "resample",
		`{"resample": "bicubic"}`:                         "resample",
		`{"image_mean": [0.5, 0.5]}`:                      "image_mean",
		`{"image_std": [0.5, 0.5, 0]}`:                    "image_std",
		`{"rescale_factor": "1/255"}`:                     "rescale_factor",
		`{"image_processor_type": "DonutImageProcessor"}`: "image_processor_type",
		`{"feature_extractor_type": 3}`:                   "feature_extractor_type",
		`{"do_pad": true, "pad_size": {"height": 9}}`:     "do_pad",
		`{"do_resize": true`:                              "",
		`[]`:                                              "",
	} {
		t.Run(config, func(t *testing.T) {
			_, err := vision.LoadProcessor(fstest.MapFS{vision.ProcessorFile: {Data: []byte(config)}})
			wantError(t, err, vision.ProcessorFile, field)
		})
	}
}

func TestAFolderWithoutAProcessorIsAnError(t *testing.T) {
	_, err := vision.LoadProcessor(fstest.MapFS{"config.json": {Data: []byte("{}")}})
	wantError(t, err, vision.ProcessorFile)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
	_, err = vision.LoadProcessor(fstest.MapFS{"processor_config.json": {Data: []byte("{}")}})
	wantError(t, err, "processor_config.json", "image_processor")
}

func TestAProcessorIsFoundInProcessorConfig(t *testing.T) {
	p, err := vision.LoadProcessor(fstest.MapFS{"processor_config.json": {
		Data: []byte(`{"image_processor": {"image_processor_type": "ViTImageProcessor", "size": 48}, "processor_class": "TrOCRProcessor"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if *p != *vision.DefaultProcessor(48) {
		t.Errorf("%+v, want %+v", *p, *vision.DefaultProcessor(48))
	}
}

func TestASavedProcessorLoadsAsItWas(t *testing.T) {
	clip := vision.DefaultProcessor(24)
	clip.Size, clip.Resample = vision.Size{ShortestEdge: 30, LongestEdge: 90}, vision.Bicubic
	clip.DoCenterCrop, clip.CropSize, clip.DoConvertRGB = true, vision.Size{Height: 20, Width: 24}, true
	clip.ImageMean, clip.RescaleFactor = [3]float64{0.48145466, 0.4578275, 0.40821073}, 0.0125
	plain := &vision.Processor{}
	for _, p := range []*vision.Processor{vision.DefaultProcessor(224), clip, plain} {
		dir := t.TempDir()
		if err := p.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := vision.LoadProcessor(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		if p == plain { // What is not done has no parameters to keep.
			got.Size = vision.Size{}
		}
		if *got != *p {
			t.Errorf("loaded %+v, saved %+v", *got, *p)
		}
	}
	err := (&vision.Processor{DoResize: true}).Save(t.TempDir())
	wantError(t, err, vision.ProcessorFile, "size")
	err = vision.DefaultProcessor(8).Save(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
}

func TestASavedProcessorHasTransformersFields(t *testing.T) {
	data, err := json.Marshal(vision.DefaultProcessor(32))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"do_center_crop":false,"do_convert_rgb":false,"do_normalize":true,"do_rescale":true,"do_resize":true,` +
		`"image_mean":[0.5,0.5,0.5],"image_processor_type":"ViTImageProcessor","image_std":[0.5,0.5,0.5],"resample":2,` +
		`"rescale_factor":0.00392156862745098,"size":{"height":32,"width":32}}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

func TestProcessRefusesWhatItCannotDo(t *testing.T) {
	_, err := vision.DefaultProcessor(8).Process(vision.Image{})
	wantError(t, err, "no pixels")
	_, err = vision.DefaultProcessor(8).Process(vision.Image{Width: 2, Height: 2, Pix: make([]uint8, 3)})
	wantError(t, err, "needs 12 values", "found 3")
	_, err = vision.DefaultProcessor(-8).Process(counting(2, 2))
	wantError(t, err, "size")
	edge := vision.DefaultProcessor(8)
	edge.Size = vision.Size{ShortestEdge: 60000}
	_, err = edge.Process(counting(1, 100))
	wantError(t, err, "size", "1x100")
	edge.Size = vision.Size{MaxHeight: 3, MaxWidth: 3}
	_, err = edge.Process(counting(1, 100))
	wantError(t, err, "size", "0x3")
}

// FuzzDecode holds Decode to its promise: a whole picture or an error.
func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/images/*")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	d := vision.Decoder{Background: color.White, MaxPixels: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := d.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		if img.Width <= 0 || img.Height <= 0 || img.Width*img.Height > 1<<16 || len(img.Pix) != 3*img.Width*img.Height {
			t.Fatalf("a picture of %dx%d with %d values", img.Width, img.Height, len(img.Pix))
		}
	})
}

func TestAPictureCanBeWrittenByOthers(t *testing.T) {
	m := vision.NewImage(3, 2)
	for i := range m.Pix {
		m.Pix[i] = uint8(10 * i)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	back, err := vision.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	if back.Width != 3 || back.Height != 2 || !slices.Equal(back.Pix, m.Pix) {
		t.Errorf("%v came back as %v", m, back)
	}
	if c := m.At(3, 0); c != (color.RGBA{}) {
		t.Errorf("outside the picture there is %v", c)
	}
}
