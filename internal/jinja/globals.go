package jinja

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"steer/internal/ordered"
)

// globals are the functions that templates may call; chat templates have one more, and one that tells
// the time, where there is a clock.
func globals(chat, clock bool) map[string]any {
	out := map[string]any{
		"range":     &function{name: "range", call: pyRange},
		"dict":      &function{name: "dict", call: makeDict},
		"namespace": &function{name: "namespace", call: makeNamespace},
		"cycler":    &function{name: "cycler", call: makeCycler},
		"joiner":    &function{name: "joiner", call: makeJoiner},
	}
	if chat {
		out["raise_exception"] = &function{name: "raise_exception", call: raise}
	}
	if chat && clock {
		out["strftime_now"] = &function{name: "strftime_now", call: strftimeNow}
	}
	return out
}

func (m *machine) functionNames() string {
	return strings.Join(slices.Sorted(maps.Keys(globals(!m.strict, !m.now.IsZero()))), "(), ") + "()"
}

// raise is raise_exception(message).
func raise(_ *machine, at pos, c call) (any, error) {
	v, err := c.take([]string{"message"}, required)
	if err != nil {
		return nil, err
	}
	return nil, &Error{Line: at.line, Col: at.col, Msg: str(v[0]).s, Raised: true}
}

func strftimeNow(m *machine, _ pos, c call) (any, error) {
	v, err := c.take([]string{"format"}, required)
	if err != nil {
		return nil, err
	}
	f, err := textOf("format", v[0])
	if err != nil {
		return nil, err
	}
	s, err := strftime(m.now, f.s)
	return text{s: s}, err
}

func makeDict(_ *machine, _ pos, c call) (any, error) {
	out := newDict(len(c.names))
	if len(c.args) > 1 {
		return nil, fmt.Errorf("takes at most one dict, got %d values", len(c.args))
	}
	for _, a := range c.args {
		from, ok := a.(*dict)
		if !ok {
			return nil, fmt.Errorf("want a dict or names with values, got %s", describe(a))
		}
		out.source = from.source
		for k, v := range from.All() {
			out.Set(k, v)
		}
	}
	for i, name := range c.names {
		out.Set(name, c.named[i])
	}
	return out, nil
}

func makeNamespace(m *machine, at pos, c call) (any, error) {
	d, err := makeDict(m, at, c)
	if err != nil {
		return nil, err
	}
	return &namespace{d.(*dict).Map}, nil
}

// makeCycler gives values in turn: next(), reset(), current.
func makeCycler(_ *machine, _ pos, c call) (any, error) {
	if len(c.args) == 0 || len(c.names) > 0 {
		return nil, errors.New("want values to give in turn")
	}
	at := 0
	attributes := ordered.Of("current", c.args[0])
	show := func(c call) error {
		attributes.Set("current", c.args[at])
		return nil
	}
	attributes.Set("next", &function{name: "next", call: func(*machine, pos, call) (any, error) {
		v := c.args[at]
		at = (at + 1) % len(c.args)
		return v, show(c)
	}})
	attributes.Set("reset", &function{name: "reset", call: func(*machine, pos, call) (any, error) {
		at = 0
		return nil, show(c)
	}})
	return &function{name: "cycler", attributes: attributes, call: func(*machine, pos, call) (any, error) {
		return nil, errors.New("a cycler is asked by next()")
	}}, nil
}

// makeJoiner gives nothing at first, then the separator.
func makeJoiner(_ *machine, _ pos, c call) (any, error) {
	v, err := c.take([]string{"sep"}, ", ")
	if err != nil {
		return nil, err
	}
	used := false
	return &function{name: "joiner", call: func(*machine, pos, call) (any, error) {
		if used {
			return v[0], nil
		}
		used = true
		return text{}, nil
	}}, nil
}

// pyRange is range(), bounded.
func pyRange(m *machine, at pos, c call) (any, error) {
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
			return nil, fmt.Errorf("want whole numbers, got %s", describe(v[i]))
		}
		n[i] = x
	}
	if n[2] == 0 {
		return nil, errors.New("the step is 0")
	}
	out := []any{}
	for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
		if len(out) == 1<<20 {
			return nil, fmt.Errorf("more than %d numbers", 1<<20)
		}
		out = append(out, i)
	}
	return out, m.spend(at, len(out))
}

// strftime is time.strftime in the C locale.
func strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		bare := format[i] == '-' && i+1 < len(format) // glibc's "%-d": no zero before it
		if bare {
			i++
		}
		s, ok := strftimeOne(t, format[i])
		if !ok {
			return "", fmt.Errorf("%%%c is not supported", format[i])
		}
		if bare {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// layouts are the conversions that Go's time package knows.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'd': "02", 'm': "01", 'y': "06", 'Y': "2006",
	'H': "15", 'I': "03",
	'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'e': "_2", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06",
	'X': "15:04:05",
	'D': "01/02/06", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'r': "03:04:05 PM", 'f': "000000",
}

func strftimeOne(t time.Time, c byte) (string, bool) {
	if c == 'f' {
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	}
	if layout, ok := layouts[c]; ok {
		return t.Format(layout), true
	}
	isoYear, isoWeek := t.ISOWeek()
	switch c {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100), true
	case 'u':
		return fmt.Sprint((int(t.Weekday())+6)%7 + 1), true
	case 'w':
		return fmt.Sprint(int(t.Weekday())), true
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7), true
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7), true
	case 'V':
		return fmt.Sprintf("%02d", isoWeek), true
	case 'G':
		return fmt.Sprint(isoYear), true
	case 'z', 'Z': // a date without a zone
		return "", true
	}
	return "", false
}
