package tokenizer

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

var idTexts = []string{
	`{}`, ` { } `, `null`, `{"a":0}`, "{ \"a\" : 1 ,\n\t\"b\\\"\\\\\\u0120\":999999999, \"\":3 }", `{"\ud83d\ude00":1,"é😀":2,"a":1,"a":2}`,
	"{\"\xff\":1}", `{"a":-1}`, `{"a":1.5}`, `{"a":1e3}`, `{"a":1234567890123}`, `{"a":99999999999999999999}`, `{"a":"b"}`, `{"a":null}`,
	`{"a":{"b":1}}`, `{"a":[1]}`, `[]`, `[1]`, `"a"`, `1`, `true`,
}

var mergeTexts = []string{
	`[]`, `null`, `["a b","Ġ \u0120"]`, ` [ [ "a" , "b" ] , ["\"","\\"] ] `, `["a b",["a","b"]]`, `[["a","b"],"a b"]`, `["ab"]`, `["a b c"]`,
	`[""]`, `[["a"]]`, `[["a","b","c"]]`, `[[]]`, `[1]`, `[["a",1]]`, `{"a":"b"}`, `"a b"`, "[\"a \xff\"]",
}

// checkPlain reads a text with the scanner and with encoding/json.
func checkPlain(t *testing.T, text string) {
	var ids tokenIDs
	var want map[string]int
	err, wantErr := json.Unmarshal([]byte(text), &ids), json.Unmarshal([]byte(text), &want)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(map[string]int(ids), want) {
		t.Errorf("ids %q: %v, %v, want %v, %v", text, ids, err, want, wantErr)
	}
	var merges mergeList
	if err := json.Unmarshal([]byte(text), &merges); err != nil || merges == nil {
		return
	}
	var lines []string
	var pairs [][2]string
	if json.Unmarshal([]byte(text), &lines) == nil {
		for _, line := range lines {
			left, right, _ := strings.Cut(line, " ")
			pairs = append(pairs, [2]string{left, right})
		}
	} else if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		t.Errorf("merges %q: %v, want %v", text, merges, err)
	}
	if len(merges)+len(pairs) > 0 && !reflect.DeepEqual([][2]string(merges), pairs) {
		t.Errorf("merges %q: %q, want %q", text, merges, pairs)
	}
}

func TestPlainFilesAreReadAsJSON(t *testing.T) {
	for _, text := range append(idTexts, mergeTexts...) {
		checkPlain(t, text)
	}
	for text, ok := range map[string]bool{mergeTexts[2]: true, mergeTexts[3]: true, mergeTexts[4]: false, mergeTexts[5]: false, `["ab"]`: false, `[["a"]]`: false} {
		if err := json.Unmarshal([]byte(text), new(mergeList)); (err == nil) != ok {
			t.Errorf("merges %q: error %v", text, err)
		}
	}
}

func FuzzPlainFiles(f *testing.F) {
	for _, text := range append(idTexts, mergeTexts...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if json.Valid([]byte(text)) {
			checkPlain(t, text)
		}
		s := scanner{text: text} // ends and does not panic, whatever it is
		for more := s.open('{', '}'); more; more = s.more('}') {
			s.string()
			s.expect(':')
			s.number()
		}
	})
}
