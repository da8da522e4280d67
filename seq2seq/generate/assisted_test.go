package generate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/generate"
	"github.com/ekphrasis-ml/ekphrasis/seq2seq/gpt2"
	"github.com/nlpodyssey/spago/mat"
)

// alone is one item of a source.
func alone(source layers.Source, item int) layers.Source {
	source.Of = []int{item}
	return source
}

// sameWithAssistant compares tokens, scores and ends to the bit.
func sameWithAssistant(t *testing.T, what string, d, assistant generate.Decoder, source layers.Source, o generate.Options) {
	t.Helper()
	o.AssistantModel = nil
	want, wantErr := generate.Generate(context.Background(), d, source, o)
	o.AssistantModel = assistant
	got, err := generate.Generate(context.Background(), d, source, o)
	if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%s:\n got %v, %v\nwant %v, %v", what, got, err, want, wantErr)
	}
}

// With the settings of the golden searches, all processors among them.
func TestAnAssistantChangesNothing(t *testing.T) {
	s := readRandomSearches(t)
	compared := 0
	for i, m := range s.Models {
		d, source := decoder[float32](t, s, m)
		held := layers.Precision(i%4 - 1)
		if held >= 0 { // otherwise they are plain matrices
			d.Hold(held)
		}
		other, _ := decoder[float32](t, s, s.Models[(i+1)%len(s.Models)])
		for _, r := range m.Runs {
			o := r.options(t)
			if o.DoSample || o.NumBeams > 1 {
				continue
			}
			for name, a := range map[string]generate.Decoder{"in int8": d.Assistant(), "that is the model": d, "of other weights": other, "without eyes": blind{other}} {
				compared++
				o.NumAssistantTokens = []int{7, 1, 3, 40}[compared/4%4]
				o.NumAssistantTokensSchedule = []generate.AssistantSchedule{generate.HeuristicTransient, generate.Constant}[compared/16%2]
				o.AssistantConfidenceThreshold = []float64{0, 0, 0.1}[compared/32%3]
				sameWithAssistant(t, fmt.Sprintf("model %d, held %d, %s, assistant %s, %d guesses", i, held, r.Options, name, o.NumAssistantTokens), d, a, alone(source, compared%s.Items), o)
			}
		}
	}
	if compared < 600 {
		t.Fatalf("%d searches compared", compared)
	}
	d, source := decoder[float64](t, s, s.Models[0])
	other, _ := decoder[float64](t, s, s.Models[1])
	for _, a := range []generate.Decoder{d, d.Assistant(), other} {
		sameWithAssistant(t, "float64", d, a, alone(source, 1), variants()["greedy"])
	}
}

// blind looks at nothing, as a language model that is put beside one that does.
type blind struct{ *gpt2.Model }

func (b blind) NewCache(n int) layers.Cache { return b.Model.NewCache(n) }

func (b blind) NewCacheWith(n int, _ layers.Cache) layers.Cache { return b.Model.NewCache(n) }

func (b blind) Decode(tokens layers.Tokens, _ layers.Source, cache layers.Cache, random *layers.Random) (mat.Tensor, layers.Cache, error) {
	return b.Model.Decode(tokens, layers.Source{}, cache, random)
}

// The caller's own functions are called for the same tokens, in the same order.
func TestAnAssistantAsksTheCallersFunctionsNothingNew(t *testing.T) {
	s := readRandomSearches(t)
	for i, m := range s.Models {
		d, source := decoder[float32](t, s, m)
		other, _ := decoder[float32](t, s, s.Models[(i+1)%len(s.Models)])
		run := func(assistant generate.Decoder) (calls []string, got []generate.Sequence) {
			o := variants()["greedy"]
			o.AssistantModel, o.MaxNewTokens = assistant, 20
			note := func(what string, tokens []int) { calls = append(calls, fmt.Sprint(what, tokens)) }
			o.PrefixAllowedTokens = func(item int, tokens []int) []int {
				note("allowed", tokens)
				return s.allowed(item, tokens)
			}
			o.Processors = []generate.Processor{generate.ProcessorFunc(func(scores []float32, tokens []int) {
				note("processor", tokens)
				scores[len(calls)%len(scores)] += 3 // it remembers
			})}
			o.Criteria = []generate.StoppingCriterion{generate.StoppingFunc(func(tokens []int) bool {
				note("criterion", tokens)
				return len(calls) > 50
			})}
			return calls, mustGenerate(t, d, alone(source, i%3), o)
		}
		_, want := run(nil)
		wantCalls, _ := run(nil)
		for name, a := range map[string]generate.Decoder{"in int8": d.Assistant(), "of other weights": other} {
			calls, got := run(a)
			if !reflect.DeepEqual(got, want) || !slices.Equal(calls, wantCalls) {
				t.Errorf("model %d, assistant %s: got %v with %d calls, want %v with %d", i, name, got, len(calls), want, len(wantCalls))
			}
		}
	}
}

func TestAnAssistedStreamGivesTheSameTokens(t *testing.T) {
	s := readRandomSearches(t)
	for i, m := range s.Models {
		d, source := decoder[float32](t, s, m)
		source = alone(source, 2)
		for _, prefix := range [][]int{nil, {3, 1}} {
			o := variants()["greedy"]
			o.Prefix = prefix
			want := mustGenerate(t, d, source, o)[0].Tokens
			o.AssistantModel = d.Assistant()
			for stop := range len(want) + 1 {
				var got []int
				for id, err := range generate.Stream(context.Background(), d, source, o) {
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, id); len(got) == stop {
						break
					}
				}
				if stop == 0 && !slices.Equal(got, want) || stop > 0 && !slices.Equal(got, want[:stop]) {
					t.Errorf("model %d, left after %d tokens: %v, want %v", i, stop, got, want)
				}
			}
		}
	}
}

// steady is a decoder that says the token after the last one, with a cache
// that can be cut. It counts calls and tokens.
type steady struct {
	vocabulary, positions int
	wrong                 func(position int) bool // says another token there
	calls, tokens         int
	fail                  error
}

type position struct{ n int }

func (p *position) Sequences() int   { return 1 }
func (p *position) Keep([]int)       {}
func (p *position) Truncate(n []int) { p.n = n[0] }

func (d *steady) NewCache(int) layers.Cache { return &position{} }
func (d *steady) VocabSize() int            { return d.vocabulary }
func (d *steady) MaxLength() int            { return d.positions }
func (d *steady) Head() mat.Tensor          { return (&table{vocabulary: d.vocabulary}).Head() }

func (d *steady) Decode(tokens layers.Tokens, _ layers.Source, cache layers.Cache, _ *layers.Random) (mat.Tensor, layers.Cache, error) {
	d.calls, d.tokens = d.calls+1, d.tokens+len(tokens.IDs)
	p := cache.(*position)
	hidden := make([]float32, len(tokens.IDs)*d.vocabulary)
	for i, id := range tokens.IDs {
		if p.n++; p.n > d.positions {
			return nil, nil, fmt.Errorf("%d tokens", p.n)
		}
		next := id + 1
		if d.wrong != nil && d.wrong(p.n) {
			next++
		}
		hidden[i*d.vocabulary+next%d.vocabulary] = 9
	}
	return mat.NewDense[float32](mat.WithShape(len(tokens.IDs), d.vocabulary), mat.WithBacking(hidden)), cache, d.fail
}

func assistedBy(a generate.Decoder, newTokens int) generate.Options {
	o := from0()
	o.EOSTokenID, o.MaxNewTokens, o.AssistantModel = nil, newTokens, a
	return o
}

func TestRightGuessesSaveCallsOfTheModel(t *testing.T) {
	d, a := &steady{vocabulary: 50, positions: 100}, &steady{vocabulary: 50, positions: 100}
	mustGenerate(t, d, layers.Source{}, assistedBy(a, 24))
	// 7 guesses and one more token, then 15 and one.
	if d.calls != 2 || a.calls != 7+15 {
		t.Errorf("%d calls of the model and %d of the assistant for 24 tokens, want 2 and 22", d.calls, a.calls)
	}
	if d.tokens != 24 {
		t.Errorf("the model has seen %d tokens, want 24: each but the last, and the start", d.tokens)
	}
}

func TestAnAssistantThatIsNeverRightIsSeldomAsked(t *testing.T) {
	never := func(int) bool { return true }
	d, a := &steady{vocabulary: 200, positions: 200}, &steady{vocabulary: 200, positions: 200, wrong: never}
	mustGenerate(t, d, layers.Source{}, assistedBy(a, 100))
	if d.calls != 100 || a.calls > 20 {
		t.Errorf("%d calls of the model and %d of the assistant for 100 tokens", d.calls, a.calls)
	}
	// It is trusted again when it becomes right.
	d, a = &steady{vocabulary: 200, positions: 200}, &steady{vocabulary: 200, positions: 200, wrong: func(position int) bool { return position < 20 }}
	mustGenerate(t, d, layers.Source{}, assistedBy(a, 150))
	if d.calls > 50 {
		t.Errorf("%d calls of the model for 150 tokens with an assistant that is right after the first 20", d.calls)
	}
	// With a constant schedule it makes so many guesses each time.
	d, a = &steady{vocabulary: 200, positions: 200}, &steady{vocabulary: 200, positions: 200, wrong: never}
	o := assistedBy(a, 50)
	o.NumAssistantTokens, o.NumAssistantTokensSchedule = 4, generate.Constant
	mustGenerate(t, d, layers.Source{}, o)
	if want := 46*4 + 3 + 2 + 1; a.calls != want {
		t.Errorf("%d calls of the assistant, want %d", a.calls, want)
	}
}

func TestAnAssistantThatIsNotSureDoesNotGuess(t *testing.T) {
	d, a := &steady{vocabulary: 50, positions: 100}, &steady{vocabulary: 50, positions: 100}
	o := assistedBy(a, 24)
	sure := math.Exp(9) / (math.Exp(9) + 49)
	for threshold, want := range map[float64]int{sure - 1e-4: 2, sure + 1e-4: 24} {
		o.AssistantConfidenceThreshold, d.calls = threshold, 0
		if mustGenerate(t, d, layers.Source{}, o); d.calls != want {
			t.Errorf("%v of probability wanted, %v there: %d calls of the model, want %d", threshold, sure, d.calls, want)
		}
	}
}

func TestAnAssistantStopsAtAnEnd(t *testing.T) {
	d, a := &steady{vocabulary: 50, positions: 100}, &steady{vocabulary: 50, positions: 100}
	o := assistedBy(a, 24)
	o.EOSTokenID = generate.IDs{5}
	got := mustGenerate(t, d, layers.Source{}, o)[0]
	if !slices.Equal(got.Tokens, []int{1, 2, 3, 4}) || !got.Finished || a.calls != 5 || d.calls != 1 || d.tokens != 5 {
		t.Errorf("%v with %d calls of the assistant and %d tokens in %d calls of the model", got, a.calls, d.tokens, d.calls)
	}
	// An end that only the assistant sees does not end anything.
	a.wrong = func(position int) bool { return position == 3 }
	o.EOSTokenID, o.MaxNewTokens = generate.IDs{4}, 3
	if got := mustGenerate(t, d, layers.Source{}, o)[0]; !slices.Equal(got.Tokens, []int{1, 2, 3}) || got.Finished {
		t.Errorf("%v, want 1 2 3, not finished", got)
	}
}

func TestAnAssistantWithFewerPositionsHelpsAsFarAsItCan(t *testing.T) {
	d, a := &steady{vocabulary: 50, positions: 40}, &steady{vocabulary: 50, positions: 12}
	if got := mustGenerate(t, d, layers.Source{}, assistedBy(a, 40))[0]; len(got.Tokens) != 40 {
		t.Errorf("%v", got)
	}
	if d.calls >= 40 || a.tokens < 12 {
		t.Errorf("%d calls of the model, the assistant has seen %d tokens", d.calls, a.tokens)
	}
}

func TestOnlyGreedySearchForOneItemIsAssisted(t *testing.T) {
	s := readRandomSearches(t)
	d, source := decoder[float32](t, s, s.Models[0])
	all := variants()
	none := all["greedy"]
	none.NumAssistantTokens = 0
	all["greedy without guesses"] = none
	for name, o := range all {
		want := mustGenerate(t, d, source, o)
		a := &steady{vocabulary: s.Vocabulary, positions: 100}
		o.AssistantModel = a
		if got := mustGenerate(t, d, source, o); !reflect.DeepEqual(got, want) || a.calls > 0 {
			t.Errorf("%s: %v with %d calls of the assistant, want %v and none", name, got, a.calls, want)
		}
	}
	none.AssistantModel = &steady{vocabulary: s.Vocabulary, positions: 100, fail: errors.New("asked")}
	mustGenerate(t, d, alone(source, 0), none)
}

func TestTheEndOfAContextIsNoticedWithinARound(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &steady{vocabulary: 50, positions: 100}
	var got []int
	var last error
	for id, err := range generate.Stream(ctx, d, layers.Source{}, assistedBy(d, 24)) {
		if last = err; err == nil {
			got = append(got, id)
		}
		if len(got) == 3 {
			cancel()
		}
	}
	if len(got) != 3 || last != context.Canceled {
		t.Errorf("cancelled after 3 tokens: %v and error %v", got, last)
	}
}

func TestWhatAnAssistantCannotDoIsAnError(t *testing.T) {
	good := func() *steady { return &steady{vocabulary: 50, positions: 100} }
	for _, c := range []struct {
		model, assistant generate.Decoder
		change           func(o *generate.Options)
		want             string
	}{
		{good(), &steady{vocabulary: 40, positions: 100}, nil, "the assistant has 40 tokens, the model 50"},
		{good(), &steady{vocabulary: 50, positions: 100, fail: errors.New("no power")}, nil, "the assistant: no power"},
		{&steady{vocabulary: 50, positions: 100, fail: errors.New("no power")}, good(), nil, "no power"},
		{&table{vocabulary: 50, positions: 100, constant: make([]float32, 50)}, good(), nil, "layers.TruncatableCache, which *generate_test.history is not"},
		{good(), &table{vocabulary: 50, positions: 100, constant: make([]float32, 50)}, nil, "layers.TruncatableCache"},
		{good(), good(), func(o *generate.Options) { o.NumAssistantTokens = -1 }, "num_assistant_tokens is -1"},
		{good(), good(), func(o *generate.Options) { o.AssistantConfidenceThreshold = 1.1 }, "assistant_confidence_threshold is 1.1"},
		{good(), good(), func(o *generate.Options) { o.NumAssistantTokensSchedule = "linear" }, `num_assistant_tokens_schedule is "linear"`},
	} {
		o := assistedBy(c.assistant, 24)
		if c.change != nil {
			c.change(&o)
		}
		if _, err := generate.Generate(context.Background(), c.model, layers.Source{}, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q in it", err, c.want)
		}
	}
}

func TestAssistantSettingsComeFromTheFile(t *testing.T) {
	file := `{"num_assistant_tokens": 20, "num_assistant_tokens_schedule": "constant", "assistant_confidence_threshold": 0.4}`
	o, err := generate.LoadOptions(fstest.MapFS{"generation_config.json": {Data: []byte(file)}}, generate.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if o.NumAssistantTokens != 20 || o.NumAssistantTokensSchedule != generate.Constant || o.AssistantConfidenceThreshold != 0.4 {
		t.Errorf("%+v", o)
	}
	dir := t.TempDir()
	if err := o.Save(dir); err != nil {
		t.Fatal(err)
	}
	var saved, want map[string]any
	data, err := os.ReadFile(filepath.Join(dir, "generation_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(data, &saved), json.Unmarshal([]byte(file), &want)); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if saved[name] != value {
			t.Errorf("%s is saved as %v, was %v", name, saved[name], value)
		}
	}
}
