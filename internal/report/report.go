// Package report writes a training run as one HTML file that a person opens in
// a browser: curves, captions, histograms, settings. It needs no network, and
// knows nothing but the [Report] that it is given.
package report

import (
	"bytes"
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
)

// Report is what a run has to show. What is empty gets no section. Numbers
// that are unknown or not finite may be NaN or infinite: they leave gaps.
type Report struct {
	Title      string
	Written    time.Time
	Steps      []Step      // in ascending order
	Epochs     []Epoch     // in ascending order
	Metric     string      // what the epochs' Score is; "": they have none
	Histograms []Histogram // in ascending order of step; some 50 of a tensor are enough
	Stages     []Event     // those that have begun, by their first updates; of a run with more than one
	Events     []Event
	Settings   []Fact
	Versions   []Fact
}

// Step is an update of the weights.
type Step struct {
	Step                         int // from 1
	Loss, GradNorm, LearningRate float64
}

// Epoch is what came of an epoch.
type Epoch struct {
	Epoch, Step        int // from 1; updates so far
	TrainLoss, ValLoss float64
	Score              *float64      // the more the better; nil: none
	ImageGain          *float64      // validation loss with the pictures of others minus ValLoss; nil: unknown
	Duration           time.Duration // 0: unknown
	Samples            []Sample
}

// Sample is a picture with its captions. A picture has the same ID in all
// epochs.
type Sample struct {
	ID                string
	PNG               []byte // nil: no picture
	Actual, Generated string
	Right             bool // what was generated is a caption of the picture
}

// Event is something out of the ordinary, such as an update that was skipped.
type Event struct {
	Step int
	What string
}

// Fact is a named setting or version.
type Fact struct{ Name, Value string }

// Write replaces the file at path by the page of r, as a whole or not at all.
func Write(path string, r Report) error {
	var page bytes.Buffer
	if err := render(&page, r); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, page.Bytes())
}
