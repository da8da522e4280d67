package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nlpodyssey/gotokenizers/models/bpemodel"
)

// Special names the tokens that have a role. An empty BOS, EOS or Unk means "<|endoftext|>", as in GPT-2. An empty
// Pad means that there is no token for padding; [Tokenizer.Pad] is then the EOS, as is usual with GPT-2.
type Special struct {
	BOS, EOS, Pad, Unk string
}

// EndOfText is GPT-2's one special token.
const EndOfText = "<|endoftext|>"

// withDefaults fills the empty names in.
func (s Special) withDefaults() Special {
	for _, name := range []*string{&s.BOS, &s.EOS, &s.Unk} {
		if *name == "" {
			*name = EndOfText
		}
	}
	return s
}

// names lists the special tokens without repetition.
func (s Special) names() []string {
	var names []string
	for _, name := range []string{s.BOS, s.EOS, s.Unk, s.Pad} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// A Tokenizer turns text to ids and back. It does not change, and is safe for concurrent use.
type Tokenizer struct {
	recipe
	ids       map[string]int // of all tokens, added ones included
	tokens    []token        // by id; ids that no token has are zero
	byteIDs   [256]int       // -1 where the vocabulary lacks a byte
	mergeMap  *bpemodel.MergeMap
	raw, late *matcher // of the added tokens that are not normalized, and of those that are
	words     *cache

	bos, eos, pad, unk int
}

// A recipe is what a tokenizer is made of, and what its files hold.
type recipe struct {
	vocab         map[string]int // without added tokens beyond it
	merges        [][2]string    // by rank
	special       Special
	added         []addedToken               // in the order of their ids
	prefixSpace   bool                       // a text that begins with no space is given one
	splitSpecial  bool                       // special tokens in a text are taken for plain text
	config        map[string]json.RawMessage // of tokenizer_config.json, to be kept
	postProcessor json.RawMessage            // of tokenizer.json, to be kept; nil for null
}

type token struct {
	text    string // in the form of the files
	bytes   string // what it stands for
	special bool
}

// maxID bounds the ids of a vocabulary, so that a wrong file cannot claim all memory.
const maxID = 1 << 24

// New makes a tokenizer of a vocabulary, which gives each token's text its id, and the merges in order. Token texts
// have bytes as printable characters: see the package's comment. A special token that the vocabulary lacks is added
// after its last id. Bytes that the vocabulary lacks are left out of what is encoded.
//
// It returns an error when an id is negative, repeated or above 1<<24, and when a merge names a token that the
// vocabulary lacks or makes one that it lacks.
func New(vocab map[string]int, merges [][2]string, special Special) (*Tokenizer, error) {
	return build(recipe{vocab: maps.Clone(vocab), merges: slices.Clone(merges), special: special})
}

// build makes the tokenizer of a recipe.
func build(r recipe) (*Tokenizer, error) {
	if len(r.vocab) == 0 {
		return nil, fmt.Errorf("the vocabulary is empty")
	}
	r.special = r.special.withDefaults()
	for _, name := range r.special.names() {
		i := slices.IndexFunc(r.added, func(t addedToken) bool { return t.Content == name })
		if i < 0 {
			r.added = append(r.added, addedToken{Content: name, Special: true})
		} else {
			r.added[i].Special = true
		}
	}

	t := &Tokenizer{recipe: r, ids: maps.Clone(r.vocab), words: newCache()}
	last := len(r.vocab) - 1 // of the ids of added tokens, and of a vocabulary without gaps
	for _, added := range r.added {
		if added.Content == "" {
			return nil, fmt.Errorf("an added token is empty")
		}
		if _, ok := t.ids[added.Content]; !ok {
			t.ids[added.Content] = last + 1
		}
		last = max(last, t.ids[added.Content])
	}
	if err := t.index(); err != nil {
		return nil, err
	}
	if err := t.indexMerges(); err != nil {
		return nil, err
	}
	for b, r := range byteRunes {
		t.byteIDs[b] = -1
		if id, ok := t.vocab[string(r)]; ok {
			t.byteIDs[b] = id
		}
	}
	t.raw = newMatcher(t, func(a addedToken) bool { return !a.Normalized })
	t.late = newMatcher(t, func(a addedToken) bool { return a.Normalized })
	t.bos, t.eos, t.unk, t.pad = t.ids[r.special.BOS], t.ids[r.special.EOS], t.ids[r.special.Unk], t.ids[r.special.EOS]
	if r.special.Pad != "" {
		t.pad = t.ids[r.special.Pad]
	}
	return t, nil
}

// index fills the table of tokens by id.
func (t *Tokenizer) index() error {
	size := 0
	for text, id := range t.ids {
		if id < 0 || id > maxID {
			return fmt.Errorf("token %q has id %d: expected 0 to %d", text, id, maxID)
		}
		size = max(size, id+1)
	}
	t.tokens = make([]token, size)
	seen := make([]bool, size)
	for text, id := range t.ids {
		if seen[id] {
			return fmt.Errorf("tokens %q and %q both have id %d", min(text, t.tokens[id].text), max(text, t.tokens[id].text), id)
		}
		seen[id] = true
		t.tokens[id] = token{text: text, bytes: tokenBytes(text)}
	}
	for _, added := range t.added {
		if added.Special {
			t.tokens[t.ids[added.Content]].special = true
		}
	}
	return nil
}

// indexMerges fills the map of merges.
func (t *Tokenizer) indexMerges() error {
	t.mergeMap = bpemodel.NewMergeMap()
	for rank, pair := range t.merges {
		left, ok1 := t.vocab[pair[0]]
		right, ok2 := t.vocab[pair[1]]
		joined, ok3 := t.vocab[pair[0]+pair[1]]
		for i, ok := range []bool{ok1, ok2, ok3} {
			if !ok {
				name := []string{pair[0], pair[1], pair[0] + pair[1]}[i]
				return fmt.Errorf("merge %d (%q %q) needs the token %q, which the vocabulary lacks", rank+1, pair[0], pair[1], name)
			}
		}
		t.mergeMap.Set(left, right, bpemodel.MergeValue{Rank: rank, ID: joined})
	}
	return nil
}

// Encode gives the ids of a text, with those of the added tokens in it and without BOS and EOS around it: Hugging
// Face's tokenizer(text, add_special_tokens=False).
func (t *Tokenizer) Encode(text string) []int {
	text = replaceInvalid(text)
	ids := make([]int, 0, len(text)/4+1)
	add := func(id int) { ids = append(ids, id) }
	words := func(s string) { ids = t.appendWords(ids, s) }
	t.raw.split(text, func(s string) { t.late.split(s, words, add) }, add)
	return ids
}

// appendWords appends the ids of a text without added tokens.
func (t *Tokenizer) appendWords(ids []int, s string) []int {
	if t.prefixSpace && s[0] != ' ' {
		s = " " + s
	}
	for len(s) > 0 {
		n := wordLength(s)
		ids = append(ids, t.words.get(s[:n], t.encodeWord)...)
		s = s[n:]
	}
	return ids
}

// encodeWord gives the ids of a word.
func (t *Tokenizer) encodeWord(word string) []int {
	symbols := make([]int, 0, len(word))
	for _, b := range []byte(word) {
		if id := t.byteIDs[b]; id >= 0 {
			symbols = append(symbols, id)
		}
	}
	return merge(symbols, t.mergeMap)
}

// EncodeCaption gives BOS, the caption's ids and EOS, at most maxLength ids in all: what is too long loses ids before
// the EOS. A maxLength of 0 sets no limit; 1 and negative ones panic.
func (t *Tokenizer) EncodeCaption(text string, maxLength int) []int {
	if maxLength < 0 || maxLength == 1 {
		panic(fmt.Sprintf("tokenizer: a caption of at most %d ids has no room for BOS and EOS: expected 0 or at least 2", maxLength))
	}
	ids := append([]int{t.bos}, t.Encode(text)...)
	if maxLength > 0 && len(ids) > maxLength-1 {
		ids = ids[:maxLength-1]
	}
	return append(ids, t.eos)
}

// Decode gives the text of ids, without the special tokens' if skipSpecial. It is Hugging Face's
// tokenizer.decode(ids, skip_special_tokens=skipSpecial, clean_up_tokenization_spaces=False): bytes that are no valid
// UTF-8 become U+FFFD, and an id that no token has gives no text. A negative id, such as the label -100 which a loss
// ignores, panics.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(t.bytes(id, skipSpecial))
	}
	return replaceInvalid(text.String())
}

// bytes gives the bytes that an id stands for.
func (t *Tokenizer) bytes(id int, skipSpecial bool) string {
	if id < 0 {
		panic(fmt.Sprintf("tokenizer: id %d: expected 0 to %d", id, len(t.tokens)-1))
	}
	if id >= len(t.tokens) || skipSpecial && t.tokens[id].special {
		return ""
	}
	return t.tokens[id].bytes
}

// VocabSize gives the number of ids, added tokens included: the largest id plus one, the rows that an embedding needs.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// BOS gives the id that begins a text.
func (t *Tokenizer) BOS() int { return t.bos }

// EOS gives the id that ends a text.
func (t *Tokenizer) EOS() int { return t.eos }

// Pad gives the id that fills a short text up: the EOS's where no token is named for it.
func (t *Tokenizer) Pad() int { return t.pad }

// Unk gives the id that is named for what is unknown; encoding bytes never needs it.
func (t *Tokenizer) Unk() int { return t.unk }

// IsSpecial reports whether id is that of a special token, which Decode can leave out.
func (t *Tokenizer) IsSpecial(id int) bool {
	return id >= 0 && id < len(t.tokens) && t.tokens[id].special
}

// Token gives the text of an id in the form of the files ("Ġzebra"), or "" if no token has it.
func (t *Tokenizer) Token(id int) string {
	if id < 0 || id >= len(t.tokens) {
		return ""
	}
	return t.tokens[id].text
}

// ID gives the id of a token from its text in the form of the files ("Ġzebra"), and whether there is one.
func (t *Tokenizer) ID(token string) (int, bool) {
	id, ok := t.ids[token]
	return id, ok
}
