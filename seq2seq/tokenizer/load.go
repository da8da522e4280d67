package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The files of a Hugging Face tokenizer.
const (
	tokenizerFile     = "tokenizer.json"
	vocabFile         = "vocab.json"
	mergesFile        = "merges.txt"
	configFile        = "tokenizer_config.json"
	specialTokensFile = "special_tokens_map.json"
	addedTokensFile   = "added_tokens.json"
	modelFile         = "config.json" // the model's, which may tell the tokenizer's class
)

// Load reads the tokenizer of a Hugging Face folder, such as os.DirFS(dir): the vocabulary and the merges from
// tokenizer.json if it is there, else from vocab.json and merges.txt; special and added tokens and add_prefix_space
// from tokenizer_config.json, special_tokens_map.json and added_tokens.json where present, with the precedence and the
// defaults that transformers gives them for the folder's tokenizer_class: GPT2Tokenizer, RobertaTokenizer or
// BartTokenizer, or another one with a tokenizer.json.
//
// Errors name the file. A tokenizer that is no byte-level BPE with GPT-2's splitting is refused.
func Load(fsys fs.FS) (*Tokenizer, error) {
	l := loader{fsys: fsys}
	source, err := l.model()
	if err != nil {
		return nil, err
	}
	if err := l.roles(); err != nil {
		return nil, err
	}
	t, err := build(l.recipe)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	for _, id := range slices.Sorted(maps.Keys(l.byID)) {
		token := l.byID[id]
		if got := t.ids[token.Content]; got != id {
			return nil, fmt.Errorf("%s: added token %q has id %d: expected %d, its place in the vocabulary", l.addedSource, token.Content, id, got)
		}
	}
	return t, nil
}

// A loader collects a recipe from files.
type loader struct {
	fsys fs.FS
	recipe
	byID        map[int]addedToken // the added tokens of the files
	addedSource string             // the file that they are from

	jsonAdded       []addedEntry // tokenizer.json's
	jsonPrefixSpace bool
	fromJSON        bool // there is a tokenizer.json
}

// An addedEntry is an added token as tokenizer.json lists it.
type addedEntry struct {
	ID int `json:"id"`
	addedToken
}

// read decodes a JSON file into v and reports whether it is there.
func (l *loader) read(name string, v any) (bool, error) {
	data, err := fs.ReadFile(l.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// model reads the vocabulary and the merges, and names the files that they are from.
func (l *loader) model() (source string, err error) {
	var file tokenizerJSON
	if ok, err := l.read(tokenizerFile, &file); err != nil {
		return "", err
	} else if ok {
		if err := file.check(); err != nil {
			return "", fmt.Errorf("%s: %w", tokenizerFile, err)
		}
		l.vocab, l.merges, l.jsonAdded = file.Model.Vocab, file.Model.Merges, file.AddedTokens
		l.fromJSON = true
		l.jsonPrefixSpace, l.postProcessor = file.PreTokenizer.AddPrefixSpace, file.PostProcessor
		return tokenizerFile, nil
	}

	if ok, err := l.read(vocabFile, (*tokenIDs)(&l.vocab)); err != nil {
		return "", err
	} else if !ok {
		return "", fmt.Errorf("no tokenizer: expected %s, or %s and %s: %w", tokenizerFile, vocabFile, mergesFile, fs.ErrNotExist)
	}
	text, err := fs.ReadFile(l.fsys, mergesFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", mergesFile, err)
	}
	if l.merges, err = parseMerges(string(text)); err != nil {
		return "", fmt.Errorf("%s: %w", mergesFile, err)
	}
	return vocabFile + " with " + mergesFile, nil
}

// tokenizerJSON is what is read of tokenizer.json.
type tokenizerJSON struct {
	AddedTokens  []addedEntry    `json:"added_tokens"`
	Normalizer   json.RawMessage `json:"normalizer"`
	PreTokenizer struct {
		Type           string `json:"type"`
		AddPrefixSpace bool   `json:"add_prefix_space"`
		UseRegex       *bool  `json:"use_regex"`
	} `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Model         struct {
		Type                    string    `json:"type"`
		Dropout                 float64   `json:"dropout"`
		ContinuingSubwordPrefix string    `json:"continuing_subword_prefix"`
		EndOfWordSuffix         string    `json:"end_of_word_suffix"`
		ByteFallback            bool      `json:"byte_fallback"`
		IgnoreMerges            bool      `json:"ignore_merges"`
		Vocab                   tokenIDs  `json:"vocab"`
		Merges                  mergeList `json:"merges"`
	} `json:"model"`
}

// check refuses what is not GPT-2's kind of tokenizer.
func (f *tokenizerJSON) check() error {
	model := f.Model
	switch {
	case model.Type != "BPE" && model.Type != "": // old files leave it out
		return fmt.Errorf("model.type is %q: expected \"BPE\"", model.Type)
	case f.PreTokenizer.Type != "ByteLevel":
		return fmt.Errorf("pre_tokenizer.type is %q: expected \"ByteLevel\"", f.PreTokenizer.Type)
	case f.PreTokenizer.UseRegex != nil && !*f.PreTokenizer.UseRegex:
		return fmt.Errorf("pre_tokenizer.use_regex is false: expected GPT-2's splitting")
	case len(f.Normalizer) > 0 && string(f.Normalizer) != "null":
		return fmt.Errorf("normalizer is %.60s: expected null", f.Normalizer)
	case model.Dropout != 0 || model.ContinuingSubwordPrefix != "" || model.EndOfWordSuffix != "":
		return fmt.Errorf("model has dropout %g, continuing_subword_prefix %q and end_of_word_suffix %q: expected none of them",
			model.Dropout, model.ContinuingSubwordPrefix, model.EndOfWordSuffix)
	case model.ByteFallback || model.IgnoreMerges:
		return fmt.Errorf("model has byte_fallback %t and ignore_merges %t: expected false", model.ByteFallback, model.IgnoreMerges)
	}
	return nil
}

// A mergeList reads merges as "left right" (older files) or as ["left", "right"].
type mergeList [][2]string

func (m *mergeList) UnmarshalJSON(data []byte) error {
	if m.plain(data) {
		return nil
	}
	*m = nil
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		var pairs [][]string
		if json.Unmarshal(data, &pairs) != nil {
			return fmt.Errorf("merges: expected strings \"left right\" or pairs [\"left\", \"right\"]: %w", err)
		}
		for i, pair := range pairs {
			if len(pair) != 2 {
				return fmt.Errorf("merge %d has %d tokens: expected 2", i+1, len(pair))
			}
			*m = append(*m, [2]string(pair))
		}
		return nil
	}
	for i, line := range lines {
		pair, err := parseMerge(line)
		if err != nil {
			return fmt.Errorf("merge %d %w", i+1, err)
		}
		*m = append(*m, pair)
	}
	return nil
}

// plain reads what has nothing unusual about it, and reports false otherwise; see tokenIDs.
func (m *mergeList) plain(data []byte) bool {
	s := scanner{text: string(data)}
	*m = make(mergeList, 0, strings.Count(s.text, ","))
	more := s.open('[', ']')
	pairs := s.peek() == '['
	for ; more; more = s.more(']') {
		var pair [2]string
		if pairs {
			s.expect('[')
			pair[0] = s.string()
			s.expect(',')
			pair[1] = s.string()
			s.expect(']')
		} else {
			var err error
			pair, err = parseMerge(s.string())
			s.lost = s.lost || err != nil
		}
		*m = append(*m, pair)
	}
	return s.ended()
}

// A tokenEntry is a special token in a configuration: a text, or an object with options, or null.
type tokenEntry struct{ addedToken }

func (e *tokenEntry) UnmarshalJSON(data []byte) error {
	e.addedToken = addedToken{}
	if bytes.HasPrefix(data, []byte("{")) {
		if err := json.Unmarshal(data, &e.addedToken); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &e.Content); err != nil {
		return err
	}
	e.Special = true
	return nil
}

// A tokenList is a list of special tokens, or an object whose values they are.
type tokenList []tokenEntry

func (l *tokenList) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("{")) {
		return json.Unmarshal(data, (*[]tokenEntry)(l))
	}
	in := json.NewDecoder(bytes.NewReader(data))
	if _, err := in.Token(); err != nil { // the brace
		return err
	}
	for in.More() {
		if _, err := in.Token(); err != nil { // the key
			return err
		}
		var entry tokenEntry
		if err := in.Decode(&entry); err != nil {
			return err
		}
		*l = append(*l, entry)
	}
	return nil
}

// A roleSet is what a configuration says of special tokens. Entries that it leaves out are zero.
type roleSet struct {
	BOS        tokenEntry `json:"bos_token"`
	EOS        tokenEntry `json:"eos_token"`
	Unk        tokenEntry `json:"unk_token"`
	Sep        tokenEntry `json:"sep_token"`
	Pad        tokenEntry `json:"pad_token"`
	CLS        tokenEntry `json:"cls_token"`
	Mask       tokenEntry `json:"mask_token"`
	Extra      tokenList  `json:"extra_special_tokens"`
	Additional tokenList  `json:"additional_special_tokens"` // Extra's name before transformers 5
}

// roles reads which tokens are special and which are added.
func (l *loader) roles() error {
	var config struct {
		roleSet
		Class              string                `json:"tokenizer_class"`
		AddPrefixSpace     bool                  `json:"add_prefix_space"`
		SplitSpecialTokens bool                  `json:"split_special_tokens"`
		AddedTokensDecoder map[string]addedToken `json:"added_tokens_decoder"`
	}
	if _, err := l.read(configFile, &config); err != nil {
		return err
	}
	if _, err := l.read(configFile, &l.config); err != nil {
		return err
	}
	kind, err := l.kind(config.Class)
	if err != nil {
		return err
	}
	l.splitSpecial = config.SplitSpecialTokens
	l.prefixSpace = config.AddPrefixSpace
	if kind == asFile {
		l.prefixSpace = l.jsonPrefixSpace
		delete(l.config, "tokenizer_class") // Save writes what GPT2Tokenizer reads likewise
	}

	l.byID = make(map[int]addedToken)
	if config.AddedTokensDecoder != nil {
		l.addedSource = configFile
		for key, token := range config.AddedTokensDecoder {
			id, err := strconv.Atoi(key)
			if err != nil {
				return fmt.Errorf("%s: added_tokens_decoder has the key %q: expected an id", configFile, key)
			}
			l.byID[id] = token
		}
		if kind == asFile { // whose own added tokens come first
			for _, entry := range l.jsonAdded {
				l.byID[entry.ID] = entry.addedToken
			}
		}
		config.Extra = config.extra()
	} else if err := l.olderFiles(&config.roleSet); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(l.byID)) {
		l.added = append(l.added, l.byID[id])
	}
	return l.setRoles(kind, config.roleSet)
}

// A kind is what transformers makes of a tokenizer_class.
type kind int

const (
	gpt2Kind    kind = iota // GPT2Tokenizer: add_prefix_space is the configuration's, <|endoftext|> has all roles
	robertaKind             // RobertaTokenizer, BartTokenizer: likewise, but with roles of their own
	asFile                  // any other: as tokenizer.json says
)

// kind finds the kind of tokenizer from the class that tokenizer_config.json declares or, if it declares none, from
// config.json, which a model may have left beside it.
func (l *loader) kind(class string) (kind, error) {
	var model struct {
		Class string `json:"tokenizer_class"`
		Type  string `json:"model_type"`
	}
	if class == "" {
		if _, err := l.read(modelFile, &model); err != nil {
			return 0, err
		}
		class = model.Class
	}
	switch {
	case strings.HasPrefix(class, "GPT2Tokenizer"), class == "" && (model.Type == "gpt2" || !l.fromJSON):
		return gpt2Kind, nil
	case strings.HasPrefix(class, "RobertaTokenizer"), strings.HasPrefix(class, "BartTokenizer"):
		return robertaKind, nil
	case l.fromJSON:
		return asFile, nil
	}
	return 0, fmt.Errorf("%s: tokenizer_class is %q, without a %s: expected \"GPT2Tokenizer\"", configFile, class, tokenizerFile)
}

// olderFiles reads what tokenizer_config.json had beside it before it listed the added tokens itself.
func (l *loader) olderFiles(roles *roleSet) error {
	extra := roles.extra()
	roles.Extra, roles.Additional = nil, nil
	if _, err := l.read(specialTokensFile, roles); err != nil {
		return err
	}
	if extra != nil { // what this file calls additional counts only if nothing was extra so far
		roles.Extra = append(extra, roles.Extra...)
	}
	var added map[string]int
	if ok, err := l.read(addedTokensFile, &added); err != nil {
		return err
	} else if ok {
		l.addedSource = addedTokensFile
	}
	for content, id := range added {
		special := slices.ContainsFunc(roles.all(), func(e tokenEntry) bool { return e.Content == content })
		l.byID[id] = addedToken{Content: content, Special: special, Normalized: !special}
	}
	for _, entry := range l.jsonAdded {
		l.addedSource = tokenizerFile
		l.byID[entry.ID] = entry.addedToken
	}
	return nil
}

// extra gives the special tokens without a role, or nil if the configuration does not speak of them.
func (r *roleSet) extra() tokenList {
	if len(r.Extra) == 0 && r.Additional != nil {
		return r.Additional
	}
	return r.Extra
}

// all lists the entries in the order in which transformers adds them.
func (r *roleSet) all() []tokenEntry {
	extra := r.Extra
	if extra == nil {
		extra = r.Additional
	}
	return append([]tokenEntry{r.BOS, r.EOS, r.Unk, r.Sep, r.Pad, r.CLS, r.Mask}, extra...)
}

// setRoles names the special tokens and adds those that are not among the added ones yet.
func (l *loader) setRoles(kind kind, r roleSet) error {
	switch kind {
	case gpt2Kind:
		r.fill(EndOfText, EndOfText, EndOfText)
	case robertaKind:
		r.fill("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>")
	case asFile:
		if _, ok := l.vocab[EndOfText]; ok {
			r.fill(EndOfText, EndOfText)
		}
		r.fill("", "", r.EOS.Content)
	}
	if r.BOS.Content == "" || r.EOS.Content == "" {
		return fmt.Errorf("%s: bos_token is %q and eos_token is %q: expected both", configFile, r.BOS.Content, r.EOS.Content)
	}
	l.special = Special{BOS: r.BOS.Content, EOS: r.EOS.Content, Pad: r.Pad.Content, Unk: r.Unk.Content}
	for _, entry := range r.all() {
		known := slices.ContainsFunc(l.added, func(a addedToken) bool { return a.Content == entry.Content })
		if entry.Content != "" && !known {
			l.added = append(l.added, entry.addedToken)
		}
	}
	return nil
}

// fill gives the roles that have no token the named ones, in the order of the fields.
func (r *roleSet) fill(names ...string) {
	roles := []*tokenEntry{&r.BOS, &r.EOS, &r.Unk, &r.Sep, &r.Pad, &r.CLS, &r.Mask}
	for i, name := range names {
		if roles[i].Content == "" {
			roles[i].addedToken = addedToken{Content: name, Special: true}
		}
	}
}
