package evaluate

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/datasets"
	"github.com/ekphrasis-ml/ekphrasis/vision"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// shown is what the page knows.
type shown struct {
	Title       string
	Facts       []fact
	Observation string // in words, "" if there is nothing to say
	Lists       []shownList
}

type fact struct{ Name, Value string }

type shownList struct {
	Name, About string
	Pictures    []shownPicture
}

type shownPicture struct {
	Picture
	Rank  int
	PNG   template.URL // "" if it could not be read
	Words []shownWord  // of the caption
	Marks []fact
}

type shownWord struct {
	Text  string
	Right bool // a reference has it
}

// Page writes one self-contained HTML file with the scores and the n worst and the n best pictures of a result on d. A picture
// that cannot be read, as for a results file whose pictures are elsewhere, is shown without its picture.
func (r *Result) Page(w io.Writer, title string, d datasets.Dataset, n int) error {
	p := shown{Title: title, Facts: r.facts(), Observation: r.observation()}
	best := min(n, (len(r.Pictures)+1)/2) // no picture is in both lists
	for _, l := range []shownList{
		{"Worst", "The captions that score lowest by CIDEr, then ROUGE-L, the worst first. Underlined words are in a reference.", r.pictures(d, r.Worst(min(n, len(r.Pictures)-best)))},
		{"Best", "The captions that score highest, the best first.", r.pictures(d, r.Best(best))},
	} {
		if len(l.Pictures) > 0 {
			p.Lists = append(p.Lists, l)
		}
	}
	return page.Execute(w, p)
}

func (r *Result) facts() []fact {
	facts := []fact{{"pictures", fmt.Sprint(len(r.Pictures))}}
	if l := r.Likelihood; l != nil {
		facts = append(facts, fact{"loss", fmt.Sprintf("%.3f", l.Loss)}, fact{"perplexity", fmt.Sprintf("%.4g", l.Perplexity)})
		if l.ImageGain != nil {
			facts = append(facts, fact{"image gain", fmt.Sprintf("%.3f", *l.ImageGain)})
		}
	}
	for i, b := range r.Scores.BLEU {
		facts = append(facts, fact{fmt.Sprintf("BLEU-%d", i+1), fmt.Sprintf("%.3f", b)})
	}
	return append(facts, fact{"ROUGE-L", fmt.Sprintf("%.3f", r.Scores.ROUGEL)}, fact{"CIDEr", fmt.Sprintf("%.3f", r.Scores.CIDEr)})
}

// ignored is the image gain, as a share of the loss, below which a decoder
// hardly looks at the picture.
const ignored = 0.02

func (r *Result) observation() string {
	if l := r.Likelihood; l != nil && l.ImageGain != nil && *l.ImageGain < ignored*l.Loss {
		return fmt.Sprintf("The loss is nearly the same with the pictures of others (image gain %.3f): the decoder hardly uses what it sees.", *l.ImageGain)
	}
	return ""
}

func (r *Result) pictures(d datasets.Dataset, ranked []Picture) []shownPicture {
	var out []shownPicture
	for i, p := range ranked {
		s := shownPicture{Picture: p, Rank: i + 1, PNG: thumbnail(d, p.Index), Words: words(p)}
		s.Marks = []fact{
			{"CIDEr", fmt.Sprintf("%.2f", p.Scores.CIDEr)}, {"ROUGE-L", fmt.Sprintf("%.2f", p.Scores.ROUGEL)},
			{"BLEU-1", fmt.Sprintf("%.2f", p.Scores.BLEU[0])}, {"BLEU-4", fmt.Sprintf("%.2f", p.Scores.BLEU[3])},
		}
		if p.NLLMean != nil {
			s.Marks = append(s.Marks, fact{"loss", fmt.Sprintf("%.2f", *p.NLLMean)})
		}
		out = append(out, s)
	}
	return out
}

// words parts a caption, and tells which of its words a reference has.
func words(p Picture) []shownWord {
	plain := func(word string) string { return strings.ToLower(strings.Trim(word, `.,;:!?"'()`)) }
	known := map[string]bool{}
	for _, reference := range p.References {
		for word := range strings.FieldsSeq(reference) {
			known[plain(word)] = true
		}
	}
	var out []shownWord
	for word := range strings.FieldsSeq(p.Caption) {
		out = append(out, shownWord{word, known[plain(word)]})
	}
	return out
}

const thumbnailSide = 240 // pixels, of the longer side

// thumbnail is a picture of the data as a URL that holds it, "" if it cannot
// be read.
func thumbnail(d datasets.Dataset, index int) template.URL {
	e, err := d.Example(index)
	if err != nil {
		return ""
	}
	m, err := e.Image()
	if err != nil {
		return ""
	}
	if long := max(m.Width, m.Height); long > thumbnailSide {
		m = m.Resize(max(m.Width*thumbnailSide/long, 1), max(m.Height*thumbnailSide/long, 1), vision.Bicubic)
	}
	var data bytes.Buffer
	if err := png.Encode(&data, m); err != nil {
		return ""
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data.Bytes()))
}
