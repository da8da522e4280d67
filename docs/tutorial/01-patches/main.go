// Command patches takes a picture apart as a Vision Transformer does: pixels,
// patches, and a row of numbers for each patch.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"path/filepath"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/ekphrasis-ml/ekphrasis/vision/vit"
	"github.com/nlpodyssey/spago/mat"
)

func main() {
	out := flag.String("out", "docs/tutorial/01-patches", "folder of the figures")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal(err)
	}
}

func run(out string) error {
	folder := sample.FS(sample.Encoder) // the files of a small pretrained ViT
	processor, err := vision.LoadProcessor(folder)
	if err != nil {
		return err
	}
	picture, err := processor.Decoder().Open("docs/images/picture.png")
	if err != nil {
		return err
	}
	fmt.Printf("a picture of %d by %d pixels, %d numbers\n", picture.Width, picture.Height, len(picture.Pix))

	pixels, err := processor.Process(picture)
	if err != nil {
		return err
	}
	x, y := 22, 30
	fmt.Printf("\npixel (%d, %d), in the hair\n", x, y)
	for channel, name := range []string{"red", "green", "blue"} {
		before := picture.Pix[(y*picture.Width+x)*3+channel]
		after := pixels.Data[(channel*pixels.Height+y)*pixels.Width+x]
		fmt.Printf("%-6s %3d of 255 becomes %6.3f\n", name, before, after)
	}

	const size = 8 // of a patch
	patches := cut(pixels, size)
	fmt.Printf("\n%d patches of %d by %d pixels, each a row of %d numbers\n", len(patches), size, size, len(patches[0]))

	model, err := vit.Load(folder)
	if err != nil {
		return err
	}
	projection := model.Embeddings.Projection
	weight, bias := mat.Data[float32](projection.Weight), mat.Data[float32](projection.Bias)
	rows := make([][]float32, len(patches))
	for i, patch := range patches {
		rows[i] = project(patch, weight, bias)
	}
	theirs, _ := projection.Forward([]layers.Pixels{layers.Pixels(pixels)})
	fmt.Printf("\nthe projection has %d × %d weights: %d numbers in, %d out\n", model.Dim(), len(patches[0]), len(patches[0]), model.Dim())
	fmt.Printf("our loop and the library differ by %.4f at most\n", farthest(rows, theirs))

	positions := mat.Data[float32](model.Embeddings.Positions)
	sequence := [][]float32{sum(mat.Data[float32](model.Embeddings.ClassToken), positions[:model.Dim()])}
	for i, row := range rows {
		sequence = append(sequence, sum(row, positions[(i+1)*model.Dim():(i+2)*model.Dim()]))
	}
	states, err := model.HiddenStates([]vision.Pixels{pixels})
	if err != nil {
		return err
	}
	fmt.Printf("\nwith the class token and positions: %d rows of %d numbers\n", len(sequence), len(sequence[0]))
	fmt.Printf("they differ from what enters the first layer by %.4f at most\n", farthest(sequence, states[0]))

	with, err := order(model, pixels, size)
	if err != nil {
		return err
	}
	layers.Fill(model.Embeddings.Positions, 0)
	without, err := order(model, pixels, size)
	if err != nil {
		return err
	}
	fmt.Printf("\nthe same patches in reverse order: the class tokens' cosine is\n")
	fmt.Printf("%6.3f with positions\n%6.3f without\n", with, without)

	return drawPatches(picture, patches, rows, size).WriteFile(filepath.Join(out, "patches.svg"))
}

// cut lists the patches from left to right and top to bottom, each as its
// pixels: all of red, then all of green, then all of blue.
func cut(pixels vision.Pixels, size int) [][]float32 {
	var patches [][]float32
	for top := 0; top < pixels.Height; top += size {
		for left := 0; left < pixels.Width; left += size {
			var patch []float32
			for channel := range 3 {
				for y := top; y < top+size; y++ {
					first := (channel*pixels.Height+y)*pixels.Width + left
					patch = append(patch, pixels.Data[first:first+size]...)
				}
			}
			patches = append(patches, patch)
		}
	}
	return patches
}

// project multiplies a patch with a weight [out, in] and adds a bias [out].
func project(patch, weight, bias []float32) []float32 {
	row := make([]float32, len(bias))
	for o := range row {
		row[o] = bias[o]
		for i, v := range patch {
			row[o] += weight[o*len(patch)+i] * v
		}
	}
	return row
}

// order tells how alike the model finds a picture and its patches in reverse
// order: the cosine between what it makes of the class token.
func order(model *vit.Model, pixels vision.Pixels, size int) (float64, error) {
	patches := cut(pixels, size)
	slices.Reverse(patches)
	states, err := model.Encode([]vision.Pixels{pixels, join(patches, pixels, size)}, nil)
	if err != nil {
		return 0, err
	}
	values := mat.Data[float32](states.States.Value())
	class := func(picture int) []float32 {
		first := states.Offsets[picture] * model.Dim()
		return values[first : first+model.Dim()]
	}
	return cosine(class(0), class(1)), nil
}

// join puts patches together to a picture of the size of another.
func join(patches [][]float32, like vision.Pixels, size int) vision.Pixels {
	joined := vision.Pixels{Height: like.Height, Width: like.Width, Data: make([]float32, len(like.Data))}
	across := like.Width / size
	for i, patch := range patches {
		for j := 0; j < len(patch); j += size {
			channel, y := j/size/size, i/across*size+j/size%size
			copy(joined.Data[(channel*like.Height+y)*like.Width+i%across*size:], patch[j:j+size])
		}
	}
	return joined
}

// cosine is 1 for rows of one direction, and 0 for rows at right angles.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i] * b[i])
		aa += float64(a[i] * a[i])
		bb += float64(b[i] * b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// sum adds two rows.
func sum(a, b []float32) []float32 {
	row := make([]float32, len(a))
	for i := range row {
		row[i] = a[i] + b[i]
	}
	return row
}

// farthest is the greatest difference between our rows and those of a matrix.
func farthest(rows [][]float32, matrix mat.Tensor) float64 {
	most := 0.0
	values := mat.Data[float32](matrix.Value())
	for i, row := range rows {
		for j, v := range row {
			most = max(most, math.Abs(float64(v-values[i*len(row)+j])))
		}
	}
	return most
}
