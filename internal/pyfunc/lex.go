package pyfunc

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	tokEnd kind = iota
	tokName
	tokNumber
	tokString
	tokOp
	tokNewline
	tokIndent
	tokDedent
)

type token struct {
	kind kind
	text string // of a string its value
	line int
	// f: an f-string, text is its source; bytes are refused.
	f   bool
	raw bool
}

type lexer struct {
	s      string
	at     int
	line   int
	depth  int // of brackets
	indent []int
	out    []token
	begin  bool // at the beginning of a logical line
}

// operators, the longest first.
var operators = []string{"**=", "//=", ">>=", "<<=", "...", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->",
	"+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", ":=", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">",
	"(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "="}

// lex splits a file into tokens.
func lex(source string, line int) ([]token, error) {
	l := &lexer{s: strings.ReplaceAll(strings.TrimPrefix(source, "\ufeff"), "\r\n", "\n"), line: line,
		indent: []int{0}, begin: true}
	for l.at < len(l.s) {
		if l.begin && l.depth == 0 {
			if done, err := l.margin(); err != nil {
				return nil, err
			} else if done {
				continue
			}
		}
		if err := l.next(); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	if !l.begin {
		l.add(tokNewline, "")
	}
	for range l.indent[1:] {
		l.add(tokDedent, "")
	}
	l.add(tokEnd, "")
	return l.out, nil
}

func (l *lexer) add(k kind, text string) {
	l.out = append(l.out, token{kind: k, text: text, line: l.line})
}

// margin reads the blanks at the beginning of a line; done if the line holds nothing.
func (l *lexer) margin() (done bool, err error) {
	width, i := 0, l.at
	for ; i < len(l.s) && (l.s[i] == ' ' || l.s[i] == '\t' || l.s[i] == '\f'); i++ {
		if width++; l.s[i] == '\t' {
			width += 7 - (width-1)%8
		}
	}
	if i == len(l.s) || l.s[i] == '\n' || l.s[i] == '#' {
		for i < len(l.s) && l.s[i] != '\n' {
			i++
		}
		l.at = min(i+1, len(l.s))
		l.line++
		return true, nil
	}
	l.at, l.begin = i, false
	switch top := l.indent[len(l.indent)-1]; {
	case width > top:
		l.indent = append(l.indent, width)
		l.add(tokIndent, "")
	case width < top:
		for l.indent[len(l.indent)-1] > width {
			l.indent = l.indent[:len(l.indent)-1]
			l.add(tokDedent, "")
		}
		if l.indent[len(l.indent)-1] != width {
			return false, fmt.Errorf("line %d: the indentation fits no line above", l.line)
		}
	}
	return false, nil
}

// next reads one token.
func (l *lexer) next() error {
	rest := l.s[l.at:]
	c := rest[0]
	switch {
	case c == '\n':
		l.at++
		if l.depth == 0 {
			l.add(tokNewline, "")
			l.begin = true
		}
		l.line++
		return nil
	case c == ' ' || c == '\t' || c == '\f':
		l.at++
		return nil
	case c == '#':
		for l.at < len(l.s) && l.s[l.at] != '\n' {
			l.at++
		}
		return nil
	case strings.HasPrefix(rest, "\\\n"):
		l.at += 2
		l.line++
		return nil
	case c >= '0' && c <= '9' || c == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		n := 1
		for n < len(rest) && (isWord(rest[n]) || rest[n] == '.' ||
			(rest[n] == '+' || rest[n] == '-') && (rest[n-1] == 'e' || rest[n-1] == 'E') &&
				!strings.HasPrefix(rest, "0x")) {
			n++
		}
		l.add(tokNumber, strings.ReplaceAll(rest[:n], "_", ""))
		l.at += n
		return nil
	}
	if n, ok := l.prefix(rest); ok {
		return l.text(rest[:n], n)
	}
	if r, _ := utf8.DecodeRuneInString(rest); r == '_' || unicode.IsLetter(r) {
		n := 0
		for n < len(rest) {
			r, size := utf8.DecodeRuneInString(rest[n:])
			if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				break
			}
			n += size
		}
		l.add(tokName, rest[:n])
		l.at += n
		return nil
	}
	return l.operator(rest)
}

// operator reads one that is not a word.
func (l *lexer) operator(rest string) error {
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			switch op {
			case "(", "[", "{":
				l.depth++
			case ")", "]", "}":
				l.depth--
			}
			l.add(tokOp, op)
			l.at += len(op)
			return nil
		}
	}
	return fmt.Errorf("%q is not understood", rest[:1])
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// prefix is the length of the letters before a quote, if a string begins here.
func (l *lexer) prefix(rest string) (n int, ok bool) {
	for n < len(rest) && n < 3 && strings.IndexByte("rRbBuUfF", rest[n]) >= 0 {
		n++
	}
	return n, n < len(rest) && (rest[n] == '"' || rest[n] == '\'')
}

// text reads a string.
func (l *lexer) text(prefix string, n int) error {
	prefix = strings.ToLower(prefix)
	rest := l.s[l.at+n:]
	quote := rest[:1]
	if strings.HasPrefix(rest, strings.Repeat(quote, 3)) {
		quote = rest[:3]
	}
	t := token{kind: tokString, line: l.line, f: strings.Contains(prefix, "f"), raw: strings.Contains(prefix, "r")}
	if strings.Contains(prefix, "b") {
		return fmt.Errorf("bytes are not supported")
	}
	i := len(quote)
	for ; ; i++ {
		if i >= len(rest) || rest[i] == '\n' && len(quote) == 1 {
			return fmt.Errorf("a text is not closed")
		}
		if strings.HasPrefix(rest[i:], quote) {
			break
		}
		if rest[i] == '\\' {
			if i++; i < len(rest) && rest[i] == '\n' {
				l.line++
			}
			continue
		}
		if rest[i] == '\n' {
			l.line++
		}
	}
	body := rest[len(quote):i]
	l.at += n + i + len(quote)
	t.text = body
	if !t.f {
		var err error
		if t.text, err = unescape(body, t.raw); err != nil {
			return err
		}
	}
	l.out = append(l.out, t)
	return nil
}

// unescape reads the escapes of a text.
func unescape(s string, raw bool) (string, error) {
	if raw || !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		const from, to = "\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v"
		k := strings.IndexByte(from, s[i])
		switch {
		case k >= 0:
			b.WriteByte(to[k])
		case s[i] == '\n':
		case s[i] == 'x' || s[i] == 'u' || s[i] == 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
			var r rune
			if i+n >= len(s) {
				return "", fmt.Errorf("\\%c is cut short", s[i])
			}
			if _, err := fmt.Sscanf(s[i+1:i+1+n], "%x", &r); err != nil {
				return "", fmt.Errorf("\\%c: %w", s[i], err)
			}
			b.WriteRune(r)
			i += n
		case s[i] >= '0' && s[i] <= '7':
			r := rune(0)
			for k := 0; k < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; k++ {
				r = r*8 + rune(s[i]-'0')
				i++
			}
			i--
			b.WriteRune(r)
		case s[i] == 'N':
			return "", fmt.Errorf(`\N{...} is not supported`)
		default:
			b.WriteString(`\` + string(s[i]))
		}
	}
	return b.String(), nil
}
