package generate

import (
	"slices"
	"strings"
)

// stops says when a sequence is over.
type stops struct {
	maxLength int // with the prompt
	eos       []int
	criteria  []StoppingCriterion
}

func (o *Options) stops(maxLength int) stops {
	s := stops{maxLength: maxLength, eos: o.EOSTokenID, criteria: o.Criteria}
	if len(o.StopStrings) > 0 {
		s.criteria = append([]StoppingCriterion{stopStrings(o.StopStrings, o.Text)}, s.criteria...)
	}
	return s
}

// over reports whether a sequence ends with its newest token, and if so,
// whether by an end token or a criterion and not for its length alone.
func (s *stops) over(tokens []int) (over, finished bool) {
	finished = slices.Contains(s.eos, tokens[len(tokens)-1])
	for _, c := range s.criteria {
		finished = finished || c.Stop(tokens)
	}
	return finished || len(tokens) >= s.maxLength, finished
}

// stopStrings stops with the token whose text completes one of the strings,
// alone or with the text before it.
func stopStrings(strs []string, text Decoding) StoppingFunc {
	return func(tokens []int) bool {
		before, now := text.Decode(tokens[:len(tokens)-1], false), text.Decode(tokens, false)
		same := 0 // bytes that the newest token did not change
		for same < min(len(before), len(now)) && before[same] == now[same] {
			same++
		}
		return slices.ContainsFunc(strs, func(s string) bool {
			return strings.Contains(now[max(0, same-len(s)+1):], s)
		})
	}
}
