package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A point is what a piece of work takes at one size, in a process of its own.
type point struct {
	work, axis string
	at         int // on the axis
	job        job
	shape      shape
	ours       times
}

// Pieces of work, and what their cost grows with.
const (
	encoding = "encode"
	step     = "fine-tuning step"
	decoding = "decode"

	batch   = "batch"
	length  = "caption, tokens"
	picture = "picture, pixels"
	depth   = "layers"
)

// growthPoints are all points. On each axis the other sizes are those of a
// common case: 4 pictures to encode, a step of 16 with captions of 16 tokens,
// 4 captions of 16 tokens to decode.
func growthPoints(quick bool) []point {
	base := modelShape(quick)
	vocabulary := base.decoder().VocabSize
	works := []struct {
		name    string
		batch   int
		batches []int
		job     func(batch, length int) job
	}{
		{encoding, 4, []int{1, 2, 4, 8, 16}, func(batch, _ int) job {
			return job{Kind: "encode", Batch: batch}
		}},
		{step, 16, []int{4, 8, 16, 32}, func(batch, length int) job {
			return job{Kind: "finetune", Batch: batch, Captions: captions(batch, length, length, vocabulary)}
		}},
		{decoding, 4, []int{1, 4, 8, 16, 32}, func(batch, length int) job {
			return job{Kind: "generate", Batch: batch, NewTokens: length, Beams: 1}
		}},
	}
	lengths, pictures, depths := []int{8, 16, 32, 64}, []int{112, 224, 336}, []shape{
		{EncoderLayers: 4, DecoderLayers: 2}, {EncoderLayers: 8, DecoderLayers: 4}, {EncoderLayers: 12, DecoderLayers: 6}}
	if quick {
		lengths, pictures, depths = []int{8, 16}, []int{32, 64}, []shape{{EncoderLayers: 1, DecoderLayers: 1}, {EncoderLayers: 2, DecoderLayers: 2}}
	}
	var all []point
	for _, w := range works {
		add := func(axis string, at, batch, length int, s shape) {
			j := w.job(batch, length)
			j.Size, j.Precision = s.Picture, fp32
			all = append(all, point{work: w.name, axis: axis, at: at, job: j, shape: s})
		}
		for _, n := range w.batches {
			add(batch, n, n, 16, base)
		}
		if w.name != encoding {
			for _, n := range lengths {
				add(length, n, w.batch, n, base)
			}
		}
		for _, n := range pictures {
			s := base
			s.Picture = n
			add(picture, n, w.batch, 16, s)
		}
		for _, d := range depths {
			s := base
			s.EncoderLayers, s.DecoderLayers = d.EncoderLayers, d.DecoderLayers
			at := s.EncoderLayers
			if w.name != encoding {
				at = s.DecoderLayers
			}
			add(depth, at, w.batch, 16, s)
		}
	}
	return all
}

// measureGrowth measures our side at each point, once where it lies on
// several axes.
func (b *bench) measureGrowth(ctx context.Context, r row) (measured, error) {
	m := measured{row: r, points: growthPoints(b.quick)}
	drawn := map[shape]string{modelShape(b.quick): b.model()}
	known := map[string]times{}
	for i := range m.points {
		p := &m.points[i]
		what := fmt.Sprint(p.job, p.shape)
		if t, ok := known[what]; ok {
			p.ours = t
			continue
		}
		folder, ok := drawn[p.shape]
		if !ok {
			folder = filepath.Join(b.dir, fmt.Sprintf("model-%d-%d-%d", p.shape.Picture, p.shape.EncoderLayers, p.shape.DecoderLayers))
			if err := b.draw(ctx, folder, p.shape); err != nil {
				return m, err
			}
			drawn[p.shape] = folder
			defer os.RemoveAll(folder)
		}
		p.job.Folder = folder
		ours, err := b.ours(ctx, p.job)
		if err != nil {
			return m, err
		}
		one, err := takeTurns(row{job: p.job}, min(b.repeats, r.repeats), ours, others{})
		if err != nil {
			return m, fmt.Errorf("%s, %s %d: %w", p.work, p.axis, p.at, err)
		}
		p.ours, known[what] = one.ours, one.ours
	}
	return m, nil
}

// growthTable has a line for each piece of work and axis.
func growthTable(b *strings.Builder, points []point) {
	fmt.Fprintf(b, "\n| work | grows with | at | seconds | peak RSS, MB |\n| --- | --- | --: | --: | --: |\n")
	for i := 0; i < len(points); {
		var at, seconds, rss []string
		first := points[i]
		for ; i < len(points) && points[i].work == first.work && points[i].axis == first.axis; i++ {
			at = append(at, fmt.Sprint(points[i].at))
			seconds = append(seconds, number(points[i].ours.median(0)))
			rss = append(rss, strings.TrimSuffix(megabytes(points[i].ours.rss), " MB"))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", first.work, first.axis,
			strings.Join(at, " · "), strings.Join(seconds, " · "), strings.Join(rss, " · "))
	}
}
