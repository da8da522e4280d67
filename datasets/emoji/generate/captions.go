package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// annotation is what CLDR says of a sequence of code points.
type annotation struct {
	name     string // the text-to-speech name
	keywords []string
}

// readAnnotations reads CLDR's English names, keyed by the characters without
// their variation selectors.
func readAnnotations(dir string) (map[string]annotation, error) {
	all := map[string]annotation{}
	for _, folder := range []string{"annotations", "annotationsDerived"} {
		path := filepath.Join(dir, "common", folder, "en.xml")
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var file struct {
			Annotations []struct {
				CP   string `xml:"cp,attr"`
				Type string `xml:"type,attr"`
				Text string `xml:",chardata"`
			} `xml:"annotations>annotation"`
		}
		if err := xml.Unmarshal(data, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, a := range file.Annotations {
			cp := strings.ReplaceAll(a.CP, "\ufe0f", "")
			entry := all[cp]
			if a.Type == "tts" {
				entry.name = a.Text
			} else {
				for k := range strings.SplitSeq(a.Text, "|") {
					entry.keywords = append(entry.keywords, strings.TrimSpace(k))
				}
			}
			all[cp] = entry
		}
	}
	return all, nil
}

// emoji is an entry of emoji.json, as far as it is used here.
type emoji struct {
	Name       string           `json:"name"` // Unicode's character name, in capitals
	Unified    string           `json:"unified"`
	Image      string           `json:"image"`
	Variations map[string]emoji `json:"skin_variations"` // have no name
}

func readEmoji(path string) ([]emoji, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []emoji
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// characters turns "1F469-FE0F" into the characters, without variation
// selectors.
func characters(unified string) string {
	var b strings.Builder
	for hex := range strings.SplitSeq(unified, "-") {
		r, err := strconv.ParseInt(hex, 16, 32)
		if err != nil {
			panic(fmt.Sprintf("code point %q of %q: %v", hex, unified, err))
		}
		if r != 0xfe0f {
			b.WriteRune(rune(r))
		}
	}
	return b.String()
}

// describe gives every picture that has a CLDR name its captions: that name,
// then the alternatives.
func describe(source []emoji, cldr map[string]annotation) ([]entry, error) {
	capitals := properNouns(cldr)
	taken := map[string]bool{} // plain CLDR names: no other picture may bear them
	uses := map[string]int{}   // plain alternatives
	alternatives := make([][]string, len(source))
	for _, e := range source {
		taken[plain(cldr[characters(e.Unified)].name)] = true
	}
	for i, e := range source {
		a := cldr[characters(e.Unified)]
		if a.name == "" {
			continue
		}
		var err error
		if alternatives[i], err = alternativeNames(e, a, capitals); err != nil {
			return nil, err
		}
		for _, s := range alternatives[i] {
			uses[plain(s)]++
		}
	}
	var entries []entry
	for i, e := range source {
		a := cldr[characters(e.Unified)]
		if a.name == "" {
			continue
		}
		alts := slices.DeleteFunc(alternatives[i], func(s string) bool {
			return taken[plain(s)] || uses[plain(s)] > 1
		})
		entries = append(entries, entry{Image: e.Image, Captions: append([]string{a.name}, alts...)})
		for _, tone := range slices.Sorted(maps.Keys(e.Variations)) {
			v := e.Variations[tone]
			name := cldr[characters(v.Unified)].name
			if name == "" {
				continue
			}
			captions := []string{name}
			// With two tones their order belongs to the name's order of people.
			if suffix, ok := strings.CutPrefix(name, a.name+": "); ok && !strings.Contains(suffix, ",") {
				for _, s := range alts {
					captions = append(captions, s+": "+suffix)
				}
			}
			entries = append(entries, entry{Image: v.Image, Captions: captions, base: e.Image, tone: tone})
		}
	}
	return entries, nil
}

// synonyms are those of CLDR's keywords of several words that name the picture
// itself; most others say what it makes one think of ("fairy tale").
var synonyms = map[string][]string{
	"T-Rex":                 {"Tyrannosaurus Rex"},
	"auto rickshaw":         {"tuk tuk"},
	"badger":                {"honey badger"},
	"billed cap":            {"baseball cap"},
	"bullseye":              {"direct hit"},
	"call me hand":          {"hang loose"},
	"exploding head":        {"mind blown"},
	"face in clouds":        {"face in the fog", "head in clouds"},
	"flat shoe":             {"ballet flat"},
	"folded hands":          {"high five"},
	"ice":                   {"ice cube"},
	"last track button":     {"previous track"},
	"leafy green":           {"bok choy"},
	"litter in bin sign":    {"litter bin"},
	"man: blond hair":       {"blond-haired man"},
	"next track button":     {"next track"},
	"one-piece swimsuit":    {"bathing suit"},
	"person: blond hair":    {"blond-haired person"},
	"ping pong":             {"table tennis"},
	"pirate flag":           {"Jolly Roger"},
	"red envelope":          {"lai see"},
	"ring buoy":             {"life preserver", "life saver"},
	"roll of paper":         {"toilet paper", "paper towels"},
	"seal":                  {"sea lion"},
	"straight ruler":        {"straight edge"},
	"takeout box":           {"oyster pail"},
	"thong sandal":          {"thong sandals", "beach sandals"},
	"woman: blond hair":     {"blond-haired woman"},
	"sport utility vehicle": {"sport utility"},
}

// alternativeNames are the character's name in Unicode, where it describes
// what is drawn, and the synonyms among CLDR's keywords.
func alternativeNames(e emoji, a annotation, capitals map[string]string) ([]string, error) {
	var names []string
	if s := readable(e.Name, a.name, capitals); plain(s) != plain(a.name) && describes(e.Name, a.name) {
		names = append(names, s)
	}
	for _, s := range synonyms[a.name] {
		if !slices.Contains(a.keywords, s) {
			return nil, fmt.Errorf("%q is not a CLDR keyword of %q, which has %q", s, a.name, a.keywords)
		}
		names = append(names, s)
	}
	return names, nil
}

var (
	// Words of old character names that tell the form of a glyph in print.
	// "Black" and "white" mean filled and outlined there: a HEAVY BLACK HEART
	// is drawn red.
	printing = regexp.MustCompile(`\b(BLACK|WHITE)\b`)
	glyph    = regexp.MustCompile(`\b(SQUARED|CIRCLED|NEGATIVE|IDEOGRAPH|KATAKANA|EMOJI|ORNAMENT|OVERLAY|SANS-SERIF|FITZPATRICK)\b`)
	gender   = regexp.MustCompile(`(?i)\b(man|men|woman|women|male|female|guardsman|couple)\b`)
	anyone   = regexp.MustCompile(`\b(person|people|merperson|guard|child|adult)\b`)
)

// describes reports whether a character name tells what CLDR's name tells: the
// same colours, no gender that the picture leaves open, nothing of the glyph.
func describes(character, name string) bool {
	for _, color := range printing.FindAllString(character, -1) {
		if !strings.Contains(name, strings.ToLower(color)) {
			return false
		}
	}
	openGender := !gender.MatchString(name) && gender.MatchString(character) && anyone.MatchString(name)
	return !openGender && !glyph.MatchString(character)
}

// corrections restores what character names leave out or what CLDR's words do
// not tell.
var corrections = strings.NewReplacer(
	"oclock", "o’clock", "womans boots", "woman’s boots", "womens symbol", "women’s symbol",
	"mens symbol", "men’s symbol", "police cars", "police car’s",
	"father christmas", "Father Christmas", "mother christmas", "Mother Christmas", "i love you", "I love you")

// readable writes a character name as CLDR writes names: lower case but for
// proper nouns and for what the picture's own name has in capitals. A flag's
// name is mixed already.
func readable(character, name string, capitals map[string]string) string {
	if country, ok := strings.CutSuffix(character, " Flag"); ok {
		return country + " flag"
	}
	own := map[string]string{}
	for w := range words(name) {
		own[strings.ToLower(w)] = w
	}
	delete(own, "no") // the person who gestures NO is a face with no good gesture
	list := strings.Fields(corrections.Replace(strings.ToLower(character)))
	for i, w := range list {
		if c, ok := own[w]; ok {
			list[i] = c
		} else if c, ok := capitals[w]; ok {
			list[i] = c
		}
	}
	return strings.Join(list, " ")
}

// words are the words of a text; a hyphen does not part them.
func words(text string) iter.Seq[string] {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' })
}

// properNouns maps the lower-case form of every word that CLDR always
// capitalises to the word.
func properNouns(cldr map[string]annotation) map[string]string {
	forms := map[string]map[string]bool{}
	for _, a := range cldr {
		for _, text := range append([]string{a.name}, a.keywords...) {
			for w := range words(text) {
				low := strings.ToLower(w)
				if forms[low] == nil {
					forms[low] = map[string]bool{}
				}
				forms[low][w] = true
			}
		}
	}
	nouns := map[string]string{}
	for low, f := range forms {
		if len(f) == 1 && !f[low] && len(low) > 1 {
			for w := range f {
				nouns[low] = w
			}
		}
	}
	return nouns
}

// plain folds a name without the closing "symbol" or "sign" that some names
// have, since every emoji is one.
func plain(s string) string {
	return fold(strings.TrimSuffix(strings.TrimSuffix(s, " symbol"), " sign"))
}

// fold reduces a name to what makes it another name: case, punctuation and
// accents do not.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'ñ':
			return 'n'
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return r
		}
		return -1
	}, strings.ToLower(s))
}
