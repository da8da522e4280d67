package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
)

// Save writes the files from which transformers' AutoTokenizer and [Load] make the same tokenizer: tokenizer.json,
// vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, each replaced as a whole or not at all. It
// makes dir where needed. Entries of a loaded tokenizer_config.json that mean nothing here, such as model_max_length,
// are kept.
func (t *Tokenizer) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		value any
	}{
		{tokenizerFile, t.tokenizerJSON()},
		{vocabFile, orderedVocab(t.vocab)},
		{configFile, t.configJSON()},
		{specialTokensFile, t.roles()},
	} {
		err := atomicfile.Write(filepath.Join(dir, file.name), func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(file.value)
		})
		if err != nil {
			return err
		}
	}
	merges := "#version: 0.2\n" + strings.Join(t.mergeLines(), "\n") + "\n"
	return atomicfile.WriteBytes(filepath.Join(dir, mergesFile), []byte(merges))
}

// mergeLines gives the merges as "left right".
func (t *Tokenizer) mergeLines() []string {
	lines := make([]string, len(t.merges))
	for i, pair := range t.merges {
		lines[i] = pair[0] + " " + pair[1]
	}
	return lines
}

// tokenizerJSON gives the contents of tokenizer.json.
func (t *Tokenizer) tokenizerJSON() any {
	type object = map[string]any
	added := make([]addedEntry, len(t.added))
	for i, token := range t.added {
		added[i] = addedEntry{ID: t.ids[token.Content], addedToken: token}
	}
	slices.SortFunc(added, func(a, b addedEntry) int { return cmp.Compare(a.ID, b.ID) })
	byteLevel := func(prefixSpace bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": prefixSpace, "trim_offsets": true, "use_regex": true}
	}
	return object{
		"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil,
		"added_tokens":   added,
		"pre_tokenizer":  byteLevel(t.prefixSpace),
		"post_processor": t.postProcessor,
		"decoder":        byteLevel(true),
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "",
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
			"vocab": orderedVocab(t.vocab), "merges": t.mergeLines(),
		},
	}
}

// configJSON gives the contents of tokenizer_config.json.
func (t *Tokenizer) configJSON() any {
	config := map[string]any{
		"tokenizer_class":              "GPT2Tokenizer",
		"clean_up_tokenization_spaces": false,
		"errors":                       "replace",
	}
	for key, value := range t.config {
		config[key] = value
	}
	for _, key := range []string{"name_or_path", "special_tokens_map_file", "tokenizer_file"} {
		delete(config, key) // where it was loaded from
	}
	for role, token := range t.roles() {
		config[role] = token
	}
	decoder := make(map[string]addedToken)
	for _, token := range t.added {
		decoder[strconv.Itoa(t.ids[token.Content])] = token
	}
	config["added_tokens_decoder"] = decoder
	config["add_prefix_space"] = t.prefixSpace
	return config
}

// roles gives the contents of special_tokens_map.json.
func (t *Tokenizer) roles() map[string]string {
	roles := map[string]string{"bos_token": t.special.BOS, "eos_token": t.special.EOS, "unk_token": t.special.Unk}
	if t.special.Pad != "" {
		roles["pad_token"] = t.special.Pad
	}
	return roles
}

// An orderedVocab is written in the order of the ids.
type orderedVocab map[string]int

func (v orderedVocab) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, text := range slices.SortedFunc(maps.Keys(v), func(a, b string) int { return cmp.Compare(v[a], v[b]) }) {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := encoder.Encode(text); err != nil {
			return nil, err
		}
		out.WriteString(":" + strconv.Itoa(v[text]))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
