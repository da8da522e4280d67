package datasets

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// width is a Prepare whose pixels tell the picture's width.
func width(img vision.Image) (vision.Pixels, error) {
	return vision.Pixels{Height: 1, Width: 1, Data: []float32{float32(img.Width)}}, nil
}

func newLoader(t *testing.T, d Dataset, o LoaderOptions) *Loader {
	t.Helper()
	l, err := NewLoader(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func epochFrom(t *testing.T, l *Loader, epoch, first int) []Batch {
	t.Helper()
	var list []Batch
	for b, err := range l.EpochFrom(t.Context(), epoch, first) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

func TestAnEpochShowsEveryPictureOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 8, 9, 100} {
		for _, size := range []int{0, 1, 2, 8, 200} {
			for _, shuffle := range []bool{false, true} {
				name := fmt.Sprintf("%d pictures by %d, shuffle %t", n, size, shuffle)
				l := newLoader(t, pictures{n: n}, LoaderOptions{BatchSize: size, Shuffle: shuffle, Prepare: width})
				batches := epochFrom(t, l, 3, 0)
				if len(batches) != l.NumBatches() {
					t.Errorf("%s: %d batches, NumBatches is %d", name, len(batches), l.NumBatches())
				}
				var seen []int
				for k, b := range batches {
					if b.Number != k || k < len(batches)-1 && len(b.Indices) != max(size, 1) {
						t.Errorf("%s: batch %d has number %d and %d pictures", name, k, b.Number, len(b.Indices))
					}
					for item, index := range b.Indices {
						if b.IDs[item] != fmt.Sprintf("%d.png", index) || b.Pixels[item].Data[0] != float32(index+1) ||
							!strings.HasPrefix(b.Captions[item], fmt.Sprintf("%d/", index)) || b.Picture[item] != item ||
							len(b.References[item]) != 1+index%3 {
							t.Errorf("%s: batch %d mixes pictures: %+v", name, k, b)
						}
					}
					seen = append(seen, b.Indices...)
				}
				if shuffle && n == 100 && slices.IsSorted(seen) {
					t.Errorf("%s: the order is the data set's", name)
				}
				if !shuffle && !slices.IsSorted(seen) {
					t.Errorf("%s: the order is %v", name, seen)
				}
				slices.Sort(seen)
				if len(seen) != n || len(slices.Compact(seen)) != n {
					t.Errorf("%s: shows %v", name, seen)
				}
			}
		}
	}
}

func TestBatchesDoNotDependOnTheNumberOfWorkers(t *testing.T) {
	slow := func(img vision.Image) (vision.Pixels, error) {
		time.Sleep(time.Duration(img.Width*7919%5) * 100 * time.Microsecond)
		return width(img)
	}
	options := LoaderOptions{BatchSize: 5, Shuffle: true, Seed: 9, Prepare: slow, MaxSkipped: 3}
	d := pictures{n: 43, broken: map[int]bool{4: true, 17: true, 42: true}}
	options.Workers, options.Prefetch = 1, 1
	one := newLoader(t, d, options)
	want := epochFrom(t, one, 2, 0)
	for _, workers := range []int{2, 8} {
		options.Workers, options.Prefetch = workers, workers
		l := newLoader(t, d, options)
		if got := epochFrom(t, l, 2, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers give\n%+v, one gives\n%+v", workers, got, want)
		}
		if !reflect.DeepEqual(l.Skipped(), one.Skipped()) {
			t.Errorf("%d workers skip %v, one skips %v", workers, l.Skipped(), one.Skipped())
		}
	}
}

func TestOrderAndCaptionsDependOnSeedAndEpoch(t *testing.T) {
	run := func(seed uint64, epoch int) []string {
		var captions []string
		l := newLoader(t, pictures{n: 30}, LoaderOptions{BatchSize: 4, Shuffle: true, Seed: seed})
		for _, b := range epochFrom(t, l, epoch, 0) {
			captions = append(captions, b.Captions...)
		}
		return captions
	}
	base := run(1, 0)
	if !slices.Equal(base, run(1, 0)) {
		t.Error("the same epoch differs from itself")
	}
	for _, other := range [][]string{run(1, 1), run(2, 0)} {
		if slices.Equal(base, other) {
			t.Error("another seed or epoch gives the same order")
		}
		slices.Sort(other)
		if slices.Equal(slices.Sorted(slices.Values(base)), other) {
			t.Error("another seed or epoch gives the same captions")
		}
	}
}

func TestTheOrderOfASeedStaysTheSameFromReleaseToRelease(t *testing.T) {
	l := newLoader(t, pictures{n: 8}, LoaderOptions{BatchSize: 8, Shuffle: true, Seed: 1})
	b := epochFrom(t, l, 0, 0)[0]
	if got, want := fmt.Sprint(b.Captions), "[2/1 0/0 1/0 3/0 6/0 7/1 4/1 5/2]"; got != want {
		t.Errorf("seed 1, epoch 0 gives %s, want %s", got, want)
	}
}

func TestRandomCaptionsAreDrawnEvenly(t *testing.T) {
	l := newLoader(t, pictures{n: 3}, LoaderOptions{BatchSize: 3})
	counts := map[string]int{}
	const epochs = 3000
	for epoch := range epochs {
		for _, b := range epochFrom(t, l, epoch, 0) {
			for _, c := range b.Captions {
				counts[c]++
			}
		}
	}
	for caption, want := range map[string]int{
		"0/0": epochs, "1/0": epochs / 2, "1/1": epochs / 2, "2/0": epochs / 3, "2/1": epochs / 3, "2/2": epochs / 3,
	} {
		if d := counts[caption] - want; d < -150 || d > 150 {
			t.Errorf("%s is drawn %d times of %d, want about %d", caption, counts[caption], epochs, want)
		}
	}
}

func TestFirstAndAllCaptions(t *testing.T) {
	first := newLoader(t, pictures{n: 3}, LoaderOptions{BatchSize: 3, Caption: FirstCaption})
	if b := epochFrom(t, first, 0, 0)[0]; !slices.Equal(b.Captions, []string{"0/0", "1/0", "2/0"}) ||
		!slices.Equal(b.Picture, []int{0, 1, 2}) {
		t.Errorf("first captions: %v of pictures %v", b.Captions, b.Picture)
	}
	d := pictures{n: 4, broken: map[int]bool{1: true}}
	all := newLoader(t, d, LoaderOptions{BatchSize: 4, Caption: AllCaptions, Prepare: width, MaxSkipped: 1})
	b := epochFrom(t, all, 0, 0)[0]
	if !slices.Equal(b.Captions, []string{"0/0", "2/0", "2/1", "2/2", "3/0"}) ||
		!slices.Equal(b.Picture, []int{0, 1, 1, 1, 2}) || !slices.Equal(b.Indices, []int{0, 2, 3}) {
		t.Errorf("all captions: %v of pictures %v = %v", b.Captions, b.Picture, b.Indices)
	}
}

func TestAnEpochContinuesAtAnyBatch(t *testing.T) {
	l := newLoader(t, pictures{n: 10}, LoaderOptions{BatchSize: 3, Shuffle: true, Seed: 4, Prepare: width})
	whole := epochFrom(t, l, 1, 0)
	for first := range len(whole) + 2 {
		rest := epochFrom(t, l, 1, first)
		if want := whole[min(first, len(whole)):]; len(rest) != len(want) || len(want) > 0 && !reflect.DeepEqual(rest, want) {
			t.Errorf("from batch %d: %+v, want %+v", first, rest, want)
		}
	}
}

func TestOnlyNeededPicturesAreRead(t *testing.T) {
	d := pictures{n: 6, broken: map[int]bool{1: true, 3: true, 5: true}}
	l := newLoader(t, d, LoaderOptions{BatchSize: 4, Prepare: width, Need: func(i int) bool { return i%2 == 0 }})
	for _, b := range epochFrom(t, l, 0, 0) {
		for item, index := range b.Indices {
			if has := b.Pixels[item].Data != nil; has != (index%2 == 0) {
				t.Errorf("picture %d has pixels: %t", index, has)
			}
		}
	}
	without := newLoader(t, d, LoaderOptions{BatchSize: 6})
	if b := epochFrom(t, without, 0, 0)[0]; len(b.Captions) != 6 || b.Pixels[0].Data != nil {
		t.Errorf("without Prepare: %+v", b)
	}
}

func TestUnreadablePicturesAreSkippedUpToTheLimit(t *testing.T) {
	d := pictures{n: 6, broken: map[int]bool{2: true, 3: true, 5: true}}
	l := newLoader(t, d, LoaderOptions{BatchSize: 2, Prepare: width, MaxSkipped: 3})
	for range 2 { // a picture counts once, however often it is met
		batches := epochFrom(t, l, 0, 0)
		if len(batches) != 2 || batches[1].Number != 2 || !slices.Equal(batches[1].Indices, []int{4}) {
			t.Errorf("batches are %+v", batches)
		}
	}
	var names []string
	for _, s := range l.Skipped() {
		names = append(names, s.ID)
		if !errors.Is(s.Err, errBroken) {
			t.Errorf("%s: %v", s.ID, s.Err)
		}
	}
	if !slices.Equal(names, []string{"2.png", "3.png", "5.png"}) {
		t.Errorf("skipped %v", names)
	}
}

// lastError runs an epoch to its end and returns the error that ends it.
func lastError(l *Loader, ctx context.Context) (batches int, last error) {
	for _, err := range l.Epoch(ctx, 0) {
		if last = err; err == nil {
			batches++
		}
	}
	return batches, last
}

func TestTooManyUnreadablePicturesEndTheEpochWithTheirNames(t *testing.T) {
	d := pictures{n: 6, broken: map[int]bool{2: true, 3: true, 5: true}}
	l := newLoader(t, d, LoaderOptions{BatchSize: 2, Prepare: width, MaxSkipped: 1})
	batches, err := lastError(l, t.Context())
	if batches != 1 || !errors.Is(err, errBroken) {
		t.Fatalf("%d batches, then %v", batches, err)
	}
	const want = "datasets: 2 unreadable pictures, at most 1 allowed:\n2.png: broken picture\n3.png: broken picture"
	if err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}

	many := pictures{n: 30, broken: map[int]bool{}}
	for i := range 30 {
		many.broken[i] = true
	}
	_, err = lastError(newLoader(t, many, LoaderOptions{BatchSize: 30, Prepare: width}), t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "19.png: broken picture\nand 10 more") {
		t.Errorf("error is %v", err)
	}
}

func TestAnErrorOfPrepareNamesThePicture(t *testing.T) {
	fail := func(vision.Image) (vision.Pixels, error) { return vision.Pixels{}, errors.New("too small") }
	_, err := lastError(newLoader(t, pictures{n: 1}, LoaderOptions{Prepare: fail}), t.Context())
	if err == nil || !strings.Contains(err.Error(), "0.png: too small") {
		t.Errorf("error is %v", err)
	}
}

// faulty fails at example 2 and has no caption for example 1 if mute is set.
type faulty struct {
	pictures
	mute bool
}

func (f faulty) Example(i int) (Example, error) {
	if i == 2 {
		return Example{}, errors.New("line 3 is broken")
	}
	e, err := f.pictures.Example(i)
	if i == 1 && f.mute {
		e.Captions = nil
	}
	return e, err
}

func TestAnErrorOfTheDataSetComesInOrder(t *testing.T) {
	batches, err := lastError(newLoader(t, faulty{pictures{n: 5}, false}, LoaderOptions{Prepare: width}), t.Context())
	if batches != 2 || err == nil || err.Error() != "line 3 is broken" {
		t.Errorf("%d batches, then %v", batches, err)
	}
	batches, err = lastError(newLoader(t, faulty{pictures{n: 5}, true}, LoaderOptions{Prepare: width}), t.Context())
	if batches != 1 || err == nil || !strings.Contains(err.Error(), "1.png (example 1) has no caption") {
		t.Errorf("%d batches, then %v", batches, err)
	}
}

func TestNoGoroutineOutlivesTheLoop(t *testing.T) {
	l := newLoader(t, pictures{n: 100}, LoaderOptions{BatchSize: 3, Workers: 4, Prepare: width})
	before := runtime.NumGoroutine()
	check := func(how string) {
		t.Helper()
		// A goroutine that has said it is done may take a moment to be gone.
		after := runtime.NumGoroutine()
		for wait := 0; after > before && wait < 200; wait++ {
			time.Sleep(10 * time.Millisecond)
			after = runtime.NumGoroutine()
		}
		if after > before {
			t.Errorf("after %s, %d goroutines run, %d did before", how, after, before)
		}
	}

	for range l.Epoch(t.Context(), 0) {
		break
	}
	check("a break")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before = runtime.NumGoroutine()
	var last error
	n := 0
	for _, err := range l.Epoch(ctx, 0) {
		if n++; n == 2 {
			cancel()
		}
		last = err
	}
	check("a cancellation")
	if n != 3 || !errors.Is(last, context.Canceled) {
		t.Errorf("the cancelled loop yields %d times, the last error is %v", n, last)
	}

	if n, err := lastError(l, ctx); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("a loop cancelled before it begins yields %d batches and %v", n, err)
	}
	check("a cancelled start")

	lastError(newLoader(t, faulty{pictures{n: 100}, false}, LoaderOptions{Prepare: width}), t.Context())
	check("an error")
}

func TestPicturesAreReadNoFurtherAheadThanPrefetch(t *testing.T) {
	var read atomic.Int64
	count := func(img vision.Image) (vision.Pixels, error) {
		read.Add(1)
		return width(img)
	}
	l := newLoader(t, pictures{n: 100}, LoaderOptions{BatchSize: 5, Workers: 4, Prefetch: 2, Prepare: count})

	for b, err := range l.Epoch(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want := int64(min((b.Number+3)*5, 100)) // this batch and two ahead
		deadline := time.Now().Add(5 * time.Second)
		for read.Load() < want && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Millisecond)
		if got := read.Load(); got != want {
			t.Fatalf("in batch %d, %d pictures are read, want %d", b.Number, got, want)
		}

	}
}

func TestWrongLoaderOptionsAreErrors(t *testing.T) {
	for want, o := range map[string]LoaderOptions{
		"BatchSize is -1":  {BatchSize: -1},
		"Workers is -2":    {Workers: -2},
		"Prefetch is -3":   {Prefetch: -3},
		"MaxSkipped is -4": {MaxSkipped: -4},
		`"last"`:           {Caption: "last"},
	} {
		if _, err := NewLoader(pictures{n: 1}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}
