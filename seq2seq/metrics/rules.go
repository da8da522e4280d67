package metrics

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// rule is a kind of token. pattern is matched where a token may begin; its first group is the token, what it matches
// beyond must follow. Of all rules the one whose pattern matches most text applies, the first of several.
type rule struct {
	pattern *regexp.Regexp
	put     func(token string) string // what is put out, when not the token itself
	first   [utf8.RuneSelf]bool       // the ASCII characters that it may begin with
}

func newRule(pattern string, put func(string) string) rule {
	pattern = names.Replace(pattern)
	r := rule{pattern: regexp.MustCompile(`^(?:` + pattern + `)`), put: put}
	r.pattern.Longest()
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		panic(err)
	}
	for c := range r.first {
		r.first[c] = begins(program, uint32(program.Start), rune(c))
	}
	return r
}

// begins says whether c may be the first character that a program matches from an instruction on. No pattern here repeats
// what may be empty, so it ends.
func begins(p *syntax.Prog, pc uint32, c rune) bool {
	switch i := &p.Inst[pc]; i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return begins(p, i.Out, c) || begins(p, i.Arg, c)
	case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
		return begins(p, i.Out, c)
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return i.MatchRune(c)
	}
	return false
}

// names are the short forms in the patterns of the rules.
var names = strings.NewReplacer(
	`\A`, `['’]`, // apostrophe
	`\Q`, "['’‘`‛]", // what is an apostrophe within some words
	`\D`, `\p{Nd}`, // digit
	`\X`, `(?:[\p{L}\p{Nd}`+rangesOf(marks)+`]|&[aeiouAEIOU](?:acute|grave|uml);)`, // character of a word
	`\N`, `[A-Za-z][\w:.-]*`, // name in markup
)

// rules takes a while to make, so it is made when first asked for.
var rules = sync.OnceValue(func() []rule {
	return []rule{
		// Markup.
		newRule(`(<(?:/\N|\N(?: +\N(?: *= *(?:"[^"\n]*"|'[^'\n]*'))?)*[ /]*|[!?][A-Za-z-][^>\n]*)>)`, hardSpaces),
		newRule(`(&(?i:lt);)`, constant("<")),
		newRule(`(&(?i:gt);)`, constant(">")),
		newRule(`(&(?i:amp);)`, constant("&")),
		newRule(`(&#\D+;)`, nil),
		newRule(`(&(?i:quot|apos|nbsp|mdash|ndash);)`, constant("")),

		// Clitics, and words that are two.
		newRule(`((?i:can))(?i:not)`, nil),
		newRule(`((?i:got))(?i:ta)`, nil),
		newRule(`((?i:gon|wan))(?i:na)`, nil),
		newRule(`((?i:lem|gim))(?i:me)`, nil),
		newRule(`('[tT])(?i:is|was)`, nil),
		newRule(`([A-Za-z]*[A-MO-Za-mo-z])[nN]\Q[tT]`, nil),
		newRule(`([nN]\Q[tT])`, apostrophes),
		newRule(`(\A(?i:[sdm]|ll|re|ve))[^A-Za-z]`, apostrophes),
		newRule(`([A-Za-z]+)\A(?i:[sdm]|ll|re|ve)[^\p{L}\p{Nd}]`, nil),
		newRule(`(\A(?i:em|till?|cause|n\A?|\D0s))`, nil),
		newRule(`(\A\D\D)[ \n]`, nil),
		newRule(`('')`, constant("")),
		newRule(`(')[A-Za-z][^ \n]`, constant("")),
		newRule(`(\A(?i:[sdm]|ll|re|ve))`, apostrophes),

		// Words with an apostrophe.
		newRule(`((?:[dDlLjJ]|[oO][lL])\A)`, nil),
		newRule(`([yY]\A)\p{L}`, nil),
		newRule(`([A-HJ-XZn]\Q\p{L}{2}\p{L}*)`, nil),
		newRule(`(\p{L}+[aeiouyAEIOUY]\Q[aeiouA-Z]\p{L}*)`, nil),
		newRule(`((?i:nor'easter|cap\An|ev'ry|s'mores|c'mon|li'l|nat'l|e'er|d'ye))`, nil),
		newRule(`((?i:(?:dunk|someth)in'))[^A-Za-z]`, nil),

		// Words.
		newRule(`((?:[dDoOlL]\Q[\p{L}\p{Nd}])?\X+(?:[-_‐‑](?:[dDoOlL]\Q[\p{L}\p{Nd}])?\X+)*)`, nil),
		newRule(`([A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:[A-Za-z0-9]+|[A-Za-z](?:\.[A-Za-z])+\.))+)`, nil),
		newRule(`([A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})`, nil),
		newRule(`([A-Z]+(?:(?:[+&]|&(?i:amp);)[A-Z]+)+)`, func(s string) string { return ampersand.ReplaceAllString(s, "&") }),
		newRule(`(\p{L}[\p{L}\p{Nd}]*(?:[.!?]\p{L}[\p{L}\p{Nd}]*)+)`, nil),
		newRule(`([#]\p{L}+|@[A-Za-z_]\w*)`, nil),
		newRule(`([cCfF]#|[cC]\+\+)`, nil),

		// Abbreviations keep their full stop. That of an initial before a word that often begins a sentence is a token of its own.
		newRule(`((?i:`+alternatives(abbreviations)+`)\.)`, nil),
		newRule(`((?:`+alternatives(places)+`)\.)`, nil),
		newRule(`((?i:`+alternatives(numbered)+`)\.)(?:[ \n]?\D|[,;:])`, nil),
		newRule(`([A-Za-z](?:\.[A-Za-z])*\.)`, nil),
		newRule(`([\p{L}\p{Nd}]+(?:[.!?]\p{L}[\p{L}\p{Nd}]*)*\.)[,;:]`, nil), // also any word before these
		newRule(`([A-Za-z])\.[ \n]+(?:`+alternatives(openers)+`|</?\N *>)[ \n]`, nil),

		// Numbers.
		newRule(`([-+]?(?:\D+|[.,:]\D+)(?:[.,:]\D+)*)`, nil),
		newRule(`((?:\D{1,4}[- ])?\D{1,4}(?:\\?/|⁄)\D{1,4})`, hardSpaces),
		newRule(`((?:\(\D{2,3}\) ?|\+{0,2}(?:\D{2,4}[- ])?\D{2,4}[- ])\D{3,4}[- ]?\D{3,5}|\+{0,2}(?:\D{2,4}\.)?\D{2,4}\.\D{3,4}\.\D{3,5})`, hardSpaces),
		newRule(`([A-Z]*\$)`, nil),

		// Addresses.
		newRule(`(https?://[^ \n"<>|()]+[^ \n"<>|.!?(){},-])`, nil),
		newRule("((?:www\\.(?:[^ \\n\"<>|.!?(){},]+\\.)+[A-Za-z]{2,4}|(?:[^ \\n\"`'<>|.!?(){},_$:;@/-]+\\.)+(?:com|net|org|edu))(?:/[^ \\n\"<>|()]+[^ \\n\"<>|.!?(){},-])?)", nil),
		newRule(`(<?[A-Za-z0-9][^ \n"<>|()]*@(?:[^ \n"<>|().]+\.)*[^ \n"<>|().]+>?)`, nil),
		newRule(`([\p{L}\p{Nd}]+(?:\.[\p{L}\p{Nd}]+)*\.(?i:`+alternatives(extensions)+`))[^A-Za-z0-9]`, nil),

		// Faces and runs of symbols.
		newRule(`([<>]?[:;=][-o*']?[()\[\]{DdPpO@|\\])[^A-Za-z0-9]`, brackets),
		newRule(`([-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\))`, brackets),
		newRule(`([!?]+|\*+|_+|#+|@+|<<|>>|\\\*|-{5,}|[²³¹⁰⁴⁵⁶⁷⁸⁹]+|[₀₁₂₃₄₅₆₇₈₉]+|[‚„‟]+)`, nil),
		newRule(`(\.|\.{3,5}|…|-{2,4}|[–—―])`, constant("")),
		newRule("([`‘’‛“”«»‹›]{1,2})", quotes),
	}
})

var ampersand = regexp.MustCompile(`&(?i:amp);`)

func constant(s string) func(string) string { return func(string) string { return s } }

// hardSpaces keeps a token with spaces in one piece.
func hardSpaces(s string) string { return brackets(strings.ReplaceAll(s, " ", "\u00a0")) }

func apostrophes(s string) string { return quotes(s) }

var quotes = strings.NewReplacer("‘", "`", "‛", "`", "‹", "`", "’", "'", "›", "'", "“", "``", "«", "``", "”", "''", "»", "''").Replace

var brackets = strings.NewReplacer("(", "-lrb-", ")", "-rrb-").Replace

func alternatives(words string) string { return strings.Join(strings.Fields(words), "|") }

const (
	abbreviations = `adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bancorp bhd bldg blvd brig bros calif capt
		cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs (?:ph|ed)\.d elec ens esq est etc ext feb fla
		fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mich minn mlle
		mme mo mon mont mr mrs ms msgr mt natl neb nev nov oct okla penn pfc ph plc pres prof profs pvt rd rep reps rev rt sen
		sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo`
	places = `Ark ARK Az AZ Del DEL Ill ILL La LA Mass MASS Miss MISS Ore ORE Pa PA Tex TEX Wash WASH
		mfg Mfg mtg Mtg pte Pte ptes Ptes pty Pty ptys Ptys ppte Ppte ppty Ppty`
	numbered = `art ca figs? nos? op pp? prop`
	openers  = `A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Mr\. Ms\. Now
		Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You`
	extensions = `bat bmp c cgi cpp dll docx? exe gif gz h html? jar java jpe?g mov pdf php pl png ppt ps py sql tar txt wav x xml zip`
)

// mapped are symbols that are put out as something else.
var mapped = map[rune]string{
	'(': "-lrb-", ')': "-rrb-", '[': "-lsb-", ']': "-rsb-", '{': "-lcb-", '}': "-rcb-",
	'¢': "cents", '£': "#", '¤': "$", '₠': "$", '€': "$",
	'¼': "1/4", '½': "1/2", '¾': "3/4", '⅓': "1/3", '⅔': "2/3",
	'"': "''", '‘': "`", '‛': "`", '‹': "`", '’': "'", '›': "'", '“': "``", '«': "``", '”': "''", '»': "''",
	'–': "--", '—': "--", '―': "--", '…': "...", '‐': "-", '‑': "-",
}

// windows1252 has the characters that the C1 controls stand for in a text that was Windows-1252.
var windows1252 = map[rune]rune{
	0x80: '€', 0x85: '…', 0x91: '‘', 0x92: '’', 0x93: '“', 0x94: '”', 0x96: '–', 0x97: '—',
}

func table(pairs ...uint16) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for i := 0; i < len(pairs); i += 2 {
		t.R16 = append(t.R16, unicode.Range16{Lo: pairs[i], Hi: pairs[i+1], Stride: 1})
	}
	return t
}

// rangesOf writes a table as part of a character class.
func rangesOf(t *unicode.RangeTable) string {
	var b strings.Builder
	for _, r := range t.R16 {
		b.WriteRune(rune(r.Lo))
		b.WriteByte('-')
		b.WriteRune(rune(r.Hi))
	}
	return b.String()
}

// marks are characters beside letters and digits that words are made of.
var marks = table(
	0x02c2, 0x0375, 0x0384, 0x0385, 0x03f6, 0x03f6, 0x0483, 0x0487, 0x055a, 0x055f, 0x0591, 0x05bd,
	0x05bf, 0x05bf, 0x05c1, 0x05c2, 0x05c4, 0x05c5, 0x05c7, 0x05c7, 0x0615, 0x061a, 0x064b, 0x065e,
	0x0670, 0x0670, 0x06d6, 0x06fe, 0x070f, 0x07f3, 0x0900, 0x0903, 0x093c, 0x094e, 0x0951, 0x0955,
	0x0962, 0x0963, 0x0981, 0x09e3, 0x0a01, 0x0a4d, 0x0a81, 0x0acd, 0x0b82, 0x0bcd, 0x0c01, 0x0c03,
	0x0c3e, 0x0c56, 0x0d3e, 0x0d48, 0x0e31, 0x0e3a, 0x0e47, 0x0e4e, 0x0eb1, 0x0ecd,
)

// symbols are tokens by themselves.
var symbols = table(
	0x00a1, 0x00a1, 0x00a5, 0x00a9, 0x00ac, 0x00ac, 0x00ae, 0x00b9, 0x00bf, 0x00f7, 0x037e, 0x037e,
	0x0387, 0x0387, 0x0589, 0x0589, 0x05be, 0x05be, 0x05c0, 0x05c0, 0x05c3, 0x05c3, 0x05c6, 0x05c6,
	0x05f3, 0x0603, 0x0606, 0x060c, 0x0614, 0x0614, 0x061b, 0x061b, 0x061e, 0x061f, 0x066a, 0x066a,
	0x066d, 0x066d, 0x06d4, 0x06d4, 0x0700, 0x070d, 0x07f6, 0x07f8, 0x0964, 0x0965, 0x0e3f, 0x0e3f,
	0x0e4f, 0x0e4f, 0x1fbd, 0x1fbd, 0x2016, 0x2017, 0x201a, 0x201a, 0x201e, 0x2023, 0x2030, 0x2038,
	0x203b, 0x203b, 0x203e, 0x2042, 0x2044, 0x2044, 0x2070, 0x208e, 0x20a4, 0x20a4, 0x2100, 0x214f,
	0x2155, 0x215e, 0x2190, 0x2bff, 0x3001, 0x3002, 0x3012, 0x3012, 0x30fb, 0x30fb, 0xff01, 0xffe1,
	0xffe5, 0xffe6,
)

var hyphens = table(0x2010, 0x2011)
