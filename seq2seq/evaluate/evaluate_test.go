package evaluate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	_ "github.com/ekphrasis-ml/ekphrasis/datasets/emoji" // the data set of that name
	"github.com/ekphrasis-ml/ekphrasis/internal/tiny"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/metrics"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/sample"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/train"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
)

// data are the first n tiny pictures, every second with two captions.
func data(t *testing.T, n int) datasets.Dataset {
	t.Helper()
	d, err := datasets.Open(tiny.Data(t, n), datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func model(t *testing.T) *seq2seq.VisionEncoderDecoder {
	t.Helper()
	m := tiny.Captioner(t, tiny.Options{})
	m.Generation.MaxNewTokens = 6
	return m
}

func TestLossAndImageGainAreTheTrainers(t *testing.T) {
	m, d := model(t), data(t, 10)
	for _, choice := range []datasets.CaptionChoice{datasets.FirstCaption, datasets.AllCaptions} {
		o := evaluate.DefaultOptions(m)
		o.BatchSize, o.Caption = 4, choice
		r, err := evaluate.Model(context.Background(), m, d, o)
		if err != nil {
			t.Fatal(err)
		}
		batches, err := train.Pictures(d, m.Processor, m.Tokenizer, train.PictureOptions{BatchSize: 4, Caption: choice})
		if err != nil {
			t.Fatal(err)
		}
		want, err := train.Evaluate(context.Background(), train.NewCaptioning(&m.EncoderDecoder, 0), train.Data[train.Batch[vision.Pixels]](batches), nil)
		if err != nil {
			t.Fatal(err)
		}
		l := r.Likelihood
		if l.Tokens != want.Labels || math.Abs(l.Loss-want.Loss) > 1e-9 || math.Abs(l.Perplexity-math.Exp(want.Loss)) > 1e-9*l.Perplexity {
			t.Errorf("%s: %+v, the trainer has %+v", choice, *l, want)
		}
		if l.ImageGain == nil || math.Abs(*l.ImageGain-*want.ImageGain) > 1e-9 || *l.ImageGain == 0 {
			t.Errorf("%s: image gain %v, the trainer has %v", choice, l.ImageGain, *want.ImageGain)
		}
	}
}

func TestTheLossOfEachCaptionIsItsOwn(t *testing.T) {
	m, d := model(t), data(t, 5)
	o := evaluate.DefaultOptions(m)
	var captions []evaluate.Caption
	o.EachCaption = func(c evaluate.Caption) error { captions = append(captions, c); return nil }
	r, err := evaluate.Model(context.Background(), m, d, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(captions) != 7 || r.Likelihood.Captions != 7 {
		t.Fatalf("%d captions, of which %d count, want 7", len(captions), r.Likelihood.Captions)
	}
	sum, tokens := 0.0, 0
	for _, c := range captions {
		want, n := alone(t, m, d, c)
		if math.Abs(c.NLLSum-want) > 1e-4 || len(c.TokenIDs) != n || math.Abs(c.NLLMean-c.NLLSum/float64(n)) > 1e-12 {
			t.Errorf("%+v, alone it has %v over %d tokens", c, want, n)
		}
		sum, tokens = sum+c.NLLSum, tokens+len(c.TokenIDs)
	}
	if math.Abs(sum/float64(tokens)-r.Likelihood.Loss) > 1e-9 {
		t.Errorf("the captions' mean is %v, the loss %v", sum/float64(tokens), r.Likelihood.Loss)
	}
	last := r.Pictures[3]
	if both := captions[4:6]; *last.NLLMean != (both[0].NLLSum+both[1].NLLSum)/float64(len(both[0].TokenIDs)+len(both[1].TokenIDs)) {
		t.Errorf("picture %s has %v, its captions %+v", last.Image, *last.NLLMean, both)
	}
}

// alone is the loss of one caption from logits, with no other beside it.
func alone(t *testing.T, m *seq2seq.VisionEncoderDecoder, d datasets.Dataset, c evaluate.Caption) (nll float64, tokens int) {
	t.Helper()
	for i := range d.Len() {
		e, err := d.Example(i)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID != c.Image {
			continue
		}
		image, err := e.Image()
		if err != nil {
			t.Fatal(err)
		}
		pixels, err := m.Processor.Process(image)
		if err != nil {
			t.Fatal(err)
		}
		states, err := m.Encode([]vision.Pixels{pixels}, nil)
		if err != nil {
			t.Fatal(err)
		}
		in, labels, err := seq2seq.Shift([][]int{m.Tokenizer.EncodeCaption(c.Caption, 0)})
		if err != nil {
			t.Fatal(err)
		}
		logits, err := m.Logits(layers.Source{Packed: states}, in)
		if err != nil {
			t.Fatal(err)
		}
		width := logits.Shape()[1]
		values := logits.Value().Data().F64()
		for row, label := range labels {
			sum := 0.0
			for _, x := range values[row*width : (row+1)*width] {
				sum += math.Exp(x)
			}
			nll += math.Log(sum) - values[row*width+label]
		}
		return nll, len(labels)
	}
	t.Fatalf("no picture %s", c.Image)
	return 0, 0
}

func TestTheCaptionsThatAreScoredAreTheModels(t *testing.T) {
	m, d := model(t), data(t, 6)
	for _, sampled := range []bool{false, true} {
		o := evaluate.DefaultOptions(m)
		o.BatchSize, o.Generation.DoSample, o.Generation.Seed = 4, sampled, 5
		r, err := evaluate.Model(context.Background(), m, d, o)
		if err != nil {
			t.Fatal(err)
		}
		var scored []metrics.Picture
		for i, p := range r.Pictures {
			e, _ := d.Example(i)
			image, err := e.Image()
			if err != nil {
				t.Fatal(err)
			}
			said, err := m.Generate(context.Background(), []vision.Image{image}, o.Generation)
			if err != nil {
				t.Fatal(err)
			}
			if p.Index != i || p.Image != e.ID || p.Caption != said[0].Text || !slices.Equal(p.References, e.Captions) {
				t.Errorf("%+v, want %s: %q", p, e.ID, said[0].Text)
			}
			scored = append(scored, metrics.Picture{Candidate: p.Caption, References: e.Captions})
		}
		all, each, err := metrics.Evaluate(scored)
		if err != nil {
			t.Fatal(err)
		}
		if r.Scores != all || r.Pictures[4].Scores != each[4] {
			t.Errorf("scores %+v, want %+v", r.Scores, all)
		}
	}
}

func TestWorstComesFirst(t *testing.T) {
	m, d := model(t), data(t, 6)
	e, _ := d.Example(4)
	said := []evaluate.Said{}
	for i, caption := range []string{"", "this", "a red bar", "a blue half", e.Captions[0], "zebra"} {
		e, _ := d.Example(i)
		said = append(said, evaluate.Said{Picture: e.ID, Caption: caption})
	}
	r, err := evaluate.Results(d, said)
	if err != nil {
		t.Fatal(err)
	}
	if best := r.Best(1); len(best) != 1 || best[0].Index != 4 {
		t.Errorf("the best is %+v", best)
	}
	worst := r.Worst(99)
	if len(worst) != 6 || worst[5].Index != 4 || worst[0].Scores.CIDEr != 0 || worst[0].Scores.ROUGEL != 0 {
		t.Errorf("from worst to best %+v", worst)
	}
	o := evaluate.DefaultOptions(m) // an untrained model is wrong everywhere: the likelihood decides
	if r, err = evaluate.Model(context.Background(), m, d, o); err != nil {
		t.Fatal(err)
	}
	for i := range r.Pictures {
		r.Pictures[i].Scores = metrics.Scores{}
	}
	worst = r.Worst(6)
	for i := range worst[1:] {
		if *worst[i].NLLMean < *worst[i+1].NLLMean {
			t.Errorf("%v comes before %v", *worst[i].NLLMean, *worst[i+1].NLLMean)
		}
	}
}

func coco(t *testing.T) datasets.Dataset {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.png"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "captions.json")
	if err := os.WriteFile(file, []byte(`{"images": [{"id": 42, "file_name": "a.png"}, {"id": 7, "file_name": "x/b.png"}, {"id": 9, "file_name": "y/b.png"}],
		"annotations": [{"image_id": 42, "caption": "a zebra"}, {"image_id": 42, "caption": "a striped horse"}, {"image_id": 7, "caption": "a dog"}, {"image_id": 9, "caption": "a cat"}]}`), 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(file, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestResultsAreFoundByIDAndByName(t *testing.T) {
	for _, c := range []struct{ file, fail string }{
		{file: `[{"image_id": 9, "caption": "a dog"}, {"image_id": 42, "caption": "a zebra"}]`},
		{file: "\ufeff" + `[{"image_id": "9", "caption": "a dog"}, {"image_id": "42", "caption": "a zebra"}] `},
		{file: "{\"image\": \"y/b.png\", \"caption\": \"a dog\", \"token_ids\": []}\n{\"image\": \"photos/a.png\", \"caption\": \"a zebra\"}\n"},
		{`[{"image_id": 9, "caption": "a dog"}, {"image_id": 43, "caption": "a zebra"}]`, "picture 43 has a caption, but is not in the data"},
		{`[{"image_id": 9, "caption": "a dog"}, {"image_id": 9, "caption": "a zebra"}]`, "caption 2 (byte 75): picture 9 has a caption already"},
		{`[{"image_id": 9, "caption": "a dog"}, {"image_id": "y/b.png", "caption": "a zebra"}]`, "two captions"},
		{`[{"image_id": "b.png", "caption": "a dog"}]`, "several of the data have this name"},
		{`[{"image_id": 9}]`, `no "caption"`},
		{`[{"caption": "a dog"}]`, `neither "image_id" nor "image"`},
		{`[{"image_id": 9, "caption": "a dog"}`, "does not end"},
		{`[{"image_id": 9, "caption": "a dog"}] []`, "more follows"},
		{`[{"image_id": 9, "caption": 3}]`, "caption 1"},
		{`[]`, "no captions"},
		{" \n", "empty"},
		{"zebra", "caption 1"},
	} {
		said, err := evaluate.ReadResults(strings.NewReader(c.file))
		var r *evaluate.Result
		if err == nil {
			r, err = evaluate.Results(coco(t), said)
		}
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s: error %v, want %q", c.file, err, c.fail)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		want, _, err := metrics.Evaluate([]metrics.Picture{{Candidate: "a zebra", References: []string{"a zebra", "a striped horse"}}, {Candidate: "a dog", References: []string{"a cat"}}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Scores != want || len(r.Pictures) != 2 || r.Pictures[0].Image != "a.png" || r.Likelihood != nil {
			t.Errorf("%s: %+v, want scores %+v", c.file, r, want)
		}
	}
}

func TestUnreadablePicturesArePassedOverOrEndIt(t *testing.T) {
	m, file := model(t), tiny.Data(t, 6)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "02.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(file, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, done := evaluate.DefaultOptions(m), 0
	o.BatchSize, o.MaxSkipped, o.Progress = 2, 1, func(n int) { done += n }
	r, err := evaluate.Model(context.Background(), m, d, o)
	if err != nil || len(r.Pictures) != 5 || len(r.Skipped) != 1 || r.Skipped[0].Index != 2 || done != 6 {
		t.Errorf("%+v, %v, progress %d", r, err, done)
	}
	o.MaxSkipped = 0
	if _, err = evaluate.Model(context.Background(), m, d, o); err == nil || !strings.Contains(err.Error(), "02.png") {
		t.Errorf("error %v", err)
	}
}

func TestWhatCannotBeMeasuredIsAnError(t *testing.T) {
	d := data(t, 4)
	stop := errors.New("stop")
	for _, c := range []struct {
		change func(m *seq2seq.VisionEncoderDecoder, o *evaluate.Options)
		want   string
	}{
		{func(_ *seq2seq.VisionEncoderDecoder, o *evaluate.Options) { o.Generation.NumReturnSequences = 2 }, "num_return_sequences is 2"},
		{func(_ *seq2seq.VisionEncoderDecoder, o *evaluate.Options) { o.Caption = datasets.RandomCaption }, "random"},
		{func(_ *seq2seq.VisionEncoderDecoder, o *evaluate.Options) {
			o.EachCaption = func(evaluate.Caption) error { return stop }
		}, "stop"},
		{func(m *seq2seq.VisionEncoderDecoder, _ *evaluate.Options) {
			for _, p := range layers.Parameters(m) {
				if strings.HasSuffix(p.Name, "ln_f.weight") {
					mat.Data[float32](p.Value)[0] = float32(math.NaN())
				}
			}
		}, "not finite"},
	} {
		m := model(t)
		o := evaluate.DefaultOptions(m)
		c.change(m, &o)
		if _, err := evaluate.Model(context.Background(), m, d, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := model(t)
	if _, err := evaluate.Model(ctx, m, d, evaluate.DefaultOptions(m)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func ExampleModel() {
	ctx := context.Background()
	m, err := sample.Captioner()
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := datasets.Open("emoji", datasets.Options{Split: "validation"})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := evaluate.Model(ctx, m, datasets.Subset(d, []int{0, 1, 2, 3, 4, 5, 6, 7}), evaluate.DefaultOptions(m))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("perplexity %.1f, BLEU-1 %.2f\n", r.Likelihood.Perplexity, r.Scores.BLEU[0])
	worst := r.Worst(1)[0]
	fmt.Printf("%q for %q\n", worst.Caption, worst.References[0])
	// Output:
	// perplexity 1.4, BLEU-1 0.92
	// "mx claus: medium-light skin tone" for "Santa Claus: dark skin tone"
}
