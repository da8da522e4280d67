package datasets

import (
	"fmt"
	"math"
	"slices"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// A Dataset is a list of captioned pictures, each picture once.
//
// Both methods are cheap and safe for concurrent use: an example carries the
// way to its picture, not the picture.
type Dataset interface {
	// Len is the number of pictures.
	Len() int
	// Example returns the i-th picture's description, 0 <= i < Len(). An
	// error names the source and the entry.
	Example(i int) (Example, error)
}

// An Example is one picture and the captions that describe it.
type Example struct {
	// ID tells the picture from all others of its data set: its file name
	// as the source writes it, or, for the emoji sample, its code points.
	ID string
	// ImageID is what COCO calls image_id and result files name pictures by:
	// of COCO's files and Karpathy's splits (cocoid), "" of others.
	ImageID string
	// Captions holds at least one caption, in the order of the source.
	Captions []string
	// Image reads and decodes the picture. An error names its file.
	Image func() (vision.Image, error)
}

// Subset is the data set of the given examples of d, in the given order. It
// panics when an index is not in d.
func Subset(d Dataset, indices []int) Dataset {
	for _, i := range indices {
		if i < 0 || i >= d.Len() {
			panic(fmt.Sprintf("datasets: subset takes example %d of %d", i, d.Len()))
		}
	}
	return &subset{d, slices.Clone(indices)}
}

type subset struct {
	dataset Dataset
	indices []int
}

func (s *subset) Len() int { return len(s.indices) }

func (s *subset) Example(i int) (Example, error) { return s.dataset.Example(s.indices[i]) }

// Split draws a share of d's pictures for validation and leaves the others for
// training; both keep d's order, and the draw depends only on d.Len(),
// valFraction and seed. A fraction above 0 gives at least one picture to
// validation, and one below 1 at least one to training, as far as there are
// two. Split panics when valFraction is not within [0, 1].
func Split(d Dataset, valFraction float64, seed uint64) (train, val Dataset) {
	if !(valFraction >= 0 && valFraction <= 1) {
		panic(fmt.Sprintf("datasets: validation fraction is %v, want 0 to 1", valFraction))
	}
	n := d.Len()
	numVal := int(math.Round(valFraction * float64(n)))
	if n >= 2 && valFraction > 0 && valFraction < 1 {
		numVal = min(max(numVal, 1), n-1)
	}
	order := random(seed, splitStream).Perm(n)
	valIndices, trainIndices := order[:numVal], order[numVal:]
	slices.Sort(valIndices)
	slices.Sort(trainIndices)
	return &subset{d, trainIndices}, &subset{d, valIndices}
}
