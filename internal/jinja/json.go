package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// filterJSON is tojson as transformers defines it for chat templates: json.dumps without HTML
// escapes, in the order of the dict, with characters beyond ASCII as they are.
func (m *machine) filterJSON(v any, c call) (any, error) {
	if m.strict {
		return nil, errors.New("not supported in the templates of tasks")
	}
	a, err := c.take([]string{"ensure_ascii", "indent", "separators", "sort_keys"}, false, nil, nil, false)
	if err != nil {
		return nil, err
	}
	j := &jsonWriter{ascii: truthOf(a[0]), sorted: truthOf(a[3]), between: ", ", colon: ": "}
	switch by := a[1].(type) {
	case nil:
	case int:
		j.lines, j.indent, j.between = true, strings.Repeat(" ", max(0, min(by, 64))), ","
	case text:
		j.lines, j.indent, j.between = true, by.s, ","
	default:
		return nil, fmt.Errorf("indent: want a whole number, got %s", describe(a[1]))
	}
	if a[2] != nil {
		pair, ok := list(a[2])
		if !ok || len(pair) != 2 {
			return nil, errors.New("separators: want two texts")
		}
		j.between, j.colon = str(pair[0]).s, str(pair[1]).s
	}
	if err := j.write(v, 0); err != nil {
		return nil, err
	}
	return j.text(), nil
}

// jsonWriter is json.dumps.
type jsonWriter struct {
	builder
	ascii, sorted, lines   bool
	indent, between, colon string
}

func (j *jsonWriter) write(v any, depth int) error {
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	switch x := v.(type) {
	case nil:
		j.say("null")
	case bool:
		j.say(strconv.FormatBool(x))
	case int:
		j.say(strconv.Itoa(x))
	case float64:
		s := reprFloat(x)
		if name, odd := map[string]string{"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[s]; odd {
			s = name
		}
		j.say(s)
	case text:
		j.quote(x)
	case tuple:
		return j.write([]any(x), depth)
	case []any:
		return j.all("[", "]", len(x), depth, func(i int) error { return j.write(x[i], depth+1) })
	case *dict:
		keys := x.Keys()
		if j.sorted {
			slices.Sort(keys)
		}
		return j.all("{", "}", len(keys), depth, func(i int) error {
			j.quote(x.key(keys[i]))
			j.say(j.colon)
			e, _ := x.Get(keys[i])
			return j.write(e, depth+1)
		})
	default:
		return fmt.Errorf("%s is not JSON", describe(v))
	}
	return nil
}

// all writes the elements of a list or dict.
func (j *jsonWriter) all(open, end string, n, depth int, element func(i int) error) error {
	j.say(open)
	line := func(depth int) {
		if j.lines && n > 0 {
			j.say("\n" + strings.Repeat(j.indent, depth))
		}
	}
	for i := range n {
		if i > 0 {
			j.say(j.between)
		}
		line(depth + 1)
		if err := element(i); err != nil {
			return err
		}
	}
	line(depth)
	j.say(end)
	return nil
}

// quote writes a string; what is from data stays data.
func (j *jsonWriter) quote(t text) {
	j.say(`"`)
	t.each(func(part string, m mark) {
		var b strings.Builder
		for _, r := range part {
			switch {
			case r == '"' || r == '\\':
				b.WriteByte('\\')
				b.WriteRune(r)
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\r':
				b.WriteString(`\r`)
			case r == '\t':
				b.WriteString(`\t`)
			case r == '\b':
				b.WriteString(`\b`)
			case r == '\f':
				b.WriteString(`\f`)
			case r < 0x20 || j.ascii && r > 0x7e && r < 0x10000:
				fmt.Fprintf(&b, `\u%04x`, r)
			case j.ascii && r >= 0x10000:
				fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
			default:
				b.WriteRune(r)
			}
		}
		j.add(b.String(), m)
	})
	j.say(`"`)
}
