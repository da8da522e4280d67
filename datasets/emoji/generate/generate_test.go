package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestCaptionsAreTheNameThenWhatElseDescribesThePicture(t *testing.T) {
	cldr := map[string]annotation{
		"☝":  {name: "index pointing up"},
		"❤":  {name: "red heart", keywords: []string{"heart"}},
		"⚫":  {name: "black circle"},
		"🎅":  {name: "Santa Claus", keywords: []string{"Christmas"}},
		"🎅🏿": {name: "Santa Claus: dark skin tone"},
		"🆖":  {name: "NG button"},
		"👹":  {name: "ogre", keywords: []string{"Japanese"}},
		"🇪🇬": {name: "flag: Egypt"},
		"👳":  {name: "person wearing turban"},
		"🏓":  {name: "ping pong", keywords: []string{"table tennis", "game"}},
		"🌑":  {name: "new moon"},
		"😁":  {name: "beaming face"},
		"😄":  {name: "grinning face"},
		"🕐":  {name: "one o’clock"},
		"🔙":  {name: "BACK arrow"},
	}
	source := []emoji{
		{Name: "WHITE UP POINTING INDEX", Unified: "261D-FE0F", Image: "colour"},
		{Name: "HEAVY BLACK HEART", Unified: "2764-FE0F", Image: "wrong colour"},
		{Name: "MEDIUM BLACK CIRCLE", Unified: "26AB", Image: "right colour"},
		{Name: "FATHER CHRISTMAS", Unified: "1F385", Image: "variant", Variations: map[string]emoji{
			"1F3FF": {Unified: "1F385-1F3FF", Image: "variant-dark"}, "1F3FB": {Unified: "1F385-1F3FB", Image: "unnamed"}}},
		{Name: "SQUARED NG", Unified: "1F196", Image: "glyph"},
		{Name: "JAPANESE OGRE", Unified: "1F479", Image: "proper noun"},
		{Name: "Egypt Flag", Unified: "1F1EA-1F1EC", Image: "flag"},
		{Name: "MAN WITH TURBAN", Unified: "1F473", Image: "gender"},
		{Name: "TABLE TENNIS PADDLE AND BALL", Unified: "1F3D3", Image: "synonym"},
		{Name: "NEW MOON SYMBOL", Unified: "1F311", Image: "symbol"},
		{Name: "GRINNING FACE", Unified: "1F601", Image: "name of another"},
		{Name: "GRINNING FACE", Unified: "1F604", Image: "other"},
		{Name: "CLOCK FACE ONE OCLOCK", Unified: "1F550", Image: "apostrophe"},
		{Name: "BACK WITH LEFTWARDS ARROW ABOVE", Unified: "1F519", Image: "own capitals"},
		{Name: "NEW IN A LATER VERSION", Unified: "1FAE9", Image: "unnamed too"},
	}
	want := map[string][]string{
		"colour":          {"index pointing up"},
		"wrong colour":    {"red heart"},
		"right colour":    {"black circle", "medium black circle"},
		"variant":         {"Santa Claus", "Father Christmas"},
		"variant-dark":    {"Santa Claus: dark skin tone", "Father Christmas: dark skin tone"},
		"glyph":           {"NG button"},
		"proper noun":     {"ogre", "Japanese ogre"},
		"flag":            {"flag: Egypt", "Egypt flag"},
		"gender":          {"person wearing turban"},
		"synonym":         {"ping pong", "table tennis paddle and ball", "table tennis"},
		"symbol":          {"new moon"},
		"name of another": {"beaming face"},
		"other":           {"grinning face"},
		"apostrophe":      {"one o’clock", "clock face one o’clock"},
		"own capitals":    {"BACK arrow", "BACK with leftwards arrow above"},
	}
	entries, err := describe(source, cldr)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, e := range entries {
		got[e.Image] = e.Captions
		if (e.base != "") != (e.Image == "variant-dark") {
			t.Errorf("%s is a variant of %q", e.Image, e.base)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found\n%q, want\n%q", got, want)
	}

	delete(cldr, "🏓")
	cldr["🏓"] = annotation{name: "ping pong"}
	if _, err := describe(source, cldr); err == nil || !strings.Contains(err.Error(), `"table tennis" is not a CLDR keyword of "ping pong"`) {
		t.Errorf("error is %v", err)
	}
}

func TestHeldOutVariantsAreSpreadOverEmojiAndTones(t *testing.T) {
	tones := []string{"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
	var entries []entry
	for i := range 300 {
		base := fmt.Sprintf("%d", i)
		entries = append(entries, entry{Image: base, bytes: []byte(base)})
		for _, tone := range tones {
			e := entry{Image: base + "-" + tone, base: base, tone: tone, bytes: []byte(base + tone)}
			if i < 10 {
				e.bytes = []byte(base) // the tone is not seen
			}
			entries = append(entries, e)
		}
	}
	if err := holdOut(entries); err != nil {
		t.Fatal(err)
	}
	held, perBase, perTone := 0, map[string]int{}, map[string]int{}
	for i, e := range entries {
		switch e.Split {
		case "train":
		case "validation":
			held++
			perBase[e.base]++
			perTone[e.tone]++
			if e.base == "" || i < 60 || perBase[e.base] > 1 {
				t.Errorf("%s is held out", e.Image)
			}
		default:
			t.Errorf("%s has split %q", e.Image, e.Split)
		}
	}
	if held != numValidation {
		t.Errorf("%d are held out, want %d", held, numValidation)
	}
	for _, tone := range tones {
		if perTone[tone] > numValidation/len(tones)+1 {
			t.Errorf("%d of tone %s are held out, want at most %d", perTone[tone], tone, numValidation/len(tones)+1)
		}
	}
	if err := holdOut(entries[:600]); err == nil {
		t.Error("too few variants are no error")
	}
}
