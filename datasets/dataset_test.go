package datasets

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// pictures is a data set of n pictures; picture i is i+1 pixels wide and has
// 1 + i%3 captions "i/k". Those in broken cannot be read.
type pictures struct {
	n      int
	broken map[int]bool
}

var errBroken = errors.New("broken picture")

func (p pictures) Len() int { return p.n }

func (p pictures) Example(i int) (Example, error) {
	e := Example{ID: fmt.Sprintf("%d.png", i)}
	for k := range 1 + i%3 {
		e.Captions = append(e.Captions, fmt.Sprintf("%d/%d", i, k))
	}
	e.Image = func() (vision.Image, error) {
		if p.broken[i] {
			return vision.Image{}, fmt.Errorf("%s: %w", e.ID, errBroken)
		}
		return vision.NewImage(i+1, 1), nil
	}
	return e, nil
}

func ids(t *testing.T, d Dataset) []string {
	t.Helper()
	var list []string
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.ID)
	}
	return list
}

func TestASubsetHoldsTheGivenExamplesInTheGivenOrder(t *testing.T) {
	indices := []int{3, 0, 3}
	d := Subset(pictures{n: 4}, indices)
	indices[0] = 1
	if got, want := ids(t, d), []string{"3.png", "0.png", "3.png"}; !slices.Equal(got, want) {
		t.Errorf("the subset is %v, want %v", got, want)
	}
}

func TestASubsetOfWhatIsNotThereAndAFractionOutOfRangePanic(t *testing.T) {
	for name, f := range map[string]func(){
		"index 4 of 4":  func() { Subset(pictures{n: 4}, []int{4}) },
		"index -1":      func() { Subset(pictures{n: 4}, []int{-1}) },
		"fraction 1.5":  func() { Split(pictures{n: 4}, 1.5, 1) },
		"fraction -0.5": func() { Split(pictures{n: 4}, -0.5, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestASplitPutsEveryPictureIntoOnePart(t *testing.T) {
	for _, c := range []struct {
		n        int
		fraction float64
		val      int
	}{
		{0, 0.5, 0}, {1, 0.5, 1}, {2, 0.01, 1}, {2, 0.99, 1}, {7, 0, 0}, {7, 1, 7}, {10, 0.25, 3}, {1000, 0.1, 100},
	} {
		train, val := Split(pictures{n: c.n}, c.fraction, 5)
		if val.Len() != c.val || train.Len() != c.n-c.val {
			t.Errorf("%d pictures, fraction %v: %d and %d, want %d and %d", c.n, c.fraction, train.Len(), val.Len(), c.n-c.val, c.val)
		}
		both := append(ids(t, train), ids(t, val)...)
		slices.Sort(both)
		if len(slices.Compact(both)) != c.n {
			t.Errorf("%d pictures, fraction %v: a picture is in both parts", c.n, c.fraction)
		}
	}
}

func TestASplitDependsOnItsSeedAlone(t *testing.T) {
	_, a := Split(pictures{n: 100}, 0.2, 1)
	_, b := Split(pictures{n: 100}, 0.2, 1)
	_, c := Split(pictures{n: 100}, 0.2, 2)
	if !slices.Equal(ids(t, a), ids(t, b)) {
		t.Error("two splits by one seed differ")
	}
	if slices.Equal(ids(t, a), ids(t, c)) {
		t.Error("splits by two seeds are equal")
	}
}
