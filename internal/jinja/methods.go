package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"steer/internal/pystr"
)

// call holds the arguments of a method, filter or test.
type call struct {
	args  []any
	names []string
	named []any
}

// name adds an argument by name.
func (c *call) name(name string, v any) error {
	if slices.Contains(c.names, name) {
		return fmt.Errorf("argument %q is given twice", name)
	}
	c.names, c.named = append(c.names, name), append(c.named, v)
	return nil
}

// take reads at most len(names) arguments by place or name into a list; what is not
// given keeps the default.
func (c call) take(names []string, defaults ...any) ([]any, error) {
	if len(c.args) > len(names) {
		return nil, fmt.Errorf("takes at most %d arguments, got %d", len(names), len(c.args))
	}
	out := slices.Clone(defaults)
	copy(out, c.args)
	for k, name := range c.names {
		i := slices.Index(names, name)
		if i < 0 || i < len(c.args) {
			return nil, fmt.Errorf("argument %q is not understood", name)
		}
		out[i] = c.named[k]
	}
	for i, v := range out {
		if v == required {
			return nil, fmt.Errorf("argument %q is missing", names[i])
		}
		if s, ok := v.(string); ok { // a default
			out[i] = text{s: s}
		}
	}
	return out, nil
}

// required is the default of an argument that has to be given.
var required any = &struct{ string }{"required"}

// textOf insists on text.
func textOf(name string, v any) (text, error) {
	t, ok := v.(text)
	if !ok {
		return text{}, fmt.Errorf("argument %q: want text, got %s", name, describe(v))
	}
	return t, nil
}

// wholeOf insists on a whole number.
func wholeOf(name string, v any) (int, error) {
	if b, ok := v.(bool); ok {
		v = intOf(b)
	}
	n, ok := v.(int)
	if !ok {
		return 0, fmt.Errorf("argument %q: want a whole number, got %s", name, describe(v))
	}
	return n, nil
}

func (c call) none() error {
	_, err := c.take(nil)
	return err
}

// The methods there are. Methods that change a list or dict are refused, as Python's sandbox
// refuses them.
var (
	textMethods = []string{"capitalize", "center", "count", "endswith", "find", "format", "index", "isalnum",
		"isalpha", "isascii",
		"isdecimal", "isdigit", "islower", "isnumeric", "isspace", "isupper", "join", "ljust", "lower", "lstrip",
		"partition",
		"removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip",
		"split", "splitlines",
		"startswith", "strip", "swapcase", "title", "upper", "zfill"}
	listMethods     = []string{"count", "index"}
	dictMethods     = []string{"get", "items", "keys", "values"}
	changingMethods = []string{"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse",
		"setdefault", "sort", "update"}
)

var knownMethods = strings.Join(textMethods, " ") +
	" of text, count and index of lists, get, items, keys and values of dicts"

// methodsOf lists the methods of a value.
func methodsOf(v any) []string {
	switch v.(type) {
	case text:
		return textMethods
	case []any:
		return slices.Concat(listMethods, changingMethods)
	case tuple:
		return listMethods
	case *dict:
		return dictMethods
	}
	return nil
}

// method calls v.name(...).
func method(v any, name string, c call) (any, error) {
	switch x := v.(type) {
	case text:
		return textMethod(x, name, c)
	case []any:
		return listMethod(x, name, c)
	case tuple:
		return listMethod(x, name, c)
	case *dict:
		return dictMethod(x, name, c)
	}
	return nil, errors.New("no such method")
}

func textMethod(t text, name string, c call) (any, error) {
	if f, ok := caseMethods[name]; ok {
		return t.mapped(f), c.none()
	}
	if is, ok := characterTests[name]; ok {
		return t.s != "" && !strings.ContainsFunc(t.s, func(r rune) bool { return !is(r) }), c.none()
	}
	switch name {
	case "isascii":
		return !strings.ContainsFunc(t.s, func(r rune) bool { return r > unicode.MaxASCII }), c.none()
	case "islower", "isupper":
		f := map[string]func(string) string{"islower": lower, "isupper": upper}[name]
		return f(t.s) == t.s && upper(t.s) != lower(t.s), c.none()
	case "splitlines":
		return splitLines(t, c)
	case "strip", "lstrip", "rstrip":
		return strip(t, name, c)
	case "split", "rsplit":
		return split(t, name == "rsplit", c)
	case "partition", "rpartition":
		return partition(t, name == "rpartition", c)
	case "replace":
		v, err := c.take([]string{"old", "new", "count"}, required, required, -1)
		if err != nil {
			return nil, err
		}
		return replace(t, v[0], v[1], v[2])
	case "join":
		v, err := c.take([]string{"items"}, required)
		if err != nil {
			return nil, err
		}
		return joinItems(v[0], t, true)
	case "format":
		return format(t, c)
	case "center", "ljust", "rjust", "zfill":
		return pad(t, name, c)
	}
	return searchMethod(t, name, c)
}

// characterTests are the methods that ask whether all characters are of a class.
var characterTests = map[string]func(rune) bool{
	"isalnum": func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) },
	"isalpha": unicode.IsLetter, "isdecimal": unicode.IsDigit, "isdigit": unicode.IsDigit,
	"isnumeric": unicode.IsNumber, "isspace": pystr.IsSpace,
}

// searchMethod are the methods that look for a text.
func searchMethod(t text, name string, c call) (any, error) {
	if name == "startswith" || name == "endswith" {
		v, err := c.take([]string{"text"}, required)
		if err != nil {
			return nil, err
		}
		has := map[string]func(string, string) bool{"startswith": strings.HasPrefix,
			"endswith": strings.HasSuffix}[name]
		any, isTuple := v[0].(tuple)
		if !isTuple {
			any = tuple{v[0]}
		}
		for _, e := range any {
			end, err := textOf("text", e)
			if err != nil {
				return nil, err
			}
			if has(t.s, end.s) {
				return true, nil
			}
		}
		return false, nil
	}
	v, err := c.take([]string{"text"}, required)
	if err != nil {
		return nil, err
	}
	sub, err := textOf("text", v[0])
	if err != nil {
		return nil, err
	}
	runesBefore := func(at int) int {
		if at < 0 {
			return -1
		}
		return utf8.RuneCountInString(t.s[:at])
	}
	switch name {
	case "find":
		return runesBefore(strings.Index(t.s, sub.s)), nil
	case "rfind":
		return runesBefore(strings.LastIndex(t.s, sub.s)), nil
	case "count":
		return strings.Count(t.s, sub.s), nil
	case "removeprefix":
		return t.cut(len(t.s)-len(strings.TrimPrefix(t.s, sub.s)), len(t.s)), nil
	case "removesuffix":
		return t.cut(0, len(strings.TrimSuffix(t.s, sub.s))), nil
	}
	at := strings.Index(t.s, sub.s)
	if name == "rindex" {
		at = strings.LastIndex(t.s, sub.s)
	}
	if at < 0 {
		return nil, fmt.Errorf("%q is not in %s", sub.s, describe(t))
	}
	return runesBefore(at), nil
}

func strip(t text, side string, c call) (any, error) {
	v, err := c.take([]string{"chars"}, nil)
	if err != nil {
		return nil, err
	}
	cut := pystr.IsSpace
	if v[0] != nil {
		chars, ok := v[0].(text)
		if !ok {
			return nil, fmt.Errorf("want text, got %s", describe(v[0]))
		}
		cut = func(r rune) bool { return strings.ContainsRune(chars.s, r) }
	}
	return t.trimmed(cut, side != "rstrip", side != "lstrip"), nil
}

// split is str.split and, from the right, str.rsplit: at white space without a separator.
func split(t text, right bool, c call) (any, error) {
	v, err := c.take([]string{"sep", "maxsplit"}, nil, -1)
	if err != nil {
		return nil, err
	}
	most, ok := v[1].(int)
	if !ok {
		return nil, fmt.Errorf("maxsplit: want a whole number, got %s", describe(v[1]))
	}
	if most < 0 {
		most = len(t.s) + 1
	}
	var parts []text
	if v[0] == nil {
		parts = words(t, right, most)
	} else {
		sep, ok := v[0].(text)
		if !ok || sep.s == "" {
			return nil, fmt.Errorf("sep: want text, got %s", describe(v[0]))
		}
		parts = t.divided(sep.s, -1)
		if n := len(parts) - 1 - most; n > 0 && right {
			begin := 0
			for _, p := range parts[:n] {
				begin += len(p.s) + len(sep.s)
			}
			parts = append([]text{t.cut(0, begin+len(parts[n].s))}, parts[n+1:]...)
		} else if n > 0 {
			parts = t.divided(sep.s, most+1)
		}
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

// words divides a text at white pystr.IsSpace, at most so many times.
func words(t text, right bool, most int) []text {
	var out []text
	rest := t.trimmed(pystr.IsSpace, !right, right)
	for rest.s != "" {
		if len(out) == most {
			out = append(out, rest.trimmed(pystr.IsSpace, right, !right))
			break
		}
		i, j := 0, strings.IndexFunc(rest.s, pystr.IsSpace)
		if j < 0 {
			j = len(rest.s)
		}
		if right {
			i, j = 0, len(rest.s)
			if at := strings.LastIndexFunc(rest.s, pystr.IsSpace); at >= 0 {
				_, n := utf8.DecodeRuneInString(rest.s[at:])
				i = at + n
			}
		}
		out = append(out, rest.cut(i, j))
		if right {
			rest = rest.cut(0, i).trimmed(pystr.IsSpace, false, true)
		} else {
			rest = rest.cut(j, len(rest.s)).trimmed(pystr.IsSpace, true, false)
		}
	}
	if right {
		slices.Reverse(out)
	}
	return out
}

// partition is str.partition and str.rpartition.
func partition(t text, right bool, c call) (any, error) {
	v, err := c.take([]string{"sep"}, required)
	if err != nil {
		return nil, err
	}
	sep, err := textOf("sep", v[0])
	if err != nil || sep.s == "" {
		return nil, errors.Join(err, errors.New("sep: want text"))
	}
	at := strings.Index(t.s, sep.s)
	if right {
		at = strings.LastIndex(t.s, sep.s)
	}
	switch {
	case at < 0 && right:
		return tuple{text{}, text{}, t}, nil
	case at < 0:
		return tuple{t, text{}, text{}}, nil
	}
	end := at + len(sep.s)
	return tuple{t.cut(0, at), t.cut(at, end), t.cut(end, len(t.s))}, nil
}

// lineEnd are the characters that str.splitlines divides at.
func lineEnd(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

func splitLines(t text, c call) (any, error) {
	v, err := c.take([]string{"keepends"}, false)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for at := 0; at < len(t.s); {
		i := strings.IndexFunc(t.s[at:], lineEnd)
		if i < 0 {
			out = append(out, t.cut(at, len(t.s)))
			break
		}
		end := at + i
		_, n := utf8.DecodeRuneInString(t.s[end:])
		if strings.HasPrefix(t.s[end:], "\r\n") {
			n = 2
		}
		if truthOf(v[0]) {
			out = append(out, t.cut(at, end+n))
		} else {
			out = append(out, t.cut(at, end))
		}
		at = end + n
	}
	return out, nil
}

func replace(t text, old, with, count any) (any, error) {
	a, okA := old.(text)
	b, okB := with.(text)
	n, okN := count.(int)
	if !okA || !okB || !okN {
		return nil, fmt.Errorf("want two texts and a count, got %s, %s, %s", describe(old), describe(with),
			describe(count))
	}
	if times := strings.Count(t.s, a.s); len(t.s)+times*len(b.s) > maxText {
		return nil, errors.New("the result is too long")
	}
	return t.replaced(a.s, b, n), nil
}

// format is str.format with {}, {0} and {name}.
func format(t text, c call) (any, error) {
	var b builder
	next := 0
	for at := 0; at < len(t.s); {
		i := strings.IndexAny(t.s[at:], "{}")
		if i < 0 {
			b.write(t.cut(at, len(t.s)))
			break
		}
		b.write(t.cut(at, at+i))
		at += i
		if strings.HasPrefix(t.s[at:], "{{") || strings.HasPrefix(t.s[at:], "}}") {
			b.write(t.cut(at, at+1))
			at += 2
			continue
		}
		end := strings.IndexByte(t.s[at:], '}')
		if t.s[at] == '}' || end < 0 {
			return nil, errors.New("a single { or }")
		}
		field := t.s[at+1 : at+end]
		at += end + 1
		if strings.ContainsAny(field, ":!.[") {
			return nil, fmt.Errorf("{%s} is not supported: there are {}, {0} and {name}", field)
		}
		index, err := strconv.Atoi(field)
		switch k := slices.Index(c.names, field); {
		case field == "":
			index, next = next, next+1
		case err != nil && k >= 0:
			b.write(str(c.named[k]))
			continue
		case err != nil:
			return nil, fmt.Errorf("argument %q is missing", field)
		}
		if index < 0 || index >= len(c.args) {
			return nil, fmt.Errorf("argument %d is missing", index)
		}
		b.write(str(c.args[index]))
	}
	return b.text(), nil
}

// pad makes a text as wide as asked.
func pad(t text, name string, c call) (any, error) {
	v, err := c.take([]string{"width", "fillchar"}, required, " ")
	if err != nil {
		return nil, err
	}
	width, err := wholeOf("width", v[0])
	if err != nil {
		return nil, err
	}
	fill, err := textOf("fillchar", v[1])
	if err != nil || utf8.RuneCountInString(fill.s) != 1 || width > maxText {
		return nil, errors.Join(err, errors.New("want one character and a width"))
	}
	missing := max(0, width-utf8.RuneCountInString(t.s))
	left, right := 0, missing
	switch name {
	case "rjust":
		left, right = missing, 0
	case "center":
		left = missing/2 + missing&width&1
		right = missing - left
	case "zfill":
		sign := text{}
		if strings.HasPrefix(t.s, "-") || strings.HasPrefix(t.s, "+") {
			sign, t = t.cut(0, 1), t.cut(1, len(t.s))
		}
		return joined(sign, text{s: strings.Repeat("0", missing)}, t), nil
	}
	times := func(n int) text { return joined(slices.Repeat([]text{fill}, n)...) }
	return joined(times(left), t, times(right)), nil
}

func listMethod(x []any, name string, c call) (any, error) {
	if slices.Contains(changingMethods, name) {
		return nil, errors.New("a template may not change a list or dict")
	}
	v, err := c.take([]string{"element"}, required)
	if err != nil {
		return nil, err
	}
	n := 0
	for i, e := range x {
		if equal(e, v[0]) {
			if name == "index" {
				return i, nil
			}
			n++
		}
	}
	if name == "index" {
		return nil, fmt.Errorf("%s is not in %s", describe(v[0]), describe(x))
	}
	return n, nil
}

func dictMethod(x *dict, name string, c call) (any, error) {
	if name == "get" {
		v, err := c.take([]string{"key", "default"}, required, nil)
		if err != nil {
			return nil, err
		}
		if k, ok := v[0].(text); ok {
			if e, ok := x.Get(k.s); ok {
				return e, nil
			}
		}
		return v[1], nil
	}
	out := []any{}
	for k, e := range x.All() {
		switch name {
		case "keys":
			out = append(out, x.key(k))
		case "values":
			out = append(out, e)
		case "items":
			out = append(out, tuple{x.key(k), e})
		}
	}
	return out, c.none()
}

// caseMethods change single characters.
var caseMethods = map[string]func(string) string{
	"upper": upper, "lower": lower, "capitalize": capitalize, "title": title, "swapcase": swapCase,
}

func upper(s string) string { return cases.Upper(language.Und).String(s) }
func lower(s string) string { return cases.Lower(language.Und).String(s) }

func swapCase(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsUpper(r):
			b.WriteString(lower(string(r)))
		case unicode.IsLower(r):
			b.WriteString(upper(string(r)))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func capitalize(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return titled(first) + lower(s[n:])
}

// titled is a character as a word begins with it: "ﬁ" is "Fi".
func titled(r rune) string { return cases.Title(language.Und, cases.NoLower).String(string(r)) }

// title is str.title: a letter after something that is no letter is a capital.
func title(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		if in {
			b.WriteString(lower(string(r)))
		} else {
			b.WriteString(titled(r))
		}
		in = unicode.IsLetter(r)
	}
	return b.String()
}
