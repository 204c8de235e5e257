package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"steer/internal/ordered"
	"steer/internal/pystr"
)

// call holds the arguments of a method, filter or test.
type call struct {
	args  []any
	named map[string]any
}

// take reads at most len(names) arguments by place or name into a list; what is not
// given keeps the default.
func (c call) take(names []string, defaults ...any) ([]any, error) {
	if len(c.args) > len(names) {
		return nil, fmt.Errorf("takes at most %d arguments, got %d", len(names), len(c.args))
	}
	out := slices.Clone(defaults)
	copy(out, c.args)
	for k, v := range c.named {
		i := slices.Index(names, k)
		if i < 0 || i < len(c.args) {
			return nil, fmt.Errorf("argument %q is not understood", k)
		}
		out[i] = v
	}
	for i, v := range out {
		if v == required {
			return nil, fmt.Errorf("argument %q is missing", names[i])
		}
	}
	return out, nil
}

// required is the default of an argument that has to be given.
var required any = &struct{ string }{"required"}

// texts are arguments that have to be text.
func (c call) texts(names ...string) ([]string, error) {
	defaults := make([]any, len(names))
	for i := range defaults {
		defaults[i] = required
	}
	v, err := c.take(names, defaults...)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(v))
	for i, x := range v {
		s, ok := x.(string)
		if !ok {
			return nil, fmt.Errorf("argument %q: want text, got %s", names[i], describe(x))
		}
		out[i] = s
	}
	return out, nil
}

func (c call) none() error {
	_, err := c.take(nil)
	return err
}

// errNoMethod is told apart to list what there is.
var errNoMethod = errors.New("no such method")

// method calls v.name(...).
func method(v any, name string, c call) (any, error) {
	var out any
	err := errNoMethod
	switch x := v.(type) {
	case string:
		out, err = textMethod(x, name, c)
	case []any:
		out, err = listMethod(x, name, c)
	case tuple:
		out, err = listMethod(x, name, c)
	case *ordered.Map:
		out, err = dictMethod(x, name, c)
	}
	if errors.Is(err, errNoMethod) {
		return nil, fmt.Errorf("%s has no method %s() here; known are capitalize count endswith find index isdigit "+
			"join lower lstrip removeprefix removesuffix replace rfind rstrip split splitlines startswith strip "+
			"title upper of text, count and index of lists, get, items, keys and values of dicts", kindOf(v), name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s(): %w", name, err)
	}
	return out, nil
}

func textMethod(s, name string, c call) (any, error) {
	switch name {
	case "upper", "lower", "capitalize", "title", "isdigit", "splitlines":
		if err := c.none(); err != nil {
			return nil, err
		}
	}
	switch name {
	case "upper":
		return upper(s), nil
	case "lower":
		return lower(s), nil
	case "capitalize":
		return capitalize(s), nil
	case "title":
		return title(s), nil
	case "isdigit":
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsDigit(r) }), nil
	case "splitlines":
		out := []any{}
		for line := range strings.Lines(strings.ReplaceAll(s, "\r\n", "\n")) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
		return out, nil
	case "strip", "lstrip", "rstrip":
		return strip(s, name, c)
	case "split":
		return split(s, c)
	case "replace":
		v, err := c.take([]string{"old", "new", "count"}, required, required, -1)
		if err != nil {
			return nil, err
		}
		return replace(s, v[0], v[1], v[2])
	case "join":
		v, err := c.take([]string{"items"}, required)
		if err != nil {
			return nil, err
		}
		return joinItems(v[0], s, true)
	}
	return searchMethod(s, name, c)
}

// searchMethod are the methods that take one text.
func searchMethod(s, name string, c call) (any, error) {
	known := []string{"startswith", "endswith", "find", "rfind", "index", "count", "removeprefix", "removesuffix"}
	if !slices.Contains(known, name) {
		return nil, errNoMethod
	}
	v, err := c.texts("text")
	if err != nil {
		return nil, err
	}
	sub := v[0]
	runesBefore := func(at int) int {
		if at < 0 {
			return -1
		}
		return len([]rune(s[:at]))
	}
	switch name {
	case "startswith":
		return strings.HasPrefix(s, sub), nil
	case "endswith":
		return strings.HasSuffix(s, sub), nil
	case "find":
		return runesBefore(strings.Index(s, sub)), nil
	case "rfind":
		return runesBefore(strings.LastIndex(s, sub)), nil
	case "count":
		return strings.Count(s, sub), nil
	case "removeprefix":
		return strings.TrimPrefix(s, sub), nil
	case "removesuffix":
		return strings.TrimSuffix(s, sub), nil
	}
	at := strings.Index(s, sub)
	if at < 0 {
		return nil, fmt.Errorf("%q is not in %s", sub, describe(s))
	}
	return runesBefore(at), nil
}

func strip(s, side string, c call) (any, error) {
	v, err := c.take([]string{"chars"}, nil)
	if err != nil {
		return nil, err
	}
	cut := pystr.IsSpace
	if v[0] != nil {
		chars, ok := v[0].(string)
		if !ok {
			return nil, fmt.Errorf("want text, got %s", describe(v[0]))
		}
		cut = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if side != "rstrip" {
		s = strings.TrimLeftFunc(s, cut)
	}
	if side != "lstrip" {
		s = strings.TrimRightFunc(s, cut)
	}
	return s, nil
}

// split is str.split: at white space without a separator.
func split(s string, c call) (any, error) {
	v, err := c.take([]string{"sep", "maxsplit"}, nil, -1)
	if err != nil {
		return nil, err
	}
	most, ok := v[1].(int)
	if !ok {
		return nil, fmt.Errorf("maxsplit: want a whole number, got %s", describe(v[1]))
	}
	out := []any{}
	if v[0] == nil {
		rest := strings.TrimLeftFunc(s, pystr.IsSpace)
		for rest != "" {
			end := strings.IndexFunc(rest, pystr.IsSpace)
			if end < 0 || most >= 0 && len(out) == most {
				end = len(rest)
				if most >= 0 && len(out) == most {
					rest = strings.TrimRightFunc(rest, pystr.IsSpace)
					end = len(rest)
				}
			}
			out = append(out, rest[:end])
			rest = strings.TrimLeftFunc(rest[end:], pystr.IsSpace)
		}
		return out, nil
	}
	sep, ok := v[0].(string)
	if !ok || sep == "" {
		return nil, fmt.Errorf("sep: want text, got %s", describe(v[0]))
	}
	n := -1
	if most >= 0 {
		n = most + 1
	}
	for _, part := range strings.SplitN(s, sep, n) {
		out = append(out, part)
	}
	return out, nil
}

func replace(s string, from, to, count any) (any, error) {
	a, okA := from.(string)
	b, okB := to.(string)
	n, okN := count.(int)
	if !okA || !okB || !okN {
		return nil, fmt.Errorf("want two texts and a count, got %s, %s, %s", describe(from), describe(to),
			describe(count))
	}
	return strings.Replace(s, a, b, n), nil
}

func listMethod(x []any, name string, c call) (any, error) {
	if name != "index" && name != "count" {
		return nil, errNoMethod
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

func dictMethod(x *ordered.Map, name string, c call) (any, error) {
	if name == "get" {
		v, err := c.take([]string{"key", "default"}, required, nil)
		if err != nil {
			return nil, err
		}
		if k, ok := v[0].(string); ok {
			if e, ok := x.Get(k); ok {
				return e, nil
			}
		}
		return v[1], nil
	}
	if name != "keys" && name != "values" && name != "items" {
		return nil, errNoMethod
	}
	out := []any{}
	for k, e := range x.All() {
		switch name {
		case "keys":
			out = append(out, k)
		case "values":
			out = append(out, e)
		case "items":
			out = append(out, tuple{k, e})
		}
	}
	return out, c.none()
}

// pyRange is range(), bounded.
func pyRange(c call) (any, error) {
	v, err := c.take([]string{"start", "stop", "step"}, required, nil, 1)
	if err != nil {
		return nil, err
	}
	if v[1] == nil {
		v[0], v[1] = 0, v[0]
	}
	var n [3]int
	for i := range n {
		x, ok := v[i].(int)
		if !ok {
			return nil, fmt.Errorf("range(): want whole numbers, got %s", describe(v[i]))
		}
		n[i] = x
	}
	if n[2] == 0 {
		return nil, fmt.Errorf("range(): the step is 0")
	}
	out := []any{}
	for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
		if len(out) == 1<<20 {
			return nil, fmt.Errorf("range(): more than %d numbers", 1<<20)
		}
		out = append(out, i)
	}
	return out, nil
}

func upper(s string) string { return cases.Upper(language.Und).String(s) }
func lower(s string) string { return cases.Lower(language.Und).String(s) }

func capitalize(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToTitle(first)) + lower(s[n:])
}

// title is str.title: a letter after something that is no letter is a capital.
func title(s string) string {
	var b strings.Builder
	in := false
	for _, r := range s {
		if in {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteRune(unicode.ToTitle(r))
		}
		in = unicode.IsLetter(r)
	}
	return b.String()
}
