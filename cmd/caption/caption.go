package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
	"github.com/ekphrasis-ml/ekphrasis/internal/weights"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/attention"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// list is the pictures as a data set, which is read ahead while the model is
// busy.
type list struct {
	pictures []string
	decoder  vision.Decoder
}

func (l list) Len() int { return len(l.pictures) }

func (l list) Example(i int) (datasets.Example, error) {
	return datasets.Example{ID: l.pictures[i], Captions: []string{""}, Image: func() (vision.Image, error) { return open(l.decoder, l.pictures[i]) }}, nil
}

func open(d vision.Decoder, name string) (vision.Image, error) {
	if name == "-" {
		image, err := d.Decode(os.Stdin)
		if err != nil {
			err = fmt.Errorf("standard input: %w", err)
		}
		return image, err
	}
	image, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: no such file", name)
	}
	return image, err
}

// caption goes through the pictures in batches, in order. Those that cannot
// be read are passed over and reported at the end.
func (s *settings) caption(ctx context.Context, m *seq2seq.VisionEncoderDecoder, o generate.Options, pictures []string, out *output) error {
	if len(pictures) == 0 {
		return nil
	}
	loader, err := datasets.NewLoader(list{pictures, s.captioner.Decoder(m)}, datasets.LoaderOptions{
		BatchSize: s.batchSize, Caption: datasets.FirstCaption, Prepare: m.Processor.Process, MaxSkipped: len(pictures),
	})
	if err != nil {
		return err
	}
	var progress *cli.Progress
	if len(pictures) > s.batchSize {
		progress = cli.NewProgress("captioning", "pictures", len(pictures))
		defer progress.Done()
	}
	m.SetPrecision(s.captioner.Precision)
	assist := sync.OnceValue(func() bool {
		alone := 1 // at most the last batch
		if s.batchSize == 1 {
			alone = len(pictures)
		}
		return s.captioner.Assist(m, &o, alone)
	})
	hold := sync.OnceFunc(func() {
		// To check guesses for one short caption weights are read so few times that they may stay as they are.
		if len(pictures) == 1 && s.captioner.Precision == layers.Float32 && o.MaxNewTokens <= 32 {
			weights.Release(m.Encoder) // first, so that both models are never in memory
			if assist() {
				return
			}
		}
		m.Hold(s.captioner.Precision)
	})
	done := 0
	for b, err := range loader.Epoch(ctx, 0) {
		if err != nil {
			return err
		}
		if len(b.Indices) == 0 {
			continue
		}
		states, err := m.Encode(b.Pixels, nil)
		if err != nil {
			return err
		}
		hold() // not before, so that the encoder's weights do not take memory at the same time
		if len(b.Pixels) == 1 {
			assist()
		}
		captions, err := m.GenerateFromStates(ctx, b.Pixels, states, o)
		if err != nil {
			return err
		}
		for i, c := range captions {
			name := b.IDs[i/o.NumReturnSequences]
			if err := out.write(result{name, c.Text, c.TokenIDs, c.Score}); err != nil {
				return err
			}
		}
		if progress != nil {
			last := b.Indices[len(b.Indices)-1] + 1
			progress.Add(last-done, "")
			done = last
		}
	}
	return unreadable(loader.Skipped(), len(pictures))
}

func unreadable(skipped []datasets.Skipped, of int) error {
	if len(skipped) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d pictures could not be read:", len(skipped), of)
	for _, s := range skipped {
		fmt.Fprintf(&b, "\n  %v", s.Err)
	}
	return errors.New(b.String())
}

// drawAttention captions one picture and draws what the model looked at.
func (s *settings) drawAttention(ctx context.Context, m *seq2seq.VisionEncoderDecoder, o generate.Options, name string) error {
	image, err := open(s.captioner.Decoder(m), name)
	if err != nil {
		return err
	}
	pixels, err := m.Processor.Process(image)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	captions, err := m.GenerateFromPixels(ctx, []vision.Pixels{pixels}, o)
	if err != nil {
		return err
	}
	out, err := s.open(1, 1)
	if err != nil {
		return err
	}
	if err := out.write(result{name, captions[0].Text, captions[0].TokenIDs, captions[0].Score}); err != nil {
		return err
	}
	seen, err := attention.Look(m, pixels, captions[0].TokenIDs)
	if err != nil {
		return err
	}
	words := seen.Words(func(ids []int) string { return m.Tokenizer.Decode(ids, false) })
	drawing, err := attention.Draw(image, words, seen.Rows, seen.Cols)
	if err != nil {
		return err
	}
	return atomicfile.Write(s.attention, func(w io.Writer) error { return png.Encode(w, drawing) })
}
