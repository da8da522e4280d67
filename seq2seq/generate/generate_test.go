package generate_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/nlpodyssey/cybertron/pkg/generationutils"
	"github.com/nlpodyssey/spago/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

func mustGenerate(t *testing.T, d generate.Decoder, source layers.Source, o generate.Options) []generate.Sequence {
	t.Helper()
	got, err := generate.Generate(context.Background(), d, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTokensAreWithoutStartAndEnd(t *testing.T) {
	got := mustGenerate(t, counter(9), items(4), from0())
	for i, s := range got {
		want := []int{1, 2, 3}[:i:i]
		if !slices.Equal(s.Tokens, want) || !s.Finished {
			t.Errorf("item %d: %v, finished %v; want %v and finished", i, s.Tokens, s.Finished, want)
		}
	}
	o := from0()
	o.MaxNewTokens = 2
	if got := mustGenerate(t, counter(9), items(4), o)[3]; !slices.Equal(got.Tokens, []int{1, 2}) || got.Finished {
		t.Errorf("cut at 2: %v, finished %v", got.Tokens, got.Finished)
	}
}

func TestAPrefixIsPartOfTheTokens(t *testing.T) {
	o := from0()
	o.Prefix = []int{5, 2}
	for _, beams := range []int{1, 3} {
		o.NumBeams = beams
		d := counter(9)
		got := mustGenerate(t, d, items(5), o)
		if want := []int{5, 2, 3, 4}; !slices.Equal(got[4].Tokens, want) {
			t.Errorf("%d beams: %v, want %v", beams, got[4].Tokens, want)
		}
		if want := []int{5, 2}; !slices.Equal(got[1].Tokens, want) {
			t.Errorf("%d beams: %v, want %v", beams, got[1].Tokens, want)
		}
		if d.fed[0] != 5 {
			t.Errorf("%d beams: the prompt was computed for %d sequences, want one an item: 5", beams, d.fed[0])
		}
	}
}

func TestFinishedSequencesLeaveTheBatch(t *testing.T) {
	d := counter(9)
	mustGenerate(t, d, items(4), from0())
	if want := []int{4, 3, 2, 1}; !slices.Equal(d.fed, want) {
		t.Errorf("sequences of each step are %v, want %v", d.fed, want)
	}
	// Item i cannot end before it has 3i tokens, and then does.
	d = &table{vocabulary: 9, positions: 100, logits: func(tokens []int, item int) []float32 {
		x := make([]float32, 9)
		if x[0] = 9; len(tokens)-1 < 3*item {
			x[0] = -1e9
		}
		return x
	}}
	o := from0()
	o.NumBeams, o.EarlyStopping = 2, generate.WhenFull
	mustGenerate(t, d, items(3), o)
	if first, last := d.fed[1], d.fed[len(d.fed)-1]; first != 6 || last != 2 || !slices.IsSortedFunc(d.fed[1:], func(a, b int) int { return b - a }) {
		t.Errorf("with 2 beams the steps have %v sequences, want 6 falling to 2", d.fed)
	}
}

func TestASourceOfSharedItemsGivesASequenceForEachEntry(t *testing.T) {
	source := items(4)
	source.Of = []int{3, 1, 3}
	for _, beams := range []int{1, 2} {
		o := from0()
		o.NumBeams = beams
		got := mustGenerate(t, counter(9), source, o)
		if len(got) != 3 || len(got[0].Tokens) != 3 || len(got[1].Tokens) != 1 || len(got[2].Tokens) != 3 {
			t.Errorf("%d beams: %v", beams, got)
		}
	}
}

func TestADecoderThatLooksAtNothingIsOneItem(t *testing.T) {
	o := from0()
	o.EOSTokenID, o.MaxNewTokens = nil, 3
	if got := mustGenerate(t, always(1, 3, 2), layers.Source{}, o); len(got) != 1 || !slices.Equal(got[0].Tokens, []int{1, 1, 1}) {
		t.Errorf("%v, want 1 1 1", got)
	}
	if got := mustGenerate(t, always(1, 3, 2), items(0), o); len(got) != 0 {
		t.Errorf("%v of no items", got)
	}
}

// variants are options that exercise each kind of decoding.
func variants() map[string]generate.Options {
	greedy := generate.DefaultOptions()
	greedy.DecoderStartTokenID, greedy.EOSTokenID, greedy.MaxNewTokens = 30, generate.IDs{30, 4, 9}, 12
	sample := greedy
	sample.DoSample, sample.NumReturnSequences, sample.TopK, sample.TopP, sample.Temperature = true, 3, 20, 0.95, 0.8
	sample.RepetitionPenalty, sample.Seed = 1.2, 5
	beams := greedy
	beams.NumBeams, beams.NumReturnSequences, beams.NoRepeatNGramSize = 4, 2, 2
	both := sample
	both.NumBeams = 3
	return map[string]generate.Options{"greedy": greedy, "sampling": sample, "beams": beams, "sampled beams": both}
}

func TestABatchGivesWhatEachItemGetsAlone(t *testing.T) {
	s := readRandomSearches(t)
	for name, o := range variants() {
		for _, m := range s.Models[:4] {
			d, source := decoder[float32](t, s, m)
			o.Items = []uint64{7, 8, 9}
			want := mustGenerate(t, d, source, o)
			for _, order := range [][]int{{0}, {1}, {2}, {2, 0}, {1, 2, 0, 1}} {
				part := source
				part.Of = order
				o.Items = nil
				for _, item := range order {
					o.Items = append(o.Items, uint64(7+item))
				}
				got := mustGenerate(t, d, part, o)
				for i, item := range order {
					n := o.NumReturnSequences
					if !reflect.DeepEqual(got[i*n:(i+1)*n], want[item*n:(item+1)*n]) {
						t.Errorf("%s, items %v: item %d has\n%v, in the whole batch\n%v", name, order, item, got[i*n:(i+1)*n], want[item*n:(item+1)*n])
					}
				}
			}
		}
	}
}

func TestTheNumberOfThreadsChangesNothing(t *testing.T) {
	defer kernel.SetThreads(0)
	s := readRandomSearches(t)
	d, source := decoder[float32](t, s, s.Models[1])
	for name, o := range variants() {
		kernel.SetThreads(1)
		want := mustGenerate(t, d, source, o)
		for _, threads := range []int{2, 5} {
			kernel.SetThreads(threads)
			if got := mustGenerate(t, d, source, o); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %d threads give %v, one gives %v", name, threads, got, want)
			}
		}
	}
}

func TestSeedsAndItemsGiveDifferentSamples(t *testing.T) {
	o := from0()
	o.DoSample, o.EOSTokenID, o.MaxNewTokens, o.NumReturnSequences = true, nil, 20, 3
	d := always(0, 0, 0, 0, 0)
	seen := map[string]bool{}
	for seed := range uint64(3) {
		o.Seed = seed
		first := mustGenerate(t, d, items(3), o)
		if again := mustGenerate(t, d, items(3), o); !reflect.DeepEqual(first, again) {
			t.Errorf("seed %d gives %v, then %v", seed, first, again)
		}
		for _, s := range first {
			seen[fmt.Sprint(s.Tokens)] = true
		}
	}
	if len(seen) != 27 {
		t.Errorf("27 samples, %d distinct", len(seen))
	}
}

// With every processor that the options offer, and one of the caller's, pairs
// of tokens have their probabilities.
func TestSamplesHaveTheirProbabilities(t *testing.T) {
	const vocabulary, draws = 12, 100_000
	logits := func(last int) []float32 {
		x := make([]float32, vocabulary)
		for i := range x {
			x[i] = 2 * float32(math.Sin(float64(1+i+5*last)))
		}
		return x
	}
	d := &table{vocabulary: vocabulary, positions: 9, logits: func(tokens []int, _ int) []float32 { return logits(tokens[len(tokens)-1]) }}
	o := generate.DefaultOptions()
	o.DecoderStartTokenID, o.EOSTokenID, o.MaxNewTokens, o.MinNewTokens = 11, generate.IDs{10}, 2, 1
	o.DoSample, o.NumReturnSequences, o.Seed = true, draws, 3
	o.Temperature, o.TopK, o.TopP, o.MinP, o.TypicalP = 1.3, 9, 0.97, 0.03, 0.97
	o.RepetitionPenalty, o.NoRepeatNGramSize = 1.4, 1
	o.SuppressTokens, o.BeginSuppressTokens, o.BadWordsIDs = []int{3}, []int{5}, [][]int{{1, 2}, {7}}
	o.Processors = []generate.Processor{generate.ProcessorFunc(func(scores []float32, _ []int) { scores[4] += 0.5 })}

	// The same, written out.
	next := func(tokens []int) []float64 {
		x := logits(tokens[len(tokens)-1])
		for _, id := range tokens {
			x[id] = float32(math.Inf(-1)) // no token twice
		}
		x[3], x[7] = float32(math.Inf(-1)), float32(math.Inf(-1))
		if len(tokens) == 1 {
			x[5], x[10] = float32(math.Inf(-1)), float32(math.Inf(-1))
		} else if tokens[1] == 1 {
			x[2] = float32(math.Inf(-1))
		}
		x[4] += 0.5
		return sampled(x, &o)
	}
	p := make([]float64, vocabulary*vocabulary)
	for a, pa := range next([]int{11}) {
		for b, pb := range next([]int{11, a}) {
			p[a*vocabulary+b] = pa * pb
		}
	}
	counts := make([]int, len(p))
	for _, s := range mustGenerate(t, d, layers.Source{}, o) {
		pair := s.Tokens
		if s.Finished {
			pair = append(pair, 10)
		}
		counts[pair[0]*vocabulary+pair[1]]++
	}
	checkChiSquare(t, counts, p)
}

// sampled is what sampling draws from, as it reads.
func sampled(scores []float32, o *generate.Options) []float64 {
	p := make([]float64, len(scores))
	order := make([]int, len(p))
	set := func() { // from scores, where p was not made 0
		total := 0.0
		for i, s := range scores {
			if p[i] != 0 {
				p[i] = math.Exp(float64(s) / o.Temperature)
			}
			total += p[i]
		}
		for i := range p {
			p[i] /= total
		}
	}
	cut := func(key func(i int) float64, over func(n int, before float64) bool) {
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if key(a) < key(b) {
				return -1
			} else if key(a) > key(b) {
				return 1
			}
			return 0
		})
		before, was := 0.0, slices.Clone(p)
		for n, i := range order {
			if over(n, before) {
				p[i] = 0
			}
			before += was[i]
		}
		set()
	}
	for i := range p {
		p[i] = 1
	}
	set()
	falling := func(i int) float64 { return -p[i] }
	cut(falling, func(n int, _ float64) bool { return n >= o.TopK })
	was := slices.Clone(p)
	cut(func(i int) float64 { return -was[i] }, func(_ int, before float64) bool { return before >= o.TopP })
	best := slices.Max(p)
	for i := range p {
		if p[i] < o.MinP*best {
			p[i] = 0
		}
	}
	set()
	entropy := 0.0
	for _, x := range p {
		if x > 0 {
			entropy -= x * math.Log(x)
		}
	}
	was = slices.Clone(p)
	cut(func(i int) float64 { return math.Abs(-math.Log(was[i]) - entropy) }, func(_ int, before float64) bool { return before >= o.TypicalP })
	return p
}

func TestSampledBeamsAreDrawnWithoutReplacement(t *testing.T) {
	const draws = 100_000
	logits := []float32{1, 0, -0.5, 2, 0.3, 0.3}
	p := make([]float64, len(logits))
	total := 0.0
	for i, x := range logits {
		p[i] = math.Exp(float64(x))
		total += p[i]
	}
	pairs := make([]float64, len(p)*len(p)) // either order
	for a := range p {
		for b := range a {
			pa, pb := p[a]/total, p[b]/total
			pairs[a*len(p)+b] = pa*pb/(1-pa) + pb*pa/(1-pb)
		}
	}
	source := items(1)
	source.Of = make([]int, draws)
	o := from0()
	o.EOSTokenID, o.MaxNewTokens, o.NumBeams, o.NumReturnSequences, o.DoSample = nil, 1, 2, 2, true
	counts := make([]int, len(pairs))
	got := mustGenerate(t, always(logits...), source, o)
	for i := 0; i < len(got); i += 2 {
		if got[i].Score < got[i+1].Score {
			t.Fatalf("item %d: score %v before %v", i/2, got[i].Score, got[i+1].Score)
		}
		a, b := got[i].Tokens[0], got[i+1].Tokens[0]
		counts[max(a, b)*len(p)+min(a, b)]++
	}
	checkChiSquare(t, counts, pairs)
}

// checkChiSquare fails if counts are as far from their probabilities as
// happens once in a million times.
func checkChiSquare(t *testing.T, counts []int, p []float64) {
	t.Helper()
	total, degrees, statistic := 0, -1.0, 0.0
	for _, n := range counts {
		total += n
	}
	rest, restExpected := 0.0, 0.0 // too rare to count by themselves
	for id, n := range counts {
		expected := p[id] * float64(total)
		switch {
		case p[id] == 0 && n > 0:
			t.Errorf("%d draws of %d, which has probability 0", n, id)
		case expected < 10:
			rest, restExpected = rest+float64(n), restExpected+expected
		default:
			statistic += (float64(n) - expected) * (float64(n) - expected) / expected
			degrees++
		}
	}
	if restExpected >= 10 {
		statistic += (rest - restExpected) * (rest - restExpected) / restExpected
		degrees++
	}
	if limit := (distuv.ChiSquared{K: degrees}).Quantile(1 - 1e-6); degrees < 5 || !(statistic < limit) {
		t.Errorf("chi-square is %v with %v degrees of freedom, the limit %v", statistic, degrees, limit)
	}
}

func TestProcessorsSeeTheTokensAndChangeTheScores(t *testing.T) {
	for _, beams := range []int{1, 3} {
		o := from0()
		o.EOSTokenID, o.MaxNewTokens, o.NumBeams = nil, 4, beams
		o.Processors = []generate.Processor{generate.ProcessorFunc(func(scores []float32, tokens []int) {
			for i := range scores {
				if i != len(tokens) {
					scores[i] = float32(math.Inf(-1))
				}
			}
		})}
		if got := mustGenerate(t, always(0, 0, 0, 0, 0, 0), items(1), o)[0].Tokens; !slices.Equal(got, []int{1, 2, 3, 4}) {
			t.Errorf("%d beams: %v, want 1 2 3 4", beams, got)
		}
	}
}

func TestCriteriaEndSequences(t *testing.T) {
	for _, beams := range []int{1, 2} {
		o := from0()
		o.EOSTokenID, o.NumBeams, o.EarlyStopping = nil, beams, generate.EarlyStopping(beams-1)
		o.Criteria = []generate.StoppingCriterion{generate.StoppingFunc(func(tokens []int) bool { return tokens[len(tokens)-1] == 3 })}
		got := mustGenerate(t, counter(9), items(6), o)[5]
		if !slices.Equal(got.Tokens, []int{1, 2, 3}) || !got.Finished {
			t.Errorf("%d beams: %v, want 1 2 3 and finished", beams, got)
		}
	}
}

// letters is a tokenizer whose token i is text i.
type letters []string

func (l letters) Decode(ids []int, _ bool) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(l[id])
	}
	return b.String()
}

func TestStopStringsEndWithTheTokenThatCompletesThem(t *testing.T) {
	text := letters{"a", "st", "o", "p", "opera", "las", "topper", "stop", "\xc3", "\xa9"}
	for _, c := range []struct {
		say, prefix []int
		stop        []string
		want        int // tokens said
	}{
		{[]int{0, 1, 2, 3, 0}, nil, []string{"stop"}, 4},
		{[]int{0, 1, 4, 0, 0}, nil, []string{"stop"}, 3},
		{[]int{5, 6, 0, 0, 0}, nil, []string{"stop"}, 2},
		{[]int{7, 0, 0, 0, 0}, nil, []string{"stop"}, 1},
		{[]int{0, 1, 0, 2, 3}, nil, []string{"stop"}, 5},
		{[]int{0, 2, 3, 1, 0}, nil, []string{"stop", "ps"}, 4},
		{[]int{2, 3, 0, 0, 0}, []int{1}, []string{"stop"}, 2},
		{[]int{0, 0, 0, 0, 0}, []int{7}, []string{"stop"}, 5},
		{[]int{8, 9, 0, 0, 0}, nil, []string{"é"}, 2},
	} {
		d := &table{vocabulary: len(text), positions: 50, logits: func(tokens []int, _ int) []float32 {
			x := make([]float32, len(text))
			x[c.say[len(tokens)-1-len(c.prefix)]] = 5
			return x
		}}
		o := from0()
		o.EOSTokenID, o.MaxNewTokens, o.Prefix, o.StopStrings, o.Text = nil, len(c.say), c.prefix, c.stop, text
		got := mustGenerate(t, d, items(1), o)[0]
		if said := len(got.Tokens) - len(c.prefix); said != c.want {
			t.Errorf("after %v, saying %v stops after %d tokens at %q, want %d", c.prefix, c.say, said, c.stop, c.want)
		}
	}
}

func TestCybertronsProcessorsCanBePluggedIn(t *testing.T) {
	o := from0()
	o.EOSTokenID, o.MaxNewTokens, o.DoSample, o.NumReturnSequences = nil, 1, true, 200
	o.Processors = []generate.Processor{
		generate.Cybertron(generationutils.TopKProcessor(2, math.Inf(-1))),
		generate.Cybertron(func(scores mat.Matrix) mat.Matrix { return scores.AddScalar(1) }),
	}
	seen := map[int]int{}
	for _, s := range mustGenerate(t, always(1, 0, 1, 0.9), items(1), o) {
		seen[s.Tokens[0]]++
	}
	if len(seen) != 2 || seen[0] < 50 || seen[2] < 50 {
		t.Errorf("tokens are drawn %v times, want 0 and 2 alone", seen)
	}
	defer func() {
		if message := fmt.Sprint(recover()); !strings.Contains(message, "3 scores of 4") {
			t.Errorf("a result of another size: %s", message)
		}
	}()
	generate.Cybertron(func(mat.Matrix) mat.Matrix { return mat.NewDense[float32](mat.WithShape(3)) }).Process(make([]float32, 4), nil)
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name   string
		d      *table
		change func(o *generate.Options)
		want   string
	}{
		{"a NaN", always(1, nan, 2), func(*generate.Options) {}, "NaN"},
		{"a NaN first", always(nan, 1, 2), func(*generate.Options) {}, "NaN"},
		{"an infinity", always(1, inf, 2), func(*generate.Options) {}, "+Inf"},
		{"nothing but minus infinity", always(-inf, -inf), func(*generate.Options) {}, "all -Inf"},
		{"everything forbidden", always(1, 2, 3), func(o *generate.Options) { o.SuppressTokens = []int{0, 1, 2} }, "every token is forbidden after 1 tokens"},
		{"a processor's NaN", always(1, 2, 3), func(o *generate.Options) {
			o.Processors = []generate.Processor{generate.ProcessorFunc(func(s []float32, _ []int) { s[2] = nan })}
		}, "score of token 2 NaN"},
		{"Items for another batch", always(1, 2, 3), func(o *generate.Options) { o.Items = []uint64{1} }, "Items numbers 1 items; the source has 2"},
		{"a bad option", always(1, 2, 3), func(o *generate.Options) { o.NumBeams = 0 }, "num_beams"},
	} {
		for _, kind := range []string{"greedy", "sampling", "beams", "sampled beams"} {
			o := from0()
			o.DoSample, o.EOSTokenID = strings.HasPrefix(kind, "sampl"), nil
			if strings.HasSuffix(kind, "beams") {
				o.NumBeams = 2
			}
			c.change(&o)
			got, err := generate.Generate(context.Background(), c.d, items(2), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
				t.Errorf("%s, %s: %v, error %v; want %q in it", c.name, kind, got, err, c.want)
			}
		}
	}
	o := from0()
	o.NumBeams, o.NumReturnSequences, o.MaxNewTokens, o.SuppressTokens = 3, 3, 1, []int{0, 1}
	if _, err := generate.Generate(context.Background(), always(1, 2, 3, 4), items(1), o); err == nil || !strings.Contains(err.Error(), "item 0 has only 2 sequences") {
		t.Errorf("3 sequences of 2 that there are: %v", err)
	}
}

func TestTheContextEndsGeneration(t *testing.T) {
	for _, beams := range []int{1, 2} {
		ctx, cancel := context.WithCancel(context.Background())
		o := from0()
		o.EOSTokenID, o.NumBeams = nil, beams
		o.Criteria = []generate.StoppingCriterion{generate.StoppingFunc(func(tokens []int) bool {
			if len(tokens) == 4 {
				cancel()
			}
			return false
		})}
		d := always(1, 2, 3, 4, 5)
		if _, err := generate.Generate(ctx, d, items(2), o); err != context.Canceled {
			t.Errorf("%d beams: error %v", beams, err)
		}
		if len(d.fed) != 3 {
			t.Errorf("%d beams: %d steps, want 3", beams, len(d.fed))
		}
		if _, err := generate.Generate(ctx, d, items(2), o); err != context.Canceled || len(d.fed) != 3 {
			t.Errorf("%d beams: with a context that is over, error %v after %d steps", beams, err, len(d.fed)-3)
		}
	}
}

func TestATokenAllocatesNothingAsLargeAsTheVocabulary(t *testing.T) {
	const vocabulary = 50_000
	logits := make([]float32, vocabulary)
	for i := range logits {
		logits[i] = float32(math.Sin(float64(i)))
	}
	d := always(logits...)
	allocated := func(o generate.Options, tokens int) uint64 {
		o.MaxNewTokens, o.EOSTokenID, o.DecoderStartTokenID, o.NoRepeatNGramSize = tokens, nil, 0, 3
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mustGenerate(t, d, items(2), o)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for name, o := range variants() {
		few, many := allocated(o, 4), allocated(o, 14)
		if perToken := (int64(many) - int64(few)) / 10; perToken > vocabulary {
			t.Errorf("%s: %d bytes a step", name, perToken)
		}
	}
}
