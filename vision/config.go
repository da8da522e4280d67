package vision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ProcessorFile is the name of the file that describes a [Processor].
const ProcessorFile = "preprocessor_config.json"

// Processor says how a picture becomes an encoder's input. Its fields are those of
// preprocessor_config.json.
type Processor struct {
	DoResize      bool
	Size          Size   // what DoResize resizes to
	Resample      Filter // with which filter
	DoCenterCrop  bool
	CropSize      Size // Height and Width
	DoRescale     bool
	RescaleFactor float64 // what an 8-bit value is multiplied by, usually 1/255
	DoNormalize   bool
	ImageMean     [3]float64 // of red, green, blue, subtracted
	ImageStd      [3]float64 // of red, green, blue, divided by
	// DoConvertRGB is kept for the file: an Image is RGB already. Where it is set, transformers
	// (5.23) lays a picture with alpha on white; see Decoder.
	DoConvertRGB bool
}

// Size is a target size in pixels, in one of three forms: Height and Width; ShortestEdge, which
// keeps the picture's proportions, with or without LongestEdge, a bound for the other side;
// MaxHeight and MaxWidth, which keep the proportions and make one of the two.
type Size struct {
	Height       int `json:"height,omitempty"`
	Width        int `json:"width,omitempty"`
	ShortestEdge int `json:"shortest_edge,omitempty"`
	LongestEdge  int `json:"longest_edge,omitempty"`
	MaxHeight    int `json:"max_height,omitempty"`
	MaxWidth     int `json:"max_width,omitempty"`
}

// DefaultProcessor returns ViTImageProcessor's defaults for pictures of size by size pixels:
// bilinear resizing, rescaling to 0..1, then mean and deviation 0.5.
func DefaultProcessor(size int) *Processor {
	return &Processor{
		DoResize: true, Size: Size{Height: size, Width: size}, Resample: Bilinear,
		DoRescale: true, RescaleFactor: 1.0 / 255,
		DoNormalize: true, ImageMean: half3, ImageStd: half3,
	}
}

// The means and deviations that transformers calls IMAGENET_STANDARD, IMAGENET_DEFAULT and OPENAI_CLIP.
var (
	half3        = [3]float64{0.5, 0.5, 0.5}
	imagenetMean = [3]float64{0.485, 0.456, 0.406}
	imagenetStd  = [3]float64{0.229, 0.224, 0.225}
	clipMean     = [3]float64{0.48145466, 0.4578275, 0.40821073}
	clipStd      = [3]float64{0.26862954, 0.26130258, 0.27577711}
)

// defaults returns what transformers' class of that name assumes of the fields that a file leaves
// out, and whether an integer size means a square (and not the shortest edge).
func defaults(class string) (p *Processor, square bool, err error) {
	name := class
	for _, suffix := range []string{"Fast", "Pil", "ImageProcessor", "FeatureExtractor"} {
		name = strings.TrimSuffix(name, suffix)
	}
	side := Size{Height: 224, Width: 224}
	p = DefaultProcessor(224)
	square = true
	switch name {
	case "", "ViT":
	case "DeiT":
		p.Size, p.Resample = Size{Height: 256, Width: 256}, Bicubic
		p.DoCenterCrop, p.CropSize = true, side
	case "Beit":
		p.Resample, p.CropSize = Bicubic, side
	case "Pvt":
		p.Resample, p.ImageMean, p.ImageStd = Bicubic, imagenetMean, imagenetStd
	case "Siglip":
		p.Resample, p.DoConvertRGB = Bicubic, true
		square = false
	case "Blip":
		p.Size, p.Resample, p.DoConvertRGB = Size{Height: 384, Width: 384}, Bicubic, true
		p.ImageMean, p.ImageStd = clipMean, clipStd
	case "CLIP", "Bit":
		p.Size, p.Resample, p.DoConvertRGB = Size{ShortestEdge: 224}, Bicubic, true
		p.DoCenterCrop, p.CropSize = true, side
		p.ImageMean, p.ImageStd = clipMean, clipStd
		square = false
	default:
		return nil, false, fmt.Errorf("field image_processor_type: "+
			"expected the image processor of ViT, DeiT, Beit, Pvt, Siglip, Blip, CLIP or Bit, found %q", class)
	}
	return p, square, nil
}

// LoadProcessor reads preprocessor_config.json from a model's folder, or, if there is none, the
// part "image_processor" of processor_config.json. Fields that the file leaves out have the
// defaults of its class, which is ViTImageProcessor if the file names none. The error names the
// file and the field.
func LoadProcessor(fsys fs.FS) (*Processor, error) {
	name := ProcessorFile
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		var whole struct {
			ImageProcessor json.RawMessage `json:"image_processor"`
		}
		other, otherErr := fs.ReadFile(fsys, "processor_config.json")
		if otherErr != nil {
			return nil, err
		}
		name = "processor_config.json"
		if err := json.Unmarshal(other, &whole); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if whole.ImageProcessor == nil {
			return nil, fmt.Errorf("%s: no field image_processor, and there is no %s", name, ProcessorFile)
		}
		data, err = whole.ImageProcessor, nil
	}
	if err != nil {
		return nil, err
	}
	p := new(Processor)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// UnmarshalJSON reads the contents of preprocessor_config.json. The error names the field.
func (p *Processor) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	r := fieldReader{fields: fields}
	var class string
	r.read("image_processor_type", &class)
	if class == "" {
		r.read("feature_extractor_type", &class)
	}
	if r.err != nil {
		return r.err
	}
	q, square, err := defaults(class)
	if err != nil {
		return err
	}
	r.read("do_resize", &q.DoResize)
	r.size("size", &q.Size, square)
	r.read("resample", &q.Resample)
	r.read("do_center_crop", &q.DoCenterCrop)
	r.size("crop_size", &q.CropSize, true)
	r.read("do_rescale", &q.DoRescale)
	r.read("rescale_factor", &q.RescaleFactor)
	r.read("do_normalize", &q.DoNormalize)
	r.channels("image_mean", &q.ImageMean)
	r.channels("image_std", &q.ImageStd)
	r.read("do_convert_rgb", &q.DoConvertRGB)
	var pad bool
	r.read("do_pad", &pad)
	if r.err == nil && pad && r.has("pad_size") {
		r.err = errors.New("field do_pad: padding to pad_size is not supported")
	}
	if r.err == nil {
		r.err = q.Validate()
	}
	if r.err != nil {
		return r.err
	}
	*p = *q
	return nil
}

// fieldReader reads the fields of a JSON object and keeps the first error.
type fieldReader struct {
	fields map[string]json.RawMessage
	err    error
}

// has reports whether the field is there and not null.
func (r *fieldReader) has(name string) bool {
	raw, ok := r.fields[name]
	return ok && string(raw) != "null"
}

// read stores the field in to, which is left alone if the field is absent or null.
func (r *fieldReader) read(name string, to any) {
	if r.err != nil || !r.has(name) {
		return
	}
	if err := json.Unmarshal(r.fields[name], to); err != nil {
		r.err = fmt.Errorf("field %s: found %s: %w", name, r.fields[name], err)
	}
}

// size reads an object, an integer, or a pair of height and width.
func (r *fieldReader) size(name string, to *Size, square bool) {
	if r.err != nil || !r.has(name) {
		return
	}
	raw := r.fields[name]
	var edge int
	var pair []int
	var size Size
	switch {
	case json.Unmarshal(raw, &edge) == nil && square:
		size = Size{Height: edge, Width: edge}
	case json.Unmarshal(raw, &edge) == nil:
		size = Size{ShortestEdge: edge}
	case json.Unmarshal(raw, &pair) == nil && len(pair) == 2:
		size = Size{Height: pair[0], Width: pair[1]}
	case json.Unmarshal(raw, &size) == nil:
	default:
		r.err = fmt.Errorf("field %s: expected an integer, a pair or an object of integers, found %s", name, raw)
		return
	}
	*to = size
}

// channels reads a list of three numbers, or one number for all channels.
func (r *fieldReader) channels(name string, to *[3]float64) {
	if r.err != nil || !r.has(name) {
		return
	}
	raw := r.fields[name]
	var one float64
	var list []float64
	switch {
	case json.Unmarshal(raw, &one) == nil:
		*to = [3]float64{one, one, one}
	case json.Unmarshal(raw, &list) == nil && len(list) == 3:
		copy(to[:], list)
	default:
		r.err = fmt.Errorf("field %s: expected a number or a list of 3, found %s", name, raw)
	}
}

// Validate reports the first field that Process could not follow.
func (p *Processor) Validate() error {
	if p.DoResize {
		if !p.Resample.valid() {
			return fmt.Errorf("field resample: expected 0 to 7, found %d", int(p.Resample))
		}
		if !p.Size.valid() {
			return fmt.Errorf("field size: expected height and width, or shortest_edge (with or without "+
				"longest_edge), or max_height and max_width, found %+v", p.Size)
		}
	}
	if p.DoCenterCrop && !p.CropSize.exact() {
		return fmt.Errorf("field crop_size: expected height and width, found %+v", p.CropSize)
	}
	if p.DoRescale && !finite(p.RescaleFactor) {
		return fmt.Errorf("field rescale_factor: expected a finite number, found %v", p.RescaleFactor)
	}
	if p.DoNormalize {
		for c := range 3 {
			if !finite(p.ImageMean[c]) {
				return fmt.Errorf("field image_mean: expected finite numbers, found %v", p.ImageMean)
			}
			if !finite(p.ImageStd[c]) || float32(p.ImageStd[c]) == 0 {
				return fmt.Errorf("field image_std: expected finite numbers other than 0, found %v", p.ImageStd)
			}
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// maxSide bounds each number of a Size.
const maxSide = 1 << 16

// exact reports whether s is a possible height and width and nothing else.
func (s Size) exact() bool {
	return s.Height > 0 && s.Width > 0 && s.Height <= maxSide && s.Width <= maxSide &&
		s.Height*s.Width <= DefaultMaxPixels && s == Size{Height: s.Height, Width: s.Width}
}

func (s Size) valid() bool {
	all := []int{s.Height, s.Width, s.ShortestEdge, s.LongestEdge, s.MaxHeight, s.MaxWidth}
	if slices.Min(all) < 0 || slices.Max(all) > maxSide {
		return false
	}
	switch s {
	case Size{Height: s.Height, Width: s.Width}:
		return s.exact()
	case Size{ShortestEdge: s.ShortestEdge, LongestEdge: s.LongestEdge}:
		return s.ShortestEdge > 0
	case Size{MaxHeight: s.MaxHeight, MaxWidth: s.MaxWidth}:
		return s.MaxHeight > 0 && s.MaxWidth > 0
	}
	return false
}

// Fit returns the size that a picture of width by height is resized to, rounded as
// transformers rounds.
func (s Size) Fit(width, height int) (int, int) {
	switch {
	case s.ShortestEdge > 0 && s.LongestEdge > 0:
		return s.fitEdges(width, height)
	case s.ShortestEdge > 0:
		short, long := min(width, height), max(width, height)
		long = int(float64(s.ShortestEdge*long) / float64(short))
		if width <= height {
			return s.ShortestEdge, long
		}
		return long, s.ShortestEdge
	case s.MaxHeight > 0 && s.MaxWidth > 0:
		scale := min(float64(s.MaxHeight)/float64(height), float64(s.MaxWidth)/float64(width))
		return int(float64(width) * scale), int(float64(height) * scale)
	}
	return s.Width, s.Height
}

// fitEdges scales the short side to ShortestEdge, or to what keeps the long side within LongestEdge.
func (s Size) fitEdges(width, height int) (int, int) {
	short, long := float64(min(width, height)), float64(max(width, height))
	edge, exact := s.ShortestEdge, float64(s.ShortestEdge)
	if long/short*exact > float64(s.LongestEdge) {
		exact = float64(s.LongestEdge) * short / long
		edge = int(math.RoundToEven(exact))
	}
	switch {
	case min(width, height) == edge:
		return width, height
	case width < height:
		return edge, int(exact * float64(height) / float64(width))
	}
	return int(exact * float64(width) / float64(height)), edge
}

// MarshalJSON writes the contents of a preprocessor_config.json. It says ViTImageProcessor whatever
// class was loaded, since all fields are there.
func (p Processor) MarshalJSON() ([]byte, error) {
	file := struct {
		CropSize      *Size      `json:"crop_size,omitempty"`
		DoCenterCrop  bool       `json:"do_center_crop"`
		DoConvertRGB  bool       `json:"do_convert_rgb"`
		DoNormalize   bool       `json:"do_normalize"`
		DoRescale     bool       `json:"do_rescale"`
		DoResize      bool       `json:"do_resize"`
		ImageMean     [3]float64 `json:"image_mean"`
		Type          string     `json:"image_processor_type"`
		ImageStd      [3]float64 `json:"image_std"`
		Resample      Filter     `json:"resample"`
		RescaleFactor float64    `json:"rescale_factor"`
		Size          Size       `json:"size"`
	}{
		DoCenterCrop: p.DoCenterCrop, DoConvertRGB: p.DoConvertRGB, DoNormalize: p.DoNormalize,
		DoRescale: p.DoRescale, DoResize: p.DoResize, ImageMean: p.ImageMean, Type: "ViTImageProcessor", ImageStd: p.ImageStd,
		Resample: p.Resample, RescaleFactor: p.RescaleFactor, Size: p.Size,
	}
	if p.CropSize != (Size{}) {
		file.CropSize = &p.CropSize
	}
	return json.Marshal(file)
}

// Save writes preprocessor_config.json to a folder that exists.
func (p *Processor) Save(dir string) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, ProcessorFile), err)
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ProcessorFile), append(data, '\n'), 0o666)
}
