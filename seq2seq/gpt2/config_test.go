package gpt2

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSizesThatWouldTakeAllMemoryAreErrors(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`{"n_layer": 1000000000}`, "1000000000 layers"},
		{`{"n_embd": 1000000000, "n_head": 1}`, "mistyped"},
		{`{"n_inner": 4611686018427387904}`, "mistyped"},
		{`{"vocab_size": 1099511627776}`, "mistyped"},
		{`{"n_positions": 1099511627776}`, "mistyped"},
	} {
		var got Config
		if err := json.Unmarshal([]byte(c.config), &got); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.config, err, c.want)
		}
	}
	for _, config := range []string{`{}`, `{"n_embd": 1600, "n_layer": 48, "n_head": 25}`} {
		if err := json.Unmarshal([]byte(config), new(Config)); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}
