package emoji

import "strings"

// ParseName takes a caption apart into the name of what is drawn and its skin
// tones, which are empty for a picture without any:
//
//	"woman firefighter: dark skin tone" → "woman firefighter", "dark skin tone"
//	"man: light skin tone, red hair"    → "man: red hair", "light skin tone"
//	"medium skin tone"                  → "medium skin tone", ""
//
// The name is the caption of the plain emoji that the picture is a variant of,
// but for "kiss: person, person" and "couple with heart: person, person", whose
// plain emoji are named without the persons.
func ParseName(caption string) (name, tone string) {
	head, details, _ := strings.Cut(strings.TrimSpace(caption), ": ")
	var kept, tones []string
	for part := range strings.SplitSeq(details, ", ") {
		if part = strings.TrimSpace(part); isTone(part) {
			tones = append(tones, part)
		} else if part != "" {
			kept = append(kept, part)
		}
	}
	if len(kept) > 0 {
		head += ": " + strings.Join(kept, ", ")
	}
	return head, strings.Join(tones, ", ")
}

func isTone(s string) bool {
	switch s {
	case "light skin tone", "medium-light skin tone", "medium skin tone", "medium-dark skin tone", "dark skin tone":
		return true
	}
	return false
}

// Score compares a generated caption with the actual one: whether it names the
// same emoji, and whether it tells the same skin tones in the same order, none
// if the actual one has none. Case and surrounding space do not count.
func Score(generated, actual string) (nameRight, toneRight bool) {
	name, tone := ParseName(strings.ToLower(generated))
	wantName, wantTone := ParseName(strings.ToLower(actual))
	return name == wantName, tone == wantTone
}
