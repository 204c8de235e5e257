package jinja

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// text is what a template calls a string, with where each part of it is from. Every operation on
// text keeps that, so that a rendering can tell what the template says from what it was given.
type text struct {
	s     string
	marks []mark // ascending, the last ends at len(s); nil: all of it is the template's
}

// mark says where the bytes from the mark before it up to end are from.
type mark struct {
	end    int
	source int  // as Text gave it; 0: the template
	answer bool // written inside {% generation %}
}

func (m mark) same(o mark) bool { return m.source == o.source && m.answer == o.answer }

// plain tells a mark that says nothing.
func (m mark) plain() bool { return m.source == 0 && !m.answer }

// from is text of one source.
func from(s string, source int) text {
	if source == 0 || s == "" {
		return text{s: s}
	}
	return text{s, []mark{{len(s), source, false}}}
}

// each calls f for the parts of one origin, in order.
func (t text) each(f func(part string, m mark)) {
	if t.marks == nil {
		if t.s != "" {
			f(t.s, mark{})
		}
		return
	}
	begin := 0
	for _, m := range t.marks {
		f(t.s[begin:m.end], m)
		begin = m.end
	}
}

// cut is t[i:j] in bytes.
func (t text) cut(i, j int) text {
	out := text{s: t.s[i:j]}
	if t.marks == nil || i >= j {
		return out
	}
	k := sort.Search(len(t.marks), func(k int) bool { return t.marks[k].end > i })
	plain := true
	for ; ; k++ {
		m := t.marks[k]
		plain = plain && m.plain()
		m.end = min(m.end, j) - i
		out.marks = append(out.marks, m)
		if m.end == j-i {
			break
		}
	}
	if plain {
		out.marks = nil
	}
	return out
}

// runes gives the characters of a text as texts.
func (t text) runes() []text {
	out := make([]text, 0, len(t.s))
	for i := 0; i < len(t.s); {
		_, n := utf8.DecodeRuneInString(t.s[i:])
		out = append(out, t.cut(i, i+n))
		i += n
	}
	return out
}

// mapped is a text after a change of its characters, as of small letters to capitals. Where the
// parts changed one by one do not make the whole changed, the whole is taken for what is least
// trusted in it.
func (t text) mapped(f func(string) string) text {
	whole := f(t.s)
	if t.marks == nil {
		return text{s: whole}
	}
	var b builder
	worst := mark{}
	t.each(func(part string, m mark) {
		b.add(f(part), m)
		if worst.source == 0 {
			worst = m
		}
	})
	if out := b.text(); out.s == whole {
		return out
	}
	b = builder{}
	b.add(whole, worst)
	return b.text()
}

// trimmed is a text without the bytes that left and right of strings functions take.
func (t text) trimmed(cut func(rune) bool, left, right bool) text {
	i, j := 0, len(t.s)
	if left {
		i = j - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		j = i + len(strings.TrimRightFunc(t.s[i:], cut))
	}
	return t.cut(i, j)
}

// builder puts a text together.
type builder struct {
	b     strings.Builder
	marks []mark // while all is the template's: nil
}

func (b *builder) len() int { return b.b.Len() }

// add appends a part of one origin.
func (b *builder) add(s string, m mark) {
	if s == "" {
		return
	}
	if b.marks == nil && !m.plain() {
		if b.len() > 0 {
			b.marks = append(b.marks, mark{end: b.len()})
		} else {
			b.marks = []mark{}
		}
	}
	b.b.WriteString(s)
	if b.marks == nil {
		return
	}
	if n := len(b.marks); n > 0 && b.marks[n-1].same(m) {
		b.marks[n-1].end = b.len()
		return
	}
	m.end = b.len()
	b.marks = append(b.marks, m)
}

// say appends text of the template.
func (b *builder) say(s string) { b.add(s, mark{}) }

// write appends texts.
func (b *builder) write(ts ...text) {
	for _, t := range ts {
		t.each(b.add)
	}
}

func (b *builder) text() text { return text{b.b.String(), b.marks} }

// joined lays texts end to end.
func joined(ts ...text) text {
	var b builder
	b.write(ts...)
	return b.text()
}

// answered marks a text as the model's answer.
func (t text) answered() text {
	var b builder
	t.each(func(part string, m mark) {
		m.answer = true
		b.add(part, m)
	})
	return b.text()
}

// replaced is strings.Replace; what is put in keeps its own origin.
func (t text) replaced(old string, with text, n int) text {
	if old == "" && n != 0 { // before every character and at the end
		var b builder
		parts := t.runes()
		for i, r := range parts {
			if n < 0 || i < n {
				b.write(with)
			}
			b.write(r)
		}
		if n < 0 || len(parts) < n {
			b.write(with)
		}
		return b.text()
	}
	var b builder
	at := 0
	for n != 0 {
		i := strings.Index(t.s[at:], old)
		if i < 0 {
			break
		}
		b.write(t.cut(at, at+i), with)
		at += i + len(old)
		n--
	}
	b.write(t.cut(at, len(t.s)))
	return b.text()
}

// divided is strings.SplitN.
func (t text) divided(sep string, n int) []text {
	var out []text
	at := 0
	for n < 0 || len(out) < n-1 {
		i := strings.Index(t.s[at:], sep)
		if i < 0 {
			break
		}
		out = append(out, t.cut(at, at+i))
		at += i + len(sep)
	}
	return append(out, t.cut(at, len(t.s)))
}
