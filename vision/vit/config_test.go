package vit

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSizesThatWouldTakeAllMemoryAreErrors(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`{"num_hidden_layers": 1000000000}`, "1000000000 layers"},
		{`{"hidden_size": 1000000000, "num_attention_heads": 1}`, "mistyped"},
		{`{"intermediate_size": 4611686018427387904}`, "mistyped"},
		{`{"image_size": 4611686018427387904}`, "mistyped"},
		{`{"num_channels": 1000000000000}`, "mistyped"},
	} {
		var got Config
		if err := json.Unmarshal([]byte(c.config), &got); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.config, err, c.want)
		}
	}
	for _, config := range []string{`{}`, `{"hidden_size": 1664, "num_hidden_layers": 48, "intermediate_size": 8192, "num_attention_heads": 16, "patch_size": 14}`} {
		if err := json.Unmarshal([]byte(config), new(Config)); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}
