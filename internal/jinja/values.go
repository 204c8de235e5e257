package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/nodes"

	"steer/internal/ordered"
)

// tuple is what (a, b) and the items of a dict are: it prints in round brackets and is
// equal to no list.
type tuple []any

// kindOf names the type of a value as messages do.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "a truth value"
	case int:
		return "a whole number"
	case float64:
		return "a number"
	case string:
		return "text"
	case []any:
		return "a list"
	case tuple:
		return "a tuple"
	case *ordered.Map:
		return "a dict"
	}
	return fmt.Sprintf("a %T", v)
}

// describe shows a value, shortened.
func describe(v any) string {
	if v == nil {
		return "None"
	}
	shown := []rune(repr(v))
	if len(shown) > 40 {
		shown = append(shown[:40], '…')
	}
	return kindOf(v) + " " + string(shown)
}

// truth is Python's bool(v).
func truth(at nodes.Node, v any) (bool, error) {
	switch x := v.(type) {
	case nil:
		return false, nil
	case bool:
		return x, nil
	case int:
		return x != 0, nil
	case float64:
		return x != 0, nil
	case string:
		return x != "", nil
	case []any:
		return len(x) > 0, nil
	case tuple:
		return len(x) > 0, nil
	case *ordered.Map:
		return x.Len() > 0, nil
	case undefined:
		return false, fail(at, "%s", string(x))
	}
	return false, fail(at, "%s is neither true nor false", describe(v))
}

// str is Python's str(v).
func str(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

// repr is Python's repr(v).
func repr(v any) string {
	switch x := v.(type) {
	case nil:
		return "None"
	case bool:
		if x {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(x)
	case float64:
		return reprFloat(x)
	case string:
		return reprText(x)
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = repr(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case tuple:
		if len(x) == 1 {
			return "(" + repr(x[0]) + ",)"
		}
		list := repr([]any(x))
		return "(" + list[1:len(list)-1] + ")"
	case *ordered.Map:
		var parts []string
		for k, e := range x.All() {
			parts = append(parts, reprText(k)+": "+repr(e))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// reprFloat is float.__repr__: shortest digits, an exponent below 1e-4 and from 1e16.
func reprFloat(x float64) string {
	e := strconv.FormatFloat(x, 'e', -1, 64)
	_, exponent, found := strings.Cut(e, "e")
	if n, err := strconv.Atoi(exponent); found && err == nil && (n < -4 || n >= 16) {
		return e
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.ContainsAny(s, ".IN") {
		s += ".0"
	}
	return s
}

// reprText is str.__repr__.
func reprText(s string) string {
	mark := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		mark = '"'
	}
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range s {
		switch {
		case r == mark || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(mark)
	return b.String()
}

// iterate lists the items of a value: elements, characters, or keys in their order.
func iterate(at nodes.Node, v any) ([]any, error) {
	switch x := v.(type) {
	case []any:
		return x, nil
	case tuple:
		return x, nil
	case string:
		out := []any{}
		for _, r := range x {
			out = append(out, string(r))
		}
		return out, nil
	case *ordered.Map:
		out := []any{}
		for k := range x.All() {
			out = append(out, k)
		}
		return out, nil
	case undefined:
		return nil, fail(at, "%s", string(x))
	}
	return nil, fail(at, "%s has no items", describe(v))
}
