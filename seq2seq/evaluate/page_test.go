package evaluate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/evaluate"
)

func TestThePageHasTheWorstAndTheBestPictures(t *testing.T) {
	m, d := model(t), data(t, 6)
	r, err := evaluate.Model(context.Background(), m, d, evaluate.DefaultOptions(m))
	if err != nil {
		t.Fatal(err)
	}
	r.Pictures[0].Caption, r.Pictures[0].References = "a <b>Red</b> square.", []string{"a <i>square</i>", "square"}
	var b strings.Builder
	if err := r.Page(&b, "Held-out <pictures>", d, 2); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if n := strings.Count(page, `src="data:image/png;base64,`); n != 4 {
		t.Errorf("%d pictures, want the 2 worst and the 2 best", n)
	}
	for _, want := range []string{"Held-out &lt;pictures&gt;", "image gain", "perplexity", "hardly uses what it sees", "CIDEr", "1. " + r.Worst(1)[0].Image} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	if strings.Contains(page, "http") || strings.Contains(page, "<script") || strings.Contains(page, "ZgotmplZ") {
		t.Error("the page is not all in itself")
	}
	b.Reset()
	if err := r.Page(&b, "all", d, 99); err != nil {
		t.Fatal(err)
	}
	page = b.String()
	if n := strings.Count(page, "<li>"); n != 6 {
		t.Errorf("%d pictures, want each of the 6 once", n)
	}
	for _, want := range []string{"a</span> &lt;b&gt;Red&lt;/b&gt; <span class=\"hit\">square.</span>", "a &lt;i&gt;square&lt;/i&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
}

func TestAPageOfResultsNeedsNoPictures(t *testing.T) {
	d := coco(t)
	r, err := evaluate.Results(d, []evaluate.Said{{Picture: "42", Caption: ""}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.Page(&b, "results", d, 5); err != nil {
		t.Fatal(err)
	}
	if page := b.String(); !strings.Contains(page, "no picture") || !strings.Contains(page, "(nothing)") || strings.Contains(page, "perplexity") {
		t.Errorf("the page is\n%s", page)
	}
}
