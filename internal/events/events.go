// Package events writes TensorBoard's event files: scalars, histograms, images and text.
//
//	w, err := events.Create("runs/zebra/tensorboard")
//	err = w.Scalar("loss/train", step, loss)
//	err = events.Histogram(w, "weights/ln_f", step, weights)
//	err = w.Close()
//
// A file is a row of records, each an Event message with its length and checksums. A record is
// handed to the operating system by the call that makes it, in one append, so TensorBoard can follow
// a run, and a crash loses nothing that was logged.
package events

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Writer appends to an event file. It may be used by several goroutines. After an error every further
// call returns the same error, since the file may end in half a record.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	err  error
	now  func() time.Time
}

// Create makes the folder if need be, and a new event file in it. TensorBoard shows all event files
// of a folder as one run.
func Create(folder string) (*Writer, error) { return create(folder, time.Now) }

// Resume is Create for a run that goes on at step: TensorBoard then forgets what older
// files of the folder have of this step and later ones.
func Resume(folder string, step int) (*Writer, error) {
	w, err := Create(folder)
	if err != nil {
		return nil, err
	}
	if err := w.start(step); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

var files atomic.Int64 // tells apart files made in one second

func create(folder string, now func() time.Time) (*Writer, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	// TensorBoard orders files by their names, and takes those with "tfevents" in them.
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%04d", now().Unix(), host, os.Getpid(), files.Add(1))
	file, err := os.OpenFile(filepath.Join(folder, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	w := &Writer{file: file, now: now}
	if err := w.event(0, message(nil).text(eventFileVersion, "brain.Event:2")); err != nil {
		file.Close()
		return nil, err
	}
	return w, nil
}

// Name is the path of the file.
func (w *Writer) Name() string { return w.file.Name() }

// Close waits until the file is on the disk, and closes it.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if e := w.file.Sync(); err == nil && e != nil {
		err = fmt.Errorf("events: %w", e)
	}
	if e := w.file.Close(); err == nil && e != nil {
		err = fmt.Errorf("events: %w", e)
	}
	return err
}

// Scalar logs a number, which TensorBoard keeps as a float32. Slashes in a tag group charts.
func (w *Writer) Scalar(tag string, step int, value float64) error {
	return w.summary(step, message(nil).text(valueTag, tag).float32(valueSimple, float32(value)))
}

// Text logs text in Markdown, tables included.
func (w *Writer) Text(tag string, step int, markdown string) error {
	tensor := message(nil).
		varint(tensorType, tensorOfStrings).
		message(tensorShape, nil). // no dimensions: one string, not a table of strings
		text(tensorStrings, markdown)
	plugin := message(nil).text(pluginName, "text")
	return w.summary(step, message(nil).
		text(valueTag, tag).
		message(valueTensor, tensor).
		message(valueMetadata, message(nil).message(metadataPlugin, plugin)))
}

// Image logs a picture.
func (w *Writer) Image(tag string, step int, picture image.Image) error {
	var data bytes.Buffer
	if err := png.Encode(&data, picture); err != nil {
		return fmt.Errorf("events: image %q: %w", tag, err)
	}
	return w.png(tag, step, picture.Bounds().Size(), data.Bytes())
}

func (w *Writer) png(tag string, step int, size image.Point, data []byte) error {
	const rgba = 4
	return w.summary(step, message(nil).text(valueTag, tag).message(valueImage, message(nil).
		varint(imageHeight, uint64(size.Y)).
		varint(imageWidth, uint64(size.X)).
		varint(imageColorspace, rgba).
		text(imageData, string(data))))
}

func (w *Writer) start(step int) error {
	const started = 1
	return w.event(step, message(nil).message(eventSessionLog, message(nil).varint(sessionStatus, started)))
}

func (w *Writer) summary(step int, value message) error {
	return w.event(step, message(nil).message(eventSummary, message(nil).message(summaryValue, value)))
}

// event completes an Event with time and step and appends it to the file.
func (w *Writer) event(step int, what message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	seconds := float64(w.now().UnixNano()) / 1e9
	e := message(nil).float64(eventTime, seconds).varint(eventStep, uint64(step))
	if _, err := w.file.Write(record(append(e, what...))); err != nil {
		w.err = fmt.Errorf("events: %w", err)
	}
	return w.err
}

// record frames data as TensorFlow's TFRecord: length, its checksum, data, its checksum.
func record(data []byte) []byte {
	r := make([]byte, 0, len(data)+16)
	r = binary.LittleEndian.AppendUint64(r, uint64(len(data)))
	r = binary.LittleEndian.AppendUint32(r, checksum(r))
	r = append(r, data...)
	return binary.LittleEndian.AppendUint32(r, checksum(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C, masked because a CRC of data that contains CRCs is weak.
func checksum(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
