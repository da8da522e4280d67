package datasets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// CaptionChoice says which of a picture's captions an epoch uses.
type CaptionChoice string

const (
	// RandomCaption draws one caption for every picture in every epoch.
	RandomCaption CaptionChoice = "random"
	// FirstCaption takes the first one.
	FirstCaption CaptionChoice = "first"
	// AllCaptions takes all: a picture appears once, with several captions.
	AllCaptions CaptionChoice = "all"
)

// LoaderOptions say how a data set becomes batches. The zero value gives a
// picture at a time, in the data set's order, with a random caption and no
// pixels, and stops at the first unreadable picture.
type LoaderOptions struct {
	// BatchSize is the number of pictures in a batch, the last of an epoch
	// excepted; 0 means 1.
	BatchSize int
	// Shuffle gives every epoch an order of its own, drawn from Seed.
	Shuffle bool
	// Seed decides the order and the random captions.
	Seed uint64
	// Caption is the choice among a picture's captions; "" means random.
	Caption CaptionChoice
	// Prepare makes of a picture what the encoder takes; it is a
	// vision.Processor's Process, most often. It is called by several
	// goroutines at once. When nil, no picture is read.
	Prepare func(vision.Image) (vision.Pixels, error)
	// Augment changes pictures before Prepare, otherwise in every epoch; what
	// it does to a picture depends on Seed, the epoch and the picture's index
	// alone. A picture is not mirrored in an epoch one of whose captions
	// tells left from right: see [TellsSides].
	Augment vision.Augmentation
	// Need tells whether the pixels of an example, by its index in the data
	// set, are wanted: not, when the encoder's output is at hand. It is
	// called by one goroutine, some batches ahead. When nil, all are.
	Need func(index int) bool
	// Workers is the number of goroutines that read and prepare pictures;
	// 0 means runtime.GOMAXPROCS(0). Results do not depend on it.
	Workers int
	// Prefetch is the number of batches that are prepared ahead of the one
	// in use, and so bounds the memory; 0 means 2.
	Prefetch int
	// MaxSkipped is the number of unreadable pictures that are left out and
	// listed by Loader.Skipped. One more ends the epoch with an error.
	MaxSkipped int
}

// A Loader turns a data set into batches, epoch by epoch, and prepares
// pictures ahead of their use.
//
//	for batch, err := range loader.Epoch(ctx, epoch) {
//		if err != nil {
//			return err
//		}
//		// a training step
//	}
//
// What an epoch yields depends on the data set, the options and the epoch's
// number alone. One epoch at a time may be under way.
type Loader struct {
	dataset Dataset
	options LoaderOptions
	skipped []Skipped
	isKnown map[int]bool // indices in skipped
}

// A Batch is a number of pictures and the captions to learn or to judge by.
type Batch struct {
	// Number is the batch's place in its epoch, from 0.
	Number int
	// Indices are the pictures' indices in the data set, IDs their names.
	Indices []int
	IDs     []string
	// Pixels are the prepared pictures. Data is nil where Need said no, and
	// in all of them when there is no Prepare.
	Pixels []vision.Pixels
	// Captions are the chosen captions: one for each picture, in order, or
	// with AllCaptions one or more.
	Captions []string
	// Picture holds for each of Captions the position of its picture in
	// Indices, rising.
	Picture []int
	// References are all captions of each picture.
	References [][]string
}

// Skipped is a picture that could not be read or prepared.
type Skipped struct {
	Index int // in the data set
	ID    string
	Err   error // names the file
}

// NewLoader checks the options.
func NewLoader(d Dataset, options LoaderOptions) (*Loader, error) {
	for _, o := range []struct {
		name  string
		value int
	}{
		{"BatchSize", options.BatchSize},
		{"Workers", options.Workers},
		{"Prefetch", options.Prefetch},
		{"MaxSkipped", options.MaxSkipped},
	} {
		if o.value < 0 {
			return nil, fmt.Errorf("datasets: loader option %s is %d, want 0 or more", o.name, o.value)
		}
	}
	switch options.Caption {
	case "":
		options.Caption = RandomCaption
	case RandomCaption, FirstCaption, AllCaptions:
	default:
		return nil, fmt.Errorf("datasets: caption choice is %q, want %q, %q or %q",
			options.Caption, RandomCaption, FirstCaption, AllCaptions)
	}
	if err := options.Augment.Check(); err != nil {
		return nil, err
	}
	options.BatchSize = max(options.BatchSize, 1)
	if options.Workers == 0 {
		options.Workers = runtime.GOMAXPROCS(0)
	}
	if options.Prefetch == 0 {
		options.Prefetch = 2
	}
	return &Loader{dataset: d, options: options, isKnown: map[int]bool{}}, nil
}

// NumBatches is the number of batches of an epoch.
func (l *Loader) NumBatches() int {
	return (l.dataset.Len() + l.options.BatchSize - 1) / l.options.BatchSize
}

// Skipped lists the pictures left out so far, each once, in the order in which
// they were met. It may be called between batches.
func (l *Loader) Skipped() []Skipped { return l.skipped }

// Epoch yields the batches of an epoch in order. See EpochFrom.
func (l *Loader) Epoch(ctx context.Context, epoch int) iter.Seq2[Batch, error] {
	return l.EpochFrom(ctx, epoch, 0)
}

// EpochFrom yields the batches of an epoch from number firstBatch on, to go on
// where an interrupted run ended.
//
// Pictures that cannot be read are missing from their batch, and a batch
// without pictures is not yielded; the others keep their numbers. An error is
// the last thing that is yielded: ctx's, the data set's, or one that lists the
// skipped pictures when they are more than MaxSkipped. All goroutines have
// ended when the loop does.
func (l *Loader) EpochFrom(ctx context.Context, epoch, firstBatch int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()

		pending := make(chan *pendingBatch, l.options.Prefetch)
		jobs := make(chan job)
		running.Go(func() {
			defer close(pending)
			defer close(jobs)
			l.dispatch(ctx, epoch, firstBatch, pending, jobs)
		})
		for range l.options.Workers {
			running.Go(func() {
				for j := range jobs {
					j.run(l.options.Prepare)
				}
			})
		}
		for p := range pending {
			batch, err := l.finish(ctx, p)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if len(batch.Indices) > 0 && !yield(batch, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Batch{}, err)
		}
	}
}

// A pendingBatch is a batch whose pictures are being prepared.
type pendingBatch struct {
	Batch
	err    error   // the data set's; nothing else counts then
	failed []error // one for each picture
	left   atomic.Int64
	done   chan struct{} // closed when no picture is left
}

// A job is one picture of a pending batch.
type job struct {
	batch *pendingBatch
	item  int
	image func() (vision.Image, error)

	augment func(vision.Image) vision.Image // nil: as it is
}

func (j job) run(prepare func(vision.Image) (vision.Pixels, error)) {
	img, err := j.image()
	if err == nil {
		if j.augment != nil {
			img = j.augment(img)
		}
		if j.batch.Pixels[j.item], err = prepare(img); err != nil {
			err = fmt.Errorf("%s: %w", j.batch.IDs[j.item], err)
		}
	}
	j.batch.failed[j.item] = err
	j.batch.picturesDone(1)
}

func (p *pendingBatch) picturesDone(n int) {
	if p.left.Add(-int64(n)) == 0 {
		close(p.done)
	}
}

// dispatch hands out the epoch's batches, and their pictures to the workers,
// until it meets an error or ctx is cancelled. The length of pending bounds
// how far it runs ahead.
func (l *Loader) dispatch(ctx context.Context, epoch, firstBatch int, pending chan<- *pendingBatch, jobs chan<- job) {
	order := l.order(epoch)
	size := l.options.BatchSize
	for number := max(firstBatch, 0); number*size < len(order); number++ {
		p, list := l.start(epoch, number, order[number*size:min((number+1)*size, len(order))])
		select {
		case pending <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
		for _, j := range list {
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	}
}

// order is the order of the examples in an epoch.
func (l *Loader) order(epoch int) []int {
	if l.options.Shuffle {
		return random(l.options.Seed, orderStream, epoch).Perm(l.dataset.Len())
	}
	order := make([]int, l.dataset.Len())
	for i := range order {
		order[i] = i
	}
	return order
}

// start describes a batch and the pictures to prepare for it.
func (l *Loader) start(epoch, number int, indices []int) (*pendingBatch, []job) {
	n := len(indices)
	p := &pendingBatch{
		Batch:  Batch{Number: number, Indices: indices, Pixels: make([]vision.Pixels, n)},
		failed: make([]error, n),
		done:   make(chan struct{}),
	}
	var jobs []job
	for item, index := range indices {
		example, err := l.dataset.Example(index)
		if err == nil && len(example.Captions) == 0 {
			err = fmt.Errorf("datasets: %s (example %d) has no caption", example.ID, index)
		}
		if err != nil {
			p.err = err
			return p, nil
		}
		p.IDs = append(p.IDs, example.ID)
		p.References = append(p.References, example.Captions)
		chosen := l.choose(epoch, index, example.Captions)
		for _, c := range chosen {
			p.Captions = append(p.Captions, c)
			p.Picture = append(p.Picture, item)
		}
		if l.options.Prepare != nil && (l.options.Need == nil || l.options.Need(index)) {
			jobs = append(jobs, job{p, item, example.Image, l.augment(epoch, index, chosen)})
		}
	}
	p.left.Store(int64(n))
	p.picturesDone(n - len(jobs))
	return p, jobs
}

// augment is what an epoch does to a picture with these captions.
func (l *Loader) augment(epoch, index int, captions []string) func(vision.Image) vision.Image {
	if l.options.Augment == (vision.Augmentation{}) {
		return nil
	}
	keepSides := slices.ContainsFunc(captions, TellsSides)
	return func(m vision.Image) vision.Image {
		if m.Width == 0 || m.Height == 0 {
			return m // Prepare says what is wrong with it
		}
		return l.options.Augment.Apply(m, random(l.options.Seed, augmentStream, epoch, index), keepSides)
	}
}

var sides = regexp.MustCompile(`(?i)\b(left|right)(most|wards?)?\b`)

// TellsSides reports whether a caption has left or right in it, in English, so
// that it would be wrong of the mirrored picture. "He left" counts too.
func TellsSides(caption string) bool { return sides.MatchString(caption) }

// choose picks the captions that the epoch uses of a picture.
func (l *Loader) choose(epoch, index int, captions []string) []string {
	switch {
	case l.options.Caption == AllCaptions || len(captions) == 1:
		return captions
	case l.options.Caption == FirstCaption:
		return captions[:1]
	}
	k := random(l.options.Seed, captionStream, epoch, index).IntN(len(captions))
	return captions[k : k+1]
}

// finish waits for a batch and leaves out what could not be read.
func (l *Loader) finish(ctx context.Context, p *pendingBatch) (Batch, error) {
	if p.err != nil {
		return Batch{}, p.err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	full, batch := p.Batch, Batch{Number: p.Number}
	next := 0 // in full.Captions
	for item, index := range full.Indices {
		end := next
		for end < len(full.Picture) && full.Picture[end] == item {
			end++
		}
		captions := full.Captions[next:end]
		next = end
		if err := p.failed[item]; err != nil {
			l.skip(Skipped{index, full.IDs[item], err})
			continue
		}
		for range captions {
			batch.Picture = append(batch.Picture, len(batch.Indices))
		}
		batch.Captions = append(batch.Captions, captions...)
		batch.Indices = append(batch.Indices, index)
		batch.IDs = append(batch.IDs, full.IDs[item])
		batch.Pixels = append(batch.Pixels, full.Pixels[item])
		batch.References = append(batch.References, full.References[item])
	}
	if len(l.skipped) > l.options.MaxSkipped {
		return Batch{}, l.tooManySkipped()
	}
	return batch, nil
}

func (l *Loader) skip(s Skipped) {
	if !l.isKnown[s.Index] {
		l.isKnown[s.Index] = true
		l.skipped = append(l.skipped, s)
	}
}

// maxListed is the number of unreadable pictures that an error names.
const maxListed = 20

func (l *Loader) tooManySkipped() error {
	var list []error
	for i, s := range l.skipped {
		if i == maxListed {
			list = append(list, fmt.Errorf("and %d more", len(l.skipped)-maxListed))
			break
		}
		list = append(list, s.Err)
	}
	return fmt.Errorf("datasets: %d unreadable pictures, at most %d allowed:\n%w",
		len(l.skipped), l.options.MaxSkipped, errors.Join(list...))
}
