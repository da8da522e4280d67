package main

import (
	"image"
	"image/color"
	"image/draw"
	"slices"
	"strings"
	"unicode"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Lengths in pixels; the sheet is shown at half its size.
const (
	sheetWidth  = 1760
	margin      = 48
	columns     = 3
	gap         = 40 // between columns and between rows
	pictureSize = 144
	textGap     = 24 // between a picture and its text
	textWidth   = (sheetWidth-2*margin-(columns-1)*gap)/columns - pictureSize - textGap
	textSize    = 25
	lineHeight  = 33
	captionGap  = 8 // between the two captions of a picture
)

var (
	paper = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink   = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	grey  = color.RGBA{0x65, 0x6d, 0x76, 0xff}
	right = color.RGBA{0x11, 0x63, 0x29, 0xff}
	wrong = color.RGBA{0xb3, 0x26, 0x1e, 0xff}
)

// word is a piece of a line in its own colour.
type word struct {
	text   string
	colour color.Color
}

// drawSheet draws the pictures in rows, each with its actual caption in grey
// and, below, the generated one: its words green where
// they are right and red where they are not.
func drawSheet(items []captioned, summary string) (image.Image, error) {
	regular, err := face(goregular.TTF, textSize)
	if err != nil {
		return nil, err
	}
	bold, err := face(gobold.TTF, 34)
	if err != nil {
		return nil, err
	}
	actual, generated := make([][][]word, len(items)), make([][][]word, len(items))
	for i, c := range items {
		actual[i] = wrap(regular, words(c.actual, grey), textWidth)
		generated[i] = wrap(regular, compare(c), textWidth)
	}
	head := [][]word{
		words(summary, ink),
		slices.Concat(words("Grey: the actual caption. The generated one:", grey), words("green", right), words("where right,", grey), words("red", wrong), words("where wrong.", grey)),
	}

	heights := rowHeights(actual, generated)
	top := margin + 44 + len(head)*lineHeight + gap
	height := top + margin - gap
	for _, h := range heights {
		height += h + gap
	}
	sheet := image.NewRGBA(image.Rect(0, 0, sheetWidth, height))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	drawLines(sheet, bold, margin, margin-8, [][]word{words("Pictures that the model never saw, and what it says of them", ink)})
	drawLines(sheet, regular, margin, margin+44, head)
	for i, c := range items {
		row, column := i/columns, i%columns
		x := margin + column*(pictureSize+textGap+textWidth+gap)
		y := top
		for _, h := range heights[:row] {
			y += h + gap
		}
		area := image.Rect(x, y, x+pictureSize, y+pictureSize)
		xdraw.CatmullRom.Scale(sheet, area, c.picture, c.picture.Bounds(), draw.Over, nil)
		x += pictureSize + textGap
		drawLines(sheet, regular, x, y, actual[i])
		drawLines(sheet, regular, x, y+len(actual[i])*lineHeight+captionGap, generated[i])
	}
	return sheet, nil
}

func face(ttf []byte, size float64) (font.Face, error) {
	f, err := opentype.Parse(ttf)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
}

func rowHeights(actual, generated [][][]word) []int {
	heights := make([]int, (len(actual)+columns-1)/columns)
	for i := range actual {
		text := (len(actual[i])+len(generated[i]))*lineHeight + captionGap
		heights[i/columns] = max(heights[i/columns], pictureSize, text)
	}
	return heights
}

func words(text string, c color.Color) []word {
	var out []word
	for _, w := range strings.Fields(text) {
		out = append(out, word{w, c})
	}
	return out
}

// compare colours the words of a generated caption: those of the longest
// common subsequence with the actual one are right.
func compare(c captioned) []word {
	out, actual := words(c.generated, wrong), strings.Fields(c.actual)
	if len(out) == 0 {
		return []word{{"(nothing)", wrong}}
	}
	// common[i][j] is the length for what follows word i and actual word j.
	common := make([][]int, len(out)+1)
	common[len(out)] = make([]int, len(actual)+1)
	for i := len(out) - 1; i >= 0; i-- {
		common[i] = make([]int, len(actual)+1)
		for j := len(actual) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if sameWord(out[i].text, actual[j]) {
				common[i][j] = 1 + common[i+1][j+1]
			}
		}
	}
	for i, j := 0, 0; i < len(out) && j < len(actual); {
		switch {
		case sameWord(out[i].text, actual[j]):
			out[i].colour = right
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// sameWord compares without case and punctuation.
func sameWord(a, b string) bool {
	trim := func(s string) string { return strings.TrimFunc(s, unicode.IsPunct) }
	return strings.EqualFold(trim(a), trim(b))
}

// wrap breaks words into lines of at most width pixels; a word that is longer
// than that has a line of its own.
func wrap(f font.Face, text []word, width int) [][]word {
	var lines [][]word
	x := fixed.I(width) + 1
	space := font.MeasureString(f, " ")
	for _, w := range text {
		advance := font.MeasureString(f, w.text)
		if x+space+advance > fixed.I(width) {
			lines, x = append(lines, nil), -space
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], w)
		x += space + advance
	}
	return lines
}

// drawLines draws lines of text whose top left corner is (x, y).
func drawLines(dst draw.Image, f font.Face, x, y int, lines [][]word) {
	d := font.Drawer{Dst: dst, Face: f}
	y += f.Metrics().Ascent.Round()
	for _, line := range lines {
		d.Dot = fixed.P(x, y)
		for _, w := range line {
			d.Src = image.NewUniform(w.colour)
			d.DrawString(w.text + " ")
		}
		y += lineHeight
	}
}
