package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"steer/internal/ordered"
)

// The values of the evaluator are nil, bool, int, float64, text, []any, tuple, *dict, *namespace,
// *function, *loop, undefined and unusable.

// tuple is what (a, b) and the items of a dict are: it prints in round brackets and is
// equal to no list.
type tuple []any

// dict is a dict; source is where its keys are from.
type dict struct {
	*ordered.Map
	source int
}

// key gives a key as a value.
func (d *dict) key(k string) text { return from(k, d.source) }

func newDict(n int) *dict { return &dict{Map: ordered.New(n)} }

// namespace is namespace(): the one thing whose attributes {% set %} can set.
type namespace struct{ *ordered.Map }

// function is what can be called; attributes may be nil.
type function struct {
	name       string
	call       func(m *machine, at pos, c call) (any, error)
	attributes *ordered.Map
}

// undefined is what Jinja calls undefined. It holds the message of the error that using it is: in
// chat templates that is an operation on it, elsewhere all but "is defined" and the filter default.
type undefined string

// unusable is a value that a template may hold, but not use: see [Unusable].
type unusable string

// inside makes a value that a template is given one of the evaluator; source is where its texts
// are from.
func inside(v any, source int) (any, error) {
	switch x := v.(type) {
	case nil, bool, int, float64, unusable:
		return v, nil
	case int64:
		return int(x), nil
	case int32:
		return int(x), nil
	case float32:
		return float64(x), nil
	case string:
		return from(x, source), nil
	case Text:
		return from(x.S, x.Source), nil
	case []string:
		out := make([]any, len(x))
		for i := range x {
			out[i] = from(x[i], source)
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			var err error
			if out[i], err = inside(x[i], source); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *ordered.Map:
		out := &dict{ordered.New(x.Len()), source}
		for k, e := range x.All() {
			v, err := inside(e, source)
			if err != nil {
				return nil, err
			}
			out.Set(k, v)
		}
		return out, nil
	case Data:
		return inside(x.Value, x.Source)
	}
	return nil, fmt.Errorf("a template cannot hold a %T", v)
}

// outside makes a value of the evaluator one for callers, to whom tuples and lists are the same.
func outside(v any) any {
	switch x := v.(type) {
	case text:
		return x.s
	case tuple:
		return outside([]any(x))
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = outside(x[i])
		}
		return out
	case *dict:
		out := ordered.New(x.Len())
		for k, e := range x.All() {
			out.Set(k, outside(e))
		}
		return out
	}
	return v
}

// kindOf names the type of a value as messages do.
func kindOf(v any) string {
	switch x := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a truth value"
	case int:
		return "a whole number"
	case float64:
		return "a number"
	case text:
		return "text"
	case []any:
		return "a list"
	case tuple:
		return "a tuple"
	case *dict:
		return "a dict"
	case *namespace:
		return "a namespace"
	case *loop:
		return "the loop"
	case *function:
		return "the function " + x.name + "()"
	case undefined:
		return "an undefined value"
	}
	return fmt.Sprintf("a %T", v)
}

// describe shows a value, shortened.
func describe(v any) string {
	switch v.(type) {
	case nil, *namespace, *loop, *function, undefined:
		return kindOf(v)
	}
	shown := []rune(repr(v).s)
	if len(shown) > 40 {
		shown = append(shown[:40], '…')
	}
	return kindOf(v) + " " + string(shown)
}

// truth is Python's bool(v).
func (m *machine) truth(at pos, v any) (bool, error) {
	switch x := v.(type) {
	case undefined:
		if m.strict {
			return false, fail(at, "%s", string(x))
		}
		return false, nil
	case unusable:
		return false, fail(at, "%s", string(x))
	}
	return truthOf(v), nil
}

// truthOf is truth of values that may be used.
func truthOf(v any) bool {
	switch x := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return x
	case int:
		return x != 0
	case float64:
		return x != 0
	case text:
		return x.s != ""
	case []any:
		return len(x) > 0
	case tuple:
		return len(x) > 0
	case *dict:
		return x.Len() > 0
	}
	return true
}

// str is Python's str(v).
func str(v any) text {
	switch x := v.(type) {
	case text:
		return x
	case undefined:
		return text{}
	}
	return repr(v)
}

// repr is Python's repr(v).
func repr(v any) text {
	var b builder
	b.repr(v)
	return b.text()
}

func (b *builder) repr(v any) {
	switch x := v.(type) {
	case nil:
		b.say("None")
	case bool:
		b.say(map[bool]string{true: "True", false: "False"}[x])
	case int:
		b.say(strconv.Itoa(x))
	case float64:
		b.say(reprFloat(x))
	case text:
		b.reprText(x)
	case []any:
		b.say("[")
		b.reprAll(x)
		b.say("]")
	case tuple:
		b.say("(")
		b.reprAll(x)
		if len(x) == 1 {
			b.say(",")
		}
		b.say(")")
	case *dict:
		b.say("{")
		first := true
		for k, e := range x.All() {
			if !first {
				b.say(", ")
			}
			first = false
			b.reprText(x.key(k))
			b.say(": ")
			b.repr(e)
		}
		b.say("}")
	case undefined:
		b.say("Undefined")
	default:
		b.say("<" + kindOf(v) + ">")
	}
}

func (b *builder) reprAll(list []any) {
	for i, e := range list {
		if i > 0 {
			b.say(", ")
		}
		b.repr(e)
	}
}

// reprFloat is float.__repr__: shortest digits, an exponent below 1e-4 and from 1e16.
func reprFloat(x float64) string {
	e := strconv.FormatFloat(x, 'e', -1, 64)
	_, exponent, found := strings.Cut(e, "e")
	if n, err := strconv.Atoi(exponent); found && err == nil && (n < -4 || n >= 16) {
		return e
	}
	switch s := strconv.FormatFloat(x, 'f', -1, 64); {
	case s == "NaN":
		return "nan"
	case strings.HasSuffix(s, "Inf"):
		return strings.TrimPrefix(strings.ToLower(s), "+")
	case strings.Contains(s, "."):
		return s
	default:
		return s + ".0"
	}
}

// reprText is str.__repr__.
func (b *builder) reprText(t text) {
	quote := '\''
	if strings.ContainsRune(t.s, '\'') && !strings.ContainsRune(t.s, '"') {
		quote = '"'
	}
	b.say(string(quote))
	t.each(func(part string, m mark) {
		var e strings.Builder
		for _, r := range part {
			switch {
			case r == quote || r == '\\':
				e.WriteRune('\\')
				e.WriteRune(r)
			case r == '\n':
				e.WriteString(`\n`)
			case r == '\r':
				e.WriteString(`\r`)
			case r == '\t':
				e.WriteString(`\t`)
			case r == ' ' || unicode.IsPrint(r):
				e.WriteRune(r)
			case r < 0x100:
				fmt.Fprintf(&e, `\x%02x`, r)
			case r < 0x10000:
				fmt.Fprintf(&e, `\u%04x`, r)
			default:
				fmt.Fprintf(&e, `\U%08x`, r)
			}
		}
		b.add(e.String(), m)
	})
	b.say(string(quote))
}

// iterate lists the items of a value: elements, characters, or keys in their order.
func iterate(v any) ([]any, error) {
	switch x := v.(type) {
	case []any:
		return x, nil
	case tuple:
		return x, nil
	case text:
		out := []any{}
		for _, r := range x.runes() {
			out = append(out, r)
		}
		return out, nil
	case *dict:
		out := []any{}
		for k := range x.All() {
			out = append(out, x.key(k))
		}
		return out, nil
	case undefined: // in chat templates
		return nil, nil
	}
	return nil, fmt.Errorf("%s has no items", describe(v))
}

// length is Python's len.
func length(v any) (any, error) {
	switch x := v.(type) {
	case text:
		return utf8.RuneCountInString(x.s), nil
	case []any:
		return len(x), nil
	case tuple:
		return len(x), nil
	case *dict:
		return x.Len(), nil
	case undefined:
		return 0, nil
	case *loop:
		return len(x.rounds), nil
	}
	return nil, fmt.Errorf("%s has no length", describe(v))
}

// list gives the elements of a list or tuple.
func list(v any) ([]any, bool) {
	if t, ok := v.(tuple); ok {
		return t, true
	}
	l, ok := v.([]any)
	return l, ok
}

// attribute is v.name as getattr gives it.
func attribute(v any, name string) (any, bool) {
	switch x := v.(type) {
	case *namespace:
		return x.Get(name)
	case *loop:
		return x.attribute(name)
	case *function:
		if x.attributes != nil {
			return x.attributes.Get(name)
		}
		return nil, false
	}
	if methods := methodsOf(v); slices.Contains(methods, name) {
		return &function{name: name, call: func(m *machine, at pos, c call) (any, error) {
			return method(v, name,
				c)
		}}, true
	}
	return nil, false
}
