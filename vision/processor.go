package vision

import (
	"fmt"
	"image/color"
)

// Pixels are what an encoder takes: Data[c*Height*Width+y*Width+x], with channels red, green,
// blue: [3, Height, Width].
type Pixels struct {
	Height, Width int
	Data          []float32
}

// Process resizes, crops, rescales and normalises img, in this order. The error says what is
// wrong with the picture or with the processor.
func (p *Processor) Process(img Image) (Pixels, error) {
	if err := img.check(); err != nil {
		return Pixels{}, err
	}
	if err := p.Validate(); err != nil {
		return Pixels{}, err
	}
	if p.DoResize {
		width, height := p.Size.Fit(img.Width, img.Height)
		if width < 1 || height < 1 || width > DefaultMaxPixels/height { // an extreme picture
			return Pixels{}, fmt.Errorf("vision: size %+v makes %dx%d of an image of %dx%d", p.Size, width, height, img.Width, img.Height)
		}
		img = img.Resize(width, height, p.Resample)
	}
	if p.DoCenterCrop {
		img = img.CenterCrop(p.CropSize.Width, p.CropSize.Height)
	}
	out := Pixels{Height: img.Height, Width: img.Width, Data: make([]float32, len(img.Pix))}
	n := img.Width * img.Height
	for c := range 3 {
		values := p.values(c)
		dst, src := out.Data[c*n:(c+1)*n], img.Pix[c:]
		for i := range dst {
			dst[i] = values[src[3*i]]
		}
	}
	return out, nil
}

// values returns what each 8-bit level of channel c becomes. The order and the precision
// of the operations are transformers': rescale in float64, round to float32, then subtract
// the mean and divide by the deviation in float32.
func (p *Processor) values(c int) *[256]float32 {
	var table [256]float32
	mean, std := float32(p.ImageMean[c]), float32(p.ImageStd[c])
	for i := range table {
		v := float32(i)
		if p.DoRescale {
			v = float32(float64(i) * p.RescaleFactor)
		}
		if p.DoNormalize {
			v = float32(v-mean) / std
		}
		table[i] = v
	}
	return &table
}

// Decoder returns what reads the pictures of a model as transformers (5.23)
// does: with DoConvertRGB transparent ones are laid on white; without, alpha
// is dropped.
func (p *Processor) Decoder() Decoder {
	if p.DoConvertRGB {
		return Decoder{Background: color.White}
	}
	return Decoder{}
}
