package generate

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/hfconfig"
)

// Options say how to decode, in Hugging Face's words. Start from
// [DefaultOptions] or from a model's own, see [LoadOptions]; [Options.Check]
// refuses those that contradict each other.
//
// Lengths count tokens. The prompt is the start token and Prefix.
type Options struct {
	// MaxNewTokens is the most tokens after the prompt, the end token
	// included; 0 leaves it to MaxLength. MaxLength counts the prompt too; 0
	// means 20 new tokens, or fewer if the model has too few positions.
	MaxNewTokens int `json:"max_new_tokens"`
	MaxLength    int `json:"max_length"`
	// MinNewTokens and MinLength likewise: there is no end token before.
	MinNewTokens int `json:"min_new_tokens"`
	MinLength    int `json:"min_length"`
	// StopStrings end a sequence with the token that completes one of them,
	// which stays. They need Text.
	StopStrings Strings `json:"stop_strings"`

	// DoSample draws tokens at random; otherwise the most probable is taken.
	// The next five apply to sampling only, in this order.
	DoSample    bool    `json:"do_sample"`
	Temperature float64 `json:"temperature"` // divides the scores; 1 changes nothing
	TopK        int     `json:"top_k"`       // keeps the k most probable tokens and their equals; 0: all
	TopP        float64 `json:"top_p"`       // keeps the fewest tokens that have this probability together, at least 1; 1: all
	MinP        float64 `json:"min_p"`       // keeps tokens with at least this share of the largest probability; 0: all
	TypicalP    float64 `json:"typical_p"`   // as TopP, of the tokens nearest to the expected information (Meister et al., 2022, arXiv:2202.00666); 1: all

	// NumBeams above 1 is beam search. The next two apply to it only.
	NumBeams      int           `json:"num_beams"`
	LengthPenalty float64       `json:"length_penalty"` // scores are divided by the new tokens to this power: above 0 favours long sequences
	EarlyStopping EarlyStopping `json:"early_stopping"`

	// NumReturnSequences is how many sequences each item gets: samples, or
	// the best of its beams.
	NumReturnSequences int `json:"num_return_sequences"`

	// AssistantModel, unless nil, guesses tokens of a greedy search for one
	// item, several of which the model then checks at once, in the time that
	// one takes it as a rule (Leviathan et al., 2022, arXiv:2211.17192). What
	// is found is the same to the bit, and the faster the more guesses are
	// right. It has the model's tokens, and looks at the same source. Several
	// items, samples and beams are decoded without it. See gpt2.Model.Assistant.
	AssistantModel               Decoder           `json:"-"`
	NumAssistantTokens           int               `json:"num_assistant_tokens"`           // guesses to begin with; 0: none
	NumAssistantTokensSchedule   AssistantSchedule `json:"num_assistant_tokens_schedule"`  // how their number changes
	AssistantConfidenceThreshold float64           `json:"assistant_confidence_threshold"` // a token that the assistant finds less probable is no guess; 0: each is

	RepetitionPenalty   float64 `json:"repetition_penalty"`   // of tokens that occurred, the prompt's included (Keskar et al., 2019, arXiv:1909.05858); 1: none
	NoRepeatNGramSize   int     `json:"no_repeat_ngram_size"` // no run of so many tokens occurs twice; 0: off
	BadWordsIDs         [][]int `json:"bad_words_ids"`        // runs of tokens that must not occur
	SuppressTokens      []int   `json:"suppress_tokens"`
	BeginSuppressTokens []int   `json:"begin_suppress_tokens"` // not as the first new token
	ForcedBOSTokenID    *int    `json:"forced_bos_token_id"`   // the first new token if the prompt is the start token alone; nil: free
	ForcedEOSTokenID    IDs     `json:"forced_eos_token_id"`   // the last token of a sequence of full length; nil: free

	DecoderStartTokenID int `json:"decoder_start_token_id"` // each sequence begins with it; there must be one
	EOSTokenID          IDs `json:"eos_token_id"`           // each of them ends a sequence; nil: only the length does
	PadTokenID          int `json:"pad_token_id"`           // for Hugging Face: nothing is padded here; -1: none

	// Prefix follows the start token in every sequence: the tokens of "a
	// photo of", say.
	Prefix []int `json:"-"`
	// Seed makes the streams of random numbers: one for each item, that
	// depends on Seed and on Items alone.
	Seed uint64 `json:"-"`
	// Items are numbers of the items of the source, so that each draws the
	// same whatever batch it is in; nil: 0, 1, 2 and so on.
	Items []uint64 `json:"-"`
	// Text turns ids into text, as a tokenizer does, for StopStrings.
	Text Decoding `json:"-"`
	// PrefixAllowedTokens, unless nil, says which tokens may come next, given
	// the item's number in the source and the tokens so far, start token
	// first: a grammar, a list of phrases, a prefix of one item's own. It must
	// name at least one. It is called for one sequence after the other.
	PrefixAllowedTokens func(item int, tokens []int) []int `json:"-"`
	// Processors change the scores after those of the options above and
	// before those of sampling. They are called one after the other.
	Processors []Processor `json:"-"`
	// Criteria end sequences besides the end token and the length.
	Criteria []StoppingCriterion `json:"-"`

	file *Options     // as the options came out of generation_config.json; nil: they did not
	raw  hfconfig.Raw // fields of the file that are not used here
}

// DefaultOptions are Hugging Face's, greedy search for 20 tokens, but that
// sampling takes the 1000 most probable tokens, and that an assistant makes 7
// guesses, which the model checks as 8 rows. There is no start token yet.
func DefaultOptions() Options {
	return Options{
		Temperature: 1, TopK: 1000, TopP: 1, TypicalP: 1,
		NumBeams: 1, LengthPenalty: 1, NumReturnSequences: 1, RepetitionPenalty: 1,
		NumAssistantTokens: 7, NumAssistantTokensSchedule: HeuristicTransient,
		DecoderStartTokenID: -1, PadTokenID: -1,
	}
}

// Decoding turns ids into text.
type Decoding interface {
	Decode(ids []int, skipSpecial bool) string
}

// IDs are token ids; in JSON, one may stand without brackets.
type IDs []int

// UnmarshalJSON reads an id, a list of ids or null.
func (x *IDs) UnmarshalJSON(data []byte) error { return oneOrMany(data, (*[]int)(x)) }

// MarshalJSON writes a single id without brackets.
func (x IDs) MarshalJSON() ([]byte, error) {
	if len(x) == 1 {
		return json.Marshal(x[0])
	}
	return json.Marshal([]int(x))
}

// Strings are texts; in JSON, one may stand without brackets.
type Strings []string

// UnmarshalJSON reads a string, a list of strings or null.
func (x *Strings) UnmarshalJSON(data []byte) error { return oneOrMany(data, (*[]string)(x)) }

func oneOrMany[T any](data []byte, to *[]T) error {
	if s := string(data); strings.HasPrefix(s, "[") || s == "null" {
		return json.Unmarshal(data, to)
	}
	var one T
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*to = []T{one}
	return nil
}

// EarlyStopping says when beam search ends for an item.
type EarlyStopping int

const (
	// WhenUnlikely ends it when the best running beam, at its present
	// length, is not better than the worst finished one: false in JSON.
	WhenUnlikely EarlyStopping = iota
	// WhenFull ends it when NumBeams sequences have finished: true in JSON.
	WhenFull
	// WhenImpossible ends it when no running beam can become better than the
	// worst finished one: "never" in JSON.
	WhenImpossible
)

// String is Hugging Face's word: false, true or never.
func (e EarlyStopping) String() string {
	switch e {
	case WhenUnlikely:
		return "false"
	case WhenFull:
		return "true"
	case WhenImpossible:
		return "never"
	}
	return fmt.Sprintf("EarlyStopping(%d)", int(e))
}

// UnmarshalText reads what String writes.
func (e *EarlyStopping) UnmarshalText(text []byte) error {
	for _, known := range []EarlyStopping{WhenUnlikely, WhenFull, WhenImpossible} {
		if string(text) == known.String() {
			*e = known
			return nil
		}
	}
	return fmt.Errorf("%q is none of false, true, never", text)
}

// MarshalText writes String.
func (e EarlyStopping) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalJSON reads false, true, "never" or null.
func (e *EarlyStopping) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	return e.UnmarshalText([]byte(strings.Trim(string(data), `"`)))
}

// MarshalJSON writes false, true or "never".
func (e EarlyStopping) MarshalJSON() ([]byte, error) {
	if e == WhenImpossible {
		return []byte(`"never"`), nil
	}
	return []byte(e.String()), nil
}

// AssistantSchedule says how many guesses an assistant makes at a time.
type AssistantSchedule string

// Schedules.
const (
	// HeuristicTransient begins each item with NumAssistantTokens. After all
	// were right it makes twice as many and one, to 15, where Hugging Face's
	// makes two more, and otherwise as many as were right or half of them, not
	// one less. After none it rests for a while.
	HeuristicTransient AssistantSchedule = "heuristic_transient"
	// Heuristic is the same: nothing is remembered from one call to the next.
	Heuristic AssistantSchedule = "heuristic"
	// Constant makes NumAssistantTokens guesses.
	Constant AssistantSchedule = "constant"
)

// start is the prompt: the start token and the prefix.
func (o *Options) start() []int {
	return append([]int{o.DecoderStartTokenID}, o.Prefix...)
}

// maxLength is the most tokens of a sequence with its prompt, for a model
// that knows so many positions. The last token is not fed to the model, so it
// needs none.
func (o *Options) maxLength(positions int) int {
	prompt := 1 + len(o.Prefix)
	switch {
	case o.MaxNewTokens > 0:
		return prompt + o.MaxNewTokens
	case o.MaxLength > 0:
		return o.MaxLength
	}
	return min(prompt+20, positions+1)
}

// minLength is the length before which there is no end token.
func (o *Options) minLength() int {
	if o.MinNewTokens > 0 {
		return 1 + len(o.Prefix) + o.MinNewTokens
	}
	return o.MinLength
}
