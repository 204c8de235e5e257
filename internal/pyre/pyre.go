package pyre

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

// longest bounds one search.
const longest = 10 * time.Second

// Flags are those of re.compile that are known.
type Flags struct{ IgnoreCase, Multiline, DotAll, Verbose bool }

// Pattern is a compiled pattern.
type Pattern struct {
	Text    string
	Groups  int // capturing groups
	re      *regexp2.Regexp
	options regexp2.RegexOptions
	names   map[string]int // groups by name
}

// Match is a match: group 0 is the whole. Begin and End are places in characters.
type Match struct {
	groups     []group
	names      map[string]int
	Begin, End int
}

type group struct {
	text       string
	there      bool
	begin, end int
}

// Group is the text of a group, and whether it took part in the match.
func (m *Match) Group(i int) (text string, there bool) { return m.groups[i].text, m.groups[i].there }

// Len is the number of groups, the whole counted.
func (m *Match) Len() int { return len(m.groups) }

// Named is the number of a named group, -1 without one.
func (m *Match) Named(name string) int {
	if i, ok := m.names[name]; ok {
		return i
	}
	return -1
}

// Span is where a group begins and ends, in characters; -1 where it took no part.
func (m *Match) Span(i int) (begin, end int) { return m.groups[i].begin, m.groups[i].end }

// Compile reads a pattern of Python's.
func Compile(text string, f Flags) (*Pattern, error) {
	if prefix := inlineFlags.FindStringSubmatch(text); prefix != nil { // (?i) at the beginning
		text = text[len(prefix[0]):]
		for _, c := range prefix[1] {
			switch c {
			case 'i':
				f.IgnoreCase = true
			case 'm':
				f.Multiline = true
			case 's':
				f.DotAll = true
			case 'x':
				f.Verbose = true
			}
		}
	}
	rewritten, names, err := rewrite(text)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", text, err)
	}
	options := regexp2.RegexOptions(regexp2.None)
	for _, o := range []struct {
		on  bool
		set regexp2.RegexOptions
	}{{f.IgnoreCase, regexp2.IgnoreCase}, {f.Multiline, regexp2.Multiline}, {f.DotAll, regexp2.Singleline},
		{f.Verbose, regexp2.IgnorePatternWhitespace}} {
		if o.on {
			options |= o.set
		}
	}
	re, err := regexp2.Compile(rewritten, options)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", text, err)
	}
	re.MatchTimeout = longest
	return &Pattern{Text: text, Groups: len(re.GetGroupNumbers()) - 1, re: re, options: options, names: names}, nil
}

var inlineFlags = regexp.MustCompile(`^\(\?([imsux]+)\)`)

// word is Python's \w: letters, digits and numbers of all scripts, and the underscore. It knows no
// combining marks, as .NET's does.
const word = `\p{L}\p{N}_`

// rewrite turns Python's dialect into .NET's. Groups lose their names, since .NET counts those with
// a name last; names gives their numbers.
func rewrite(text string) (rewritten string, names map[string]int, err error) {
	var b strings.Builder
	class, groups := false, 0
	names = map[string]int{}
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case text[i] == '\\' && i+1 < len(text):
			s, err := escape(text[i+1], class)
			if err != nil {
				return "", nil, err
			}
			b.WriteString(s)
			i++
		case class && text[i] == ']':
			class = false
			b.WriteByte(']')
		case class && text[i] == '[':
			b.WriteString(`\[`)
		case class:
			b.WriteByte(text[i])
		case text[i] == '[':
			class = true
			n := 1
			if strings.HasPrefix(rest, "[^") {
				n = 2
			}
			b.WriteString(rest[:n])
			if strings.HasPrefix(rest[n:], "]") { // a ] that stands first is itself
				b.WriteString(`\]`)
				n++
			}
			i += n - 1
		case strings.HasPrefix(rest, "(?P<"):
			name, _, ok := strings.Cut(rest[4:], ">")
			if !ok {
				return "", nil, errors.New("(?P< is not closed")
			}
			groups++
			names[name] = groups
			b.WriteByte('(')
			i += 4 + len(name)
		case strings.HasPrefix(rest, "(?P="):
			name, _, _ := strings.Cut(rest[4:], ")")
			if names[name] == 0 {
				return "", nil, fmt.Errorf("there is no group %q before (?P=%s)", name, name)
			}
			fmt.Fprintf(&b, `(?:\%d)`, names[name])
			i += 4 + len(name)
		case strings.HasPrefix(rest, "(?<") && !strings.HasPrefix(rest, "(?<=") && !strings.HasPrefix(rest, "(?<!"):
			return "", nil, errors.New("(?< is not in Python's re: named groups are (?P<name>...)")
		case text[i] == '(' && !strings.HasPrefix(rest, "(?"):
			groups++
			b.WriteByte('(')
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), names, nil
}

// escape rewrites \c.
func escape(c byte, class bool) (string, error) {
	switch c {
	case 'w', 's':
		set := map[byte]string{'w': word, 's': `\s\x1c-\x1f`}[c]
		if class {
			return set, nil
		}
		return "[" + set + "]", nil
	case 'W':
		if class {
			return "", errors.New(`\W within [] is not supported`)
		}
		return "[^" + word + "]", nil
	case 'S':
		if !class {
			return `[^\s\x1c-\x1f]`, nil
		}
	case 'b':
		if !class {
			return `(?:(?<=[` + word + `])(?![` + word + `])|(?<![` + word + `])(?=[` + word + `]))`, nil
		}
	case 'B':
		return `(?:(?<=[` + word + `])(?=[` + word + `])|(?<![` + word + `])(?![` + word + `]))`, nil
	case 'A':
		return `\A`, nil
	case 'Z':
		return `\z`, nil
	case 'z', 'G', 'p', 'P', 'k', 'c', 'e', 'K', 'R', 'X', 'h', 'H', 'Q', 'E':
		return "", fmt.Errorf(`\%c is not in Python's re`, c)
	}
	return `\` + string(c), nil
}

// at makes a match of one of regexp2.
func (p *Pattern) at(m *regexp2.Match) *Match {
	out := &Match{names: p.names, Begin: m.Index, End: m.Index + m.Length}
	for _, g := range m.Groups() {
		x := group{text: g.String(), there: len(g.Captures) > 0, begin: -1, end: -1}
		if x.there {
			x.begin, x.end = g.Index, g.Index+g.Length
		}
		out.groups = append(out.groups, x)
	}
	return out
}

// All finds all matches, as finditer does: where an empty one was found, only a longer one may begin.
func (p *Pattern) All(s string) ([]*Match, error) {
	characters := []rune(s)
	var out []*Match
	empty := false
	for pos := 0; pos <= len(characters); {
		m, err := p.next(characters, pos, empty)
		if err != nil {
			return nil, err
		}
		if m == nil {
			break
		}
		out = append(out, p.at(m))
		pos, empty = m.Index+m.Length, m.Length == 0
	}
	return out, nil
}

// next finds the first match from a place on; longer: at the place itself it must not be empty.
func (p *Pattern) next(s []rune, pos int, longer bool) (*regexp2.Match, error) {
	if !longer {
		return p.re.FindRunesMatchStartingAt(s, pos)
	}
	re, err := p.around(`\G(?:`, `)(?!\G)`)
	if err != nil {
		return nil, err
	}
	if m, err := re.FindRunesMatchStartingAt(s, pos); m != nil || err != nil {
		return m, err
	}
	if pos == len(s) {
		return nil, nil
	}
	return p.re.FindRunesMatchStartingAt(s, pos+1)
}

// Search finds the first match, nil without one.
func (p *Pattern) Search(s string) (*Match, error) {
	m, err := p.re.FindStringMatch(s)
	if err != nil || m == nil {
		return nil, err
	}
	return p.at(m), nil
}

// Match is a match at the beginning, nil without one.
func (p *Pattern) Match(s string) (*Match, error) { return p.anchored(s, `\G(?:`, ")") }

// FullMatch is a match of all of the text, nil without one.
func (p *Pattern) FullMatch(s string) (*Match, error) { return p.anchored(s, `\G(?:`, `)\z`) }

func (p *Pattern) anchored(s, before, after string) (*Match, error) {
	re, err := p.around(before, after)
	if err != nil {
		return nil, err
	}
	m, err := re.FindStringMatch(s)
	if err != nil || m == nil {
		return nil, err
	}
	return p.at(m), nil
}

// around is the pattern between two others. Groups keep their numbers: what is put around them
// captures nothing.
func (p *Pattern) around(before, after string) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(before+p.re.String()+after, p.options)
	if err == nil {
		re.MatchTimeout = longest
	}
	return re, err
}

// FindAll is re.findall: of each match the whole, the one group, or all groups.
func (p *Pattern) FindAll(s string) ([][]string, error) {
	all, err := p.All(s)
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(all))
	for i, m := range all {
		if p.Groups == 0 {
			out[i] = []string{m.groups[0].text}
			continue
		}
		for _, g := range m.groups[1:] {
			out[i] = append(out[i], g.text)
		}
	}
	return out, nil
}

// Sub replaces at most count matches (0: all) by what with gives.
func (p *Pattern) Sub(s string, count int, with func(*Match) (string, error)) (string, error) {
	all, err := p.All(s)
	if err != nil {
		return "", err
	}
	if count > 0 {
		all = all[:min(count, len(all))]
	}
	characters := []rune(s)
	var b strings.Builder
	done := 0
	for _, m := range all {
		b.WriteString(string(characters[done:m.Begin]))
		text, err := with(m)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		done = m.End
	}
	b.WriteString(string(characters[done:]))
	return b.String(), nil
}

// Split is re.split: the texts between the matches, with the groups of these among them. A group
// that took no part gives nil.
func (p *Pattern) Split(s string, most int) ([]*string, error) {
	all, err := p.All(s)
	if err != nil {
		return nil, err
	}
	if most > 0 {
		all = all[:min(most, len(all))]
	}
	characters := []rune(s)
	var out []*string
	add := func(t string) { out = append(out, &t) }
	done := 0
	for _, m := range all {
		add(string(characters[done:m.Begin]))
		for _, g := range m.groups[1:] {
			if g.there {
				add(g.text)
			} else {
				out = append(out, nil)
			}
		}
		done = m.End
	}
	add(string(characters[done:]))
	return out, nil
}

// Expand fills in a replacement text: \1, \g<1>, \g<name>, \n and the like.
func (m *Match) Expand(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		c := text[i]
		switch {
		case c == 'g' && strings.HasPrefix(text[i+1:], "<"):
			name, _, ok := strings.Cut(text[i+2:], ">")
			n, err := strconv.Atoi(name)
			if err != nil {
				n = m.Named(name)
			}
			if !ok || n < 0 || n >= len(m.groups) {
				return "", fmt.Errorf("replacement %q: there is no group %q", text, name)
			}
			b.WriteString(m.groups[n].text)
			i += len(name) + 2
		case c >= '1' && c <= '9':
			n := int(c - '0')
			if i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
				n, i = 10*n+int(text[i+1]-'0'), i+1
			}
			if n >= len(m.groups) {
				return "", fmt.Errorf("replacement %q: there is no group %d", text, n)
			}
			b.WriteString(m.groups[n].text)
		case strings.IndexByte("ntrfva", c) >= 0:
			b.WriteByte("\n\t\r\f\v\a"[strings.IndexByte("ntrfva", c)])
		case c == '\\':
			b.WriteByte('\\')
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '0':
			return "", fmt.Errorf("replacement %q: \\%c is not supported", text, c)
		default:
			b.WriteString(`\` + string(c))
		}
	}
	return b.String(), nil
}

// Escape is re.escape.
func Escape(s string) string {
	const special = "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"
	var b strings.Builder
	for _, r := range s {
		if r < 128 && slices.Contains([]byte(special), byte(r)) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
