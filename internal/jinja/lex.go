package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"steer/internal/pystr"
)

// kind is the kind of a token; operators are their own spelling.
type kind string

// The kinds of tokens that are no operators.
const (
	kindEnd        kind = "end of template"
	kindData       kind = "text"
	kindVariable   kind = "{{"
	kindVariableOf kind = "}}"
	kindBlock      kind = "{%"
	kindBlockEnd   kind = "%}"
	kindName       kind = "name"
	kindString     kind = "string"
	kindInteger    kind = "integer"
	kindFloat      kind = "float"
)

// pos is a place in a template, both from 1; the zero pos is not known. Columns count characters.
type pos struct{ line, col int }

// token is a piece of a template: Val is the text between tags, a name, the value of a string, or
// how a number or operator is spelled.
type token struct {
	kind
	val string
	pos
}

// shown is the token as an error shows it.
func (t token) shown() string {
	switch t.kind {
	case kindEnd:
		return string(kindEnd)
	case kindName, kindInteger, kindFloat:
		return strconv.Quote(t.val)
	case kindString:
		return "the string " + strconv.Quote(t.val)
	}
	return strconv.Quote(string(t.kind))
}

// operators of expressions, longest first.
var operators = []string{"==", "!=", ">=", "<=", "//", "**", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{",
	"}", ">", "<",
	"=", ".", ":", "|", ",", ";"}

// lexer turns a template into tokens as Jinja's own lexer does (jinja2/lexer.py, tokeniter): with
// trim, the line end after a block is left out, and with it the blanks between the beginning of a
// line and a block.
type lexer struct {
	source string
	at     int // bytes read
	trim   bool
	lines  []int // byte offsets of the beginnings of lines
	out    []token
}

// lex reads a whole template. Every line end becomes "\n", and without keepEnd the last is left out.
func lex(source string, trim, keepEnd bool) ([]token, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	if !keepEnd {
		source = strings.TrimSuffix(source, "\n")
	}
	l := &lexer{source: source, trim: trim, lines: []int{0}}
	for i, c := range []byte(source) {
		if c == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	for l.at < len(l.source) {
		if err := l.root(); err != nil {
			return nil, err
		}
	}
	l.emit(kindEnd, "", len(l.source))
	return l.out, nil
}

// pos gives the place of a byte.
func (l *lexer) pos(at int) pos {
	i, exact := slices.BinarySearch(l.lines, at)
	if !exact {
		i--
	}
	return pos{i + 1, utf8.RuneCountInString(l.source[l.lines[i]:at]) + 1}
}

func (l *lexer) emit(k kind, val string, at int) {
	l.out = append(l.out, token{k, val, l.pos(at)})
}

func (l *lexer) fail(at int, format string, args ...any) error {
	p := l.pos(at)
	return &Error{Line: p.line, Col: p.col, Msg: fmt.Sprintf(format, args...)}
}

// data emits the text up to a tag that begins at end with a sign, "-", "+" or "".
func (l *lexer) data(end int, sign string, block bool) {
	text := l.source[l.at:end]
	switch {
	case sign == "-":
		text = strings.TrimRightFunc(text, pystr.IsSpace)
	case sign != "+" && l.trim && block:
		begin := strings.LastIndexByte(text, '\n') + 1
		starts := l.at == 0 || l.source[l.at-1] == '\n'
		if (begin > 0 || starts) && strings.TrimFunc(text[begin:], pystr.IsSpace) == "" {
			text = text[:begin]
		}
	}
	if text != "" {
		l.emit(kindData, text, l.at)
	}
}

// root reads text up to the next tag, and the tag.
func (l *lexer) root() error {
	begin := l.at
	for {
		i := strings.IndexByte(l.source[begin:], '{')
		if i < 0 || begin+i+1 >= len(l.source) {
			l.data(len(l.source), "+", false)
			l.at = len(l.source)
			return nil
		}
		begin += i
		if strings.IndexByte("{%#", l.source[begin+1]) >= 0 {
			break
		}
		begin++
	}
	sign, inside := "", begin+2
	if inside < len(l.source) && (l.source[inside] == '-' || l.source[inside] == '+') {
		sign = l.source[inside : inside+1]
		inside++
	}
	tag := l.source[begin : begin+2]
	l.data(begin, sign, tag != "{{")
	l.at = inside
	switch tag {
	case "{#":
		end := strings.Index(l.source[inside:], "#}")
		if end < 0 {
			return l.fail(begin, "a comment, {#, has no end, #}")
		}
		end += inside
		l.at = end + 2
		// "{#-#}" is a comment whose one sign belongs to its beginning.
		l.after(end > inside && l.source[end-1] == '-', end > inside && l.source[end-1] == '+', true)
		return nil
	case "{%":
		if rest, ok := l.word(inside, "raw"); ok {
			l.at = rest
			l.after(l.source[rest-3] == '-', true, true)
			return l.raw(begin)
		}
		l.emit(kindBlock, "", begin)
		return l.expression("%}", kindBlockEnd, begin)
	}
	l.emit(kindVariable, "", begin)
	return l.expression("}}", kindVariableOf, begin)
}

// after applies white space control behind a tag that has just been read.
func (l *lexer) after(minus, plus, block bool) {
	switch {
	case minus:
		rest := strings.TrimLeftFunc(l.source[l.at:], pystr.IsSpace)
		l.at = len(l.source) - len(rest)
	case l.trim && block && !plus && strings.HasPrefix(l.source[l.at:], "\n"):
		l.at++
	}
}

// word recognises "name %}" or "name -%}" and gives what is behind it.
func (l *lexer) word(at int, name string) (rest int, ok bool) {
	tail := strings.TrimLeftFunc(l.source[at:], pystr.IsSpace)
	tail, ok = strings.CutPrefix(tail, name)
	if !ok {
		return 0, false
	}
	tail = strings.TrimLeftFunc(tail, pystr.IsSpace)
	for _, sign := range []string{"", "-", "+"} {
		if behind, ok := strings.CutPrefix(tail, sign+"%}"); ok {
			return len(l.source) - len(behind), true
		}
	}
	return 0, false
}

// raw reads the text of {% raw %} up to {% endraw %}.
func (l *lexer) raw(begin int) error {
	for from := l.at; ; {
		i := strings.Index(l.source[from:], "{%")
		if i < 0 {
			return l.fail(begin, "{%% raw %%} has no {%% endraw %%}")
		}
		from += i + 2
		sign, inside := "", from
		if inside < len(l.source) && (l.source[inside] == '-' || l.source[inside] == '+') {
			sign = l.source[inside : inside+1]
			inside++
		}
		if rest, ok := l.word(inside, "endraw"); ok {
			l.data(from-2, sign, true)
			l.at = rest
			l.after(l.source[rest-3] == '-', l.source[rest-3] == '+', true)
			return nil
		}
	}
}

// expression reads what is inside of a tag, and its end.
func (l *lexer) expression(end string, k kind, begin int) error {
	var open []byte // brackets that are open
	for {
		rest := strings.TrimLeftFunc(l.source[l.at:], pystr.IsSpace)
		l.at = len(l.source) - len(rest)
		if rest == "" {
			return l.fail(begin, "%q has no end, %q", map[string]string{"%}": "{%", "}}": "{{"}[end], end)
		}
		if len(open) == 0 {
			sign := ""
			if rest[0] == '-' || rest[0] == '+' && end == "%}" {
				sign = rest[:1]
			}
			if strings.HasPrefix(rest[len(sign):], end) {
				l.emit(k, "", l.at)
				l.at += len(sign) + 2
				l.after(sign == "-", sign == "+", end == "%}")
				return nil
			}
		}
		c, _ := utf8.DecodeRuneInString(rest)
		switch {
		case '0' <= c && c <= '9':
			l.number(rest)
		case c == '_' || unicode.IsLetter(c):
			n := strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && !unicode.In(r, unicode.L, unicode.N,
					unicode.Mn, unicode.Mc)
			})
			if n < 0 {
				n = len(rest)
			}
			l.emit(kindName, rest[:n], l.at)
			l.at += n
		case c == '"' || c == '\'':
			if err := l.text(rest, byte(c)); err != nil {
				return err
			}
		default:
			i := slices.IndexFunc(operators, func(op string) bool { return strings.HasPrefix(rest, op) })
			if i < 0 {
				return l.fail(l.at, "unexpected %q", string(c))
			}
			op := operators[i]
			switch op {
			case "(", "[", "{":
				open = append(open, map[string]byte{"(": ')', "[": ']', "{": '}'}[op])
			case ")", "]", "}":
				if len(open) == 0 {
					return l.fail(l.at, "unexpected %q", op)
				}
				if want := open[len(open)-1]; want != op[0] {
					return l.fail(l.at, "unexpected %q, want %q", op, string(want))
				}
				open = open[:len(open)-1]
			}
			l.emit(kind(op), "", l.at)
			l.at += len(op)
		}
	}
}

// number reads a whole number or a float.
func (l *lexer) number(rest string) {
	digits := func(s string, ok func(byte) bool) int {
		n := 0
		for n < len(s) && (ok(s[n]) || s[n] == '_' && n+1 < len(s) && ok(s[n+1])) {
			n++
		}
		return n
	}
	decimal := func(c byte) bool { return '0' <= c && c <= '9' }
	k, n := kindInteger, 0
	if len(rest) > 2 && rest[0] == '0' && strings.IndexByte("xXoObB", rest[1]) >= 0 {
		n = 2 + digits(rest[2:], func(c byte) bool { return decimal(c) || 'a' <= c|0x20 && c|0x20 <= 'f' })
	}
	if n <= 2 {
		n = digits(rest, decimal)
		afterDot := len(l.out) > 0 && l.out[len(l.out)-1].kind == "."
		if f := digits(strings.TrimPrefix(rest[n:], "."), decimal); !afterDot && f > 0 && rest[n] == '.' {
			k, n = kindFloat, n+1+f
		}
		if !afterDot && n < len(rest) && rest[n]|0x20 == 'e' {
			e := n + 1
			if e < len(rest) && (rest[e] == '+' || rest[e] == '-') {
				e++
			}
			if d := digits(rest[e:], decimal); d > 0 {
				k, n = kindFloat, e+d
			}
		}
	}
	l.emit(k, strings.ReplaceAll(rest[:n], "_", ""), l.at)
	l.at += n
}

// text reads a string with Python's escapes.
func (l *lexer) text(rest string, quote byte) error {
	end := 1
	for end < len(rest) && rest[end] != quote {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return l.fail(l.at, "a string has no end, %s", string(quote))
	}
	val, err := unescape(rest[1:end])
	if err != nil {
		return l.fail(l.at, "%v", err)
	}
	l.emit(kindString, val, l.at)
	l.at += end + 1
	return nil
}

// escapes of one character.
var escapes = map[byte]string{'\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r",
	't': "\t", 'v': "\v",
	'\n': ""}

// unescape reads the escapes of a Python string; those that Python does not know stay as they are.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		one, known := escapes[s[i]]
		width, base := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]], 16
		switch {
		case known:
			b.WriteString(one)
			continue
		case s[i] == 'N':
			return "", fmt.Errorf(`the escape \N{...} is not supported: write the character`)
		case '0' <= s[i] && s[i] <= '7':
			for i--; width < 3 && i+1+width < len(s) && '0' <= s[i+1+width] && s[i+1+width] <= '7'; {
				width++
			}
			base = 8
		case width == 0:
			b.WriteByte('\\')
			b.WriteByte(s[i])
			continue
		}
		if i+1+width > len(s) {
			return "", fmt.Errorf(`the escape \%c is cut short`, s[i])
		}
		code, err := strconv.ParseUint(s[i+1:i+1+width], base, 32)
		if err != nil || !utf8.ValidRune(rune(code)) {
			return "", fmt.Errorf(`the escape \%s is no character`, s[i:i+1+width])
		}
		b.WriteRune(rune(code))
		i += width
	}
	return b.String(), nil
}
