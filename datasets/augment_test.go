package datasets

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// captioned are pictures of four columns, 1 to 4, with these captions.
type captioned []string

func (c captioned) Len() int { return len(c) }

func (c captioned) Example(i int) (Example, error) {
	return Example{ID: fmt.Sprint(i), Captions: []string{c[i]}, Image: func() (vision.Image, error) {
		return vision.Image{Width: 4, Height: 1, Pix: []uint8{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4}}, nil
	}}, nil
}

// columns are what is left of each picture of an epoch.
func columns(t *testing.T, d Dataset, o LoaderOptions, epoch, first int) (all []string) {
	t.Helper()
	o.Prepare = func(m vision.Image) (vision.Pixels, error) {
		p := vision.Pixels{Height: 1, Width: m.Width}
		for x := range m.Width {
			p.Data = append(p.Data, float32(m.Pix[3*x]))
		}
		return p, nil
	}
	for _, b := range epochFrom(t, newLoader(t, d, o), epoch, first) {
		for i, p := range b.Pixels {
			all = append(all, fmt.Sprintf("%s %v", b.IDs[i], p.Data))
		}
	}
	return all
}

func TestAugmentationDependsOnSeedEpochAndPictureAlone(t *testing.T) {
	d := make(captioned, 40)
	for i := range d {
		d[i] = "a zebra"
	}
	augment := vision.Augmentation{
		RandomHorizontalFlip: 0.5,
		RandomResizedCrop:    vision.RandomResizedCrop{Scale: [2]float64{0.3, 1}, Ratio: [2]float64{0.5, 9}},
	}
	o := LoaderOptions{BatchSize: 7, Augment: augment, Seed: 3, Workers: 1}
	want := columns(t, d, o, 2, 0)
	o.Workers, o.BatchSize = 5, 4
	if got := columns(t, d, o, 2, 0); !slices.Equal(got, want) {
		t.Errorf("with other workers and batches %v, want %v", got, want)
	}
	if got := columns(t, d, o, 2, 3); !slices.Equal(got, want[12:]) {
		t.Errorf("from the middle on %v, want %v", got, want[12:])
	}
	shuffled := o
	shuffled.Shuffle = true
	got := columns(t, d, shuffled, 2, 0)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("the order changes what is done to a picture")
	}
	if other := columns(t, d, o, 3, 0); slices.Equal(other, want) {
		t.Error("another epoch shows the same")
	}
	o.Seed = 4
	if other := columns(t, d, o, 2, 0); slices.Equal(other, want) {
		t.Error("another seed shows the same")
	}
}

func TestPicturesWhoseCaptionsTellSidesAreNotMirrored(t *testing.T) {
	d := captioned{"a zebra", "a zebra looks LEFT", "the right-hand door", "a bright leftover"}
	o := LoaderOptions{BatchSize: 4, Caption: FirstCaption, Augment: vision.Augmentation{RandomHorizontalFlip: 1}}
	want := []string{"0 [4 3 2 1]", "1 [1 2 3 4]", "2 [1 2 3 4]", "3 [4 3 2 1]"}
	if got := columns(t, d, o, 0, 0); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for caption, want := range map[string]bool{
		"the leftmost zebra": true, "turning rightwards": true, "Left: a dog.": true, "upright": false, "copyright, lefty": false, "": false,
	} {
		if TellsSides(caption) != want {
			t.Errorf("%q: %v, want %v", caption, !want, want)
		}
	}
}

func TestAnAugmentationThatMakesNoSenseIsAnError(t *testing.T) {
	if _, err := NewLoader(captioned{"a"}, LoaderOptions{Augment: vision.Augmentation{RandomHorizontalFlip: 2}}); err == nil {
		t.Error("a probability of 2 is taken")
	}
}
