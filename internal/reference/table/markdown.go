package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// insert puts a table between the marks of a section.
func insert(page, section, table string) (string, error) {
	begin, end := "<!-- "+section+": begin -->\n", "<!-- "+section+": end -->\n"
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("expected the lines %q and, after it, %q", begin, end)
	}
	return before + begin + "\n" + table + "\n" + end + after, nil
}

// number writes 2.81e-06 as 2.8e-6.
func number(x float64) string {
	if x == 0 {
		return "0"
	}
	mantissa, exponent, _ := strings.Cut(fmt.Sprintf("%.1e", x), "e-")
	return strings.TrimSuffix(mantissa, ".0") + "e-" + strings.TrimLeft(exponent, "0")
}

// parts are the packages whose models are compared.
var parts = []struct{ pkg, title string }{
	{"vit", "ViT and DeiT"},
	{"gpt2", "GPT-2"},
	{"seq2seq", "both together"},
	{"losses", "LM head and loss"},
}

// quantities tell the tensors of cases by the beginnings of their names.
var quantities = []struct {
	title string
	names []string
}{
	{"states", []string{"hidden_states.", "last_hidden_state", "encoder_states"}},
	{"cross-attention's probabilities", []string{"cross_attentions."}},
	{"logits", []string{"logits"}},
	{"loss", []string{"loss"}},
	{"loss of each row", []string{"rows"}},
	{"gradients", []string{"grad."}},
}

func is(m measurement, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(m.what, n) })
}

func double(m measurement) bool { return strings.Contains(m.test, "InFloat64") }

// models is the table of states, logits, losses and gradients.
func (r *results) models() (string, error) {
	var b strings.Builder
	b.WriteString("| | | cases | tensors | float32: off by | allowed | PyTorch's float32 | float64: off by | allowed |\n" +
		"| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, p := range parts {
		rows := 0
		for _, q := range quantities {
			single := r.over(func(m measurement) bool { return m.pkg == p.pkg && is(m, q.names) && !double(m) })
			if single.tensors == 0 {
				continue
			}
			rows++
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %s | %s | %s |", p.title, q.title, len(single.cases), single.tensors,
				number(single.off), number(single.allowed), number(single.floor))
			if d := r.over(func(m measurement) bool { return m.pkg == p.pkg && is(m, q.names) && double(m) }); d.tensors > 0 {
				fmt.Fprintf(&b, " %s | %s |\n", number(d.off), number(d.allowed))
			} else {
				b.WriteString(" | |\n")
			}
		}
		if rows == 0 {
			return "", fmt.Errorf("package %s measured nothing", p.pkg)
		}
	}
	return b.String(), nil
}

// training is the table of training runs.
func (r *results) training() (string, error) {
	var runs []string
	for _, m := range r.measured {
		if m.test == "TestTrainingTakesTheStepsOfPyTorch" && !slices.Contains(runs, m.of) {
			runs = append(runs, m.of)
		}
	}
	if len(runs) == 0 {
		return "", fmt.Errorf("no training run was measured")
	}
	var b strings.Builder
	b.WriteString("| run | loss: off by | floor | gradient norm: off by | floor | last weights: off by | floor | of what is allowed |\n" +
		"| --- | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, run := range runs {
		fmt.Fprintf(&b, "| %s |", strings.ReplaceAll(run, "_", " "))
		share := 0.0
		for _, what := range []string{"loss", "grad_norm", "final."} {
			w := r.over(func(m measurement) bool {
				return m.pkg == "train" && m.of == run && strings.HasPrefix(m.what, what) && !double(m)
			})
			fmt.Fprintf(&b, " %s | %s |", number(w.off), number(w.floor))
			share = max(share, w.share)
		}
		fmt.Fprintf(&b, " %.0f %% |\n", 100*share)
	}
	steps := r.over(func(m measurement) bool { return m.pkg == "train" && double(m) && !strings.HasPrefix(m.what, "final.") })
	fmt.Fprintf(&b, "\nIn float64 the %d runs that train the encoder too have losses and gradient norms off by at most %s, where %s is allowed.\n",
		len(steps.cases), number(steps.off), number(steps.allowed))
	return b.String(), nil
}

// counts is the table of what is equal and not only close.
func (r *results) counts() (string, error) {
	var b strings.Builder
	b.WriteString("| | number | test |\n| --- | --: | --- |\n")
	subtests := func(test string, keep func(string) bool) int {
		cases := map[string]bool{}
		for _, n := range r.passed {
			if first, _, _ := strings.Cut(n.of, "/"); n.test == test && n.of != "" && keep(first) {
				cases[first] = true
			}
		}
		return len(cases)
	}
	all := func(string) bool { return true }
	var problem error
	add := func(title, test string, n int) {
		if n == 0 {
			problem = fmt.Errorf("%s: %s compared nothing", title, test)
		}
		fmt.Fprintf(&b, "| %s | %d | `%s` |\n", title, n, test)
	}
	for _, format := range []struct{ title, ext string }{{"PNG", ".png"}, {"JPEG", ".jpg"}, {"GIF", ".gif"}, {"WebP", ".webp"}, {"BMP", ".bmp"}} {
		add(format.title+" files read", "TestPicturesAreReadAsPillowReadsThem",
			subtests("TestPicturesAreReadAsPillowReadsThem", func(of string) bool { return filepath.Ext(of) == format.ext }))
	}
	for _, x := range []struct{ title, test string }{
		{"pictures with alpha laid on white", "TestAlphaIsLaidOnWhiteAsTransformersDoes"},
		{"resized pictures, every filter, up and down", "TestResizeIsPillows"},
		{"processor configurations: pixel values to the bit", "TestProcessorsGiveTheBitsOfTransformers"},
		{"optimiser runs of 50 steps", "TestWeightsAfterFiftyStepsEqualPyTorchs"},
	} {
		add(x.title, x.test, subtests(x.test, all))
	}
	type key struct{ test, what string }
	sums := map[key]int{}
	var order []key
	for _, c := range r.compared {
		k := key{c.test, c.what}
		if sums[k] == 0 {
			order = append(order, k)
		}
		sums[k] += c.n
	}
	slices.SortFunc(order, func(a, b key) int { return strings.Compare(a.test+a.what, b.test+b.what) })
	for _, k := range order {
		add(k.what, k.test, sums[k])
	}
	if len(order) == 0 {
		problem = errors.New("no test says what it compared")
	}
	return b.String(), problem
}

// full is the table of the checkpoint of full size.
func (r *results) full() (string, error) {
	var b strings.Builder
	b.WriteString("| | tensors | off by | allowed | PyTorch's float32 |\n| --- | --: | --: | --: | --: |\n")
	cross := func(m measurement) bool {
		return strings.Contains(m.what, ".crossattention.") || strings.Contains(m.what, ".ln_cross_attn.")
	}
	for _, q := range []struct {
		title string
		keep  func(measurement) bool
	}{
		{"pixel values", func(m measurement) bool { return m.what == "pixel_values" }},
		{"encoder's states", func(m measurement) bool { return m.what == "encoder_states" }},
		{"logits", func(m measurement) bool { return m.what == "logits" }},
		{"logits, weights held for decoding", func(m measurement) bool { return m.what == "held" }},
		{"loss", func(m measurement) bool { return m.what == "loss" }},
		{"gradients of the cross-attention", cross},
		{"gradients of all else", func(m measurement) bool { return strings.HasPrefix(m.what, "grad.") && !cross(m) }},
	} {
		w := r.over(q.keep)
		if w.tensors == 0 {
			return "", fmt.Errorf("%s were not measured", q.title)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |\n", q.title, w.tensors, number(w.off), number(w.allowed), number(w.floor))
	}
	for _, c := range r.compared {
		fmt.Fprintf(&b, "| %s | %d | equal | | |\n", c.what, c.n)
	}
	return b.String(), nil
}
