package lines

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/math/fixed"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// Lengths in pixels of a sheet.
const (
	columns, rows  = 3, 8
	zoom           = 2
	cellW, cellH   = zoom*Width + 40, zoom*Height + 66
	margin         = 24
	textGap, pitch = 22, 20
)

// saveSheet writes the first lines to a PNG file: the picture, the actual text
// in grey, and below it what was read: green if it is right, and red if not.
func saveSheet(name string, pictures []vision.Image, actual, read []string) error {
	grey, green, red := color.RGBA{0x65, 0x6d, 0x76, 0xff}, color.RGBA{0x11, 0x63, 0x29, 0xff}, color.RGBA{0xb3, 0x26, 0x1e, 0xff}
	sheet := image.NewRGBA(image.Rect(0, 0, columns*cellW+2*margin-40, rows*cellH+margin))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	for i, picture := range pictures[:min(len(pictures), columns*rows)] {
		at := image.Pt(margin+i%columns*cellW, margin+i/columns*cellH)
		area := image.Rectangle{at, at.Add(image.Pt(zoom*Width, zoom*Height))}
		xdraw.NearestNeighbor.Scale(sheet, area, picture, picture.Bounds(), draw.Src, nil)
		verdict := green
		if read[i] != actual[i] {
			verdict = red
		}
		write(sheet, at.X, area.Max.Y+textGap, actual[i], grey)
		write(sheet, at.X, area.Max.Y+textGap+pitch, read[i], verdict)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, sheet); err != nil {
		return err
	}
	return os.WriteFile(name, file.Bytes(), 0o666)
}

func write(dst draw.Image, x, y int, text string, c color.Color) {
	(&font.Drawer{Dst: dst, Src: image.NewUniform(c), Face: inconsolata.Bold8x16, Dot: fixed.P(x, y)}).DrawString(text)
}
