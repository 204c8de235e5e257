package pyfunc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type parser struct {
	t  []token
	at int
}

func (p *parser) peek() token { return p.t[p.at] }

func (p *parser) next() token {
	t := p.t[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

// is tells whether an operator or keyword comes next.
func (p *parser) is(text string) bool {
	t := p.peek()
	return (t.kind == tokOp || t.kind == tokName) && t.text == text
}

// take reads an operator or keyword if it comes next.
func (p *parser) take(text string) bool {
	if p.is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", p.peek().line, fmt.Sprintf(format, args...))
}

func (p *parser) want(text string) error {
	if !p.take(text) {
		return p.fail("want %q, got %q", text, p.peek().text)
	}
	return nil
}

func (p *parser) word() (string, error) {
	t := p.peek()
	if t.kind != tokName || slices.Contains(keywords, t.text) {
		return "", p.fail("want a name, got %q", t.text)
	}
	p.at++
	return t.text, nil
}

var keywords = []string{"False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
	"def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
	"nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield"}

// expressionList reads one expression, or several that make a tuple.
func (p *parser) expressionList() (node, error) {
	first, err := p.starOr()
	if err != nil || !p.is(",") {
		return first, err
	}
	items := []node{first}
	for p.take(",") {
		if p.endsList() {
			break
		}
		x, err := p.starOr()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return &display{"(", items}, nil
}

func (p *parser) endsList() bool {
	t := p.peek()
	return t.kind == tokNewline || t.kind == tokEnd || t.kind == tokOp &&
		slices.Contains([]string{")", "]", "}", "=", ":", ";"}, t.text)
}

func (p *parser) starOr() (node, error) {
	if p.take("*") {
		x, err := p.binary(0)
		return &starred{x}, err
	}
	return p.expr()
}

// expr reads an expression: a conditional, a lambda, or what binds tighter.
func (p *parser) expr() (node, error) {
	if p.is("lambda") {
		return p.lambda()
	}
	if t := p.peek(); t.kind == tokName && p.t[p.at+1].kind == tokOp && p.t[p.at+1].text == ":=" {
		p.at += 2
		x, err := p.expr()
		return &assigned{t.text, x}, err
	}
	x, err := p.or()
	if err != nil || !p.take("if") {
		return x, err
	}
	cond, err := p.or()
	if err != nil {
		return nil, err
	}
	if err := p.want("else"); err != nil {
		return nil, err
	}
	no, err := p.expr()
	return &conditional{cond, x, no}, err
}

func (p *parser) lambda() (node, error) {
	d := &definition{line: p.next().line}
	var err error
	if d.params, err = p.params(":", false); err != nil {
		return nil, err
	}
	d.result, err = p.expr()
	return d, err
}

// params reads the parameters of a function up to a closing token.
func (p *parser) params(end string, annotated bool) ([]param, error) {
	var out []param
	byName := false
	for !p.take(end) {
		if p.take("/") {
			p.take(",")
			continue
		}
		var x param
		switch {
		case p.take("**"):
			x.star = "**"
		case p.take("*"):
			x.star = "*"
			byName = true
			if p.take(",") {
				continue
			}
		default:
			x.byName = byName
		}
		var err error
		if x.id, err = p.word(); err != nil {
			return nil, err
		}
		if annotated && p.take(":") {
			if _, err := p.expr(); err != nil {
				return nil, err
			}
		}
		if p.take("=") {
			if x.value, err = p.expr(); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
		if !p.take(",") && !p.is(end) {
			return nil, p.fail("want , or %s, got %q", end, p.peek().text)
		}
	}
	return out, nil
}

func (p *parser) or() (node, error) {
	a, err := p.and()
	for err == nil && p.take("or") {
		var b node
		b, err = p.and()
		a = &logical{"or", a, b}
	}
	return a, err
}

func (p *parser) and() (node, error) {
	a, err := p.not()
	for err == nil && p.take("and") {
		var b node
		b, err = p.not()
		a = &logical{"and", a, b}
	}
	return a, err
}

func (p *parser) not() (node, error) {
	if p.take("not") {
		x, err := p.not()
		return &unary{"not", x}, err
	}
	return p.compare()
}

func (p *parser) compare() (node, error) {
	first, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	c := &comparison{first: first, line: p.peek().line}
	for {
		op := p.peek().text
		switch {
		case p.peek().kind == tokOp && slices.Contains([]string{"<", ">", "<=", ">=", "==", "!="}, op):
			p.at++
		case p.take("in"):
		case p.is("not") && p.t[p.at+1].text == "in":
			p.at += 2
			op = "not in"
		case p.take("is"):
			if p.take("not") {
				op = "is not"
			}
		default:
			if len(c.ops) == 0 {
				return first, nil
			}
			return c, nil
		}
		x, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, x)
	}
}

// levels are the operators by how tightly they bind, the loosest first.
var levels = [][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}}

func (p *parser) binary(level int) (node, error) {
	if level == len(levels) {
		return p.unary()
	}
	a, err := p.binary(level + 1)
	for err == nil && p.peek().kind == tokOp && slices.Contains(levels[level], p.peek().text) {
		op := p.next()
		var b node
		b, err = p.binary(level + 1)
		a = &binary{op.text, a, b, op.line}
	}
	return a, err
}

func (p *parser) unary() (node, error) {
	if t := p.peek(); t.kind == tokOp && (t.text == "-" || t.text == "+" || t.text == "~") {
		p.at++
		x, err := p.unary()
		return &unary{t.text, x}, err
	}
	x, err := p.primary()
	if err == nil && p.is("**") {
		line := p.next().line
		var b node
		b, err = p.unary()
		return &binary{"**", x, b, line}, err
	}
	return x, err
}

func (p *parser) primary() (node, error) {
	x, err := p.atom()
	for err == nil {
		line := p.peek().line
		switch {
		case p.take("."):
			var id string
			id, err = p.word()
			x = &attribute{x, id, line}
		case p.take("("):
			x, err = p.call(x, line)
		case p.take("["):
			var index node
			if index, err = p.index(); err == nil {
				err = p.want("]")
			}
			x = &subscript{x, index, line}
		default:
			return x, nil
		}
	}
	return nil, err
}

// index reads what stands in square brackets: an expression, several, or a slice.
func (p *parser) index() (node, error) {
	var parts [3]node
	colons := 0
	for !p.is("]") {
		if p.take(":") {
			if colons++; colons > 2 {
				return nil, p.fail("want at most two colons in []")
			}
			continue
		}
		x, err := p.expressionList()
		if err != nil {
			return nil, err
		}
		if parts[colons] = x; !p.is(":") && !p.is("]") {
			return nil, p.fail("want ], got %q", p.peek().text)
		}
	}
	if colons == 0 {
		if parts[0] == nil {
			return nil, p.fail("want an index")
		}
		return parts[0], nil
	}
	return &slicing{parts[0], parts[1], parts[2]}, nil
}

func (p *parser) call(fn node, line int) (node, error) {
	c := &call{fn: fn, line: line}
	for !p.take(")") {
		t := p.peek()
		switch {
		case p.take("**"):
			x, err := p.expr()
			if err != nil {
				return nil, err
			}
			c.names, c.named = append(c.names, "**"), append(c.named, x)
		case t.kind == tokName && p.t[p.at+1].kind == tokOp && p.t[p.at+1].text == "=":
			p.at += 2
			x, err := p.expr()
			if err != nil {
				return nil, err
			}
			c.names, c.named = append(c.names, t.text), append(c.named, x)
		default:
			x, err := p.starOr()
			if err != nil {
				return nil, err
			}
			if p.is("for") {
				if x, err = p.comprehension("(", nil, x); err != nil {
					return nil, err
				}
			}
			c.args = append(c.args, x)
		}
		if !p.take(",") && !p.is(")") {
			return nil, p.fail("want , or ), got %q", p.peek().text)
		}
	}
	return c, nil
}

func (p *parser) comprehension(kind string, key, value node) (node, error) {
	c := &comprehension{kind: kind, key: key, value: value}
	for p.take("for") {
		target, err := p.targets()
		if err != nil {
			return nil, err
		}
		if err := p.want("in"); err != nil {
			return nil, err
		}
		over, err := p.or()
		if err != nil {
			return nil, err
		}
		next := clause{target: target, over: over}
		for p.take("if") {
			cond, err := p.or()
			if err != nil {
				return nil, err
			}
			next.conditions = append(next.conditions, cond)
		}
		c.clauses = append(c.clauses, next)
	}
	return c, nil
}

// targets reads what a loop assigns to.
func (p *parser) targets() (node, error) {
	var items []node
	for {
		x, err := p.primary()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
		if !p.take(",") {
			break
		}
		if p.is("in") {
			break
		}
	}
	if len(items) == 1 {
		return items[0], nil
	}
	return &display{"(", items}, nil
}

func (p *parser) atom() (node, error) {
	t := p.peek()
	switch t.kind {
	case tokNumber:
		p.at++
		return number(t)
	case tokString:
		return p.strings()
	case tokName:
		switch t.text {
		case "None", "True", "False":
			p.at++
			return &constant{map[string]any{"True": true, "False": false}[t.text]}, nil
		}
		id, err := p.word()
		return &name{id, t.line}, err
	case tokOp:
		switch t.text {
		case "(":
			p.at++
			return p.round()
		case "[":
			p.at++
			return p.square()
		case "{":
			p.at++
			return p.curly()
		case "...":
			p.at++
			return &constant{nil}, nil
		}
	}
	return nil, p.fail("%q is not understood here", t.text)
}

func number(t token) (node, error) {
	if i, err := strconv.ParseInt(t.text, 0, 64); err == nil && (len(t.text) == 1 || t.text[0] != '0' ||
		strings.ContainsAny(t.text, "xXoObB")) {
		return &constant{int(i)}, nil
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil || !strings.ContainsAny(t.text, ".eE") {
		return nil, fmt.Errorf("line %d: the number %q is not understood", t.line, t.text)
	}
	return &constant{f}, nil
}

// strings reads texts that stand side by side.
func (p *parser) strings() (node, error) {
	out := &fstring{}
	plain := true
	for p.peek().kind == tokString {
		t := p.next()
		if !t.f {
			out.parts = append(out.parts, fpart{text: t.text})
			continue
		}
		plain = false
		parts, err := formatted(t.text, t.raw, t.line)
		if err != nil {
			return nil, err
		}
		out.parts = append(out.parts, parts...)
	}
	if !plain {
		return out, nil
	}
	var b strings.Builder
	for _, part := range out.parts {
		b.WriteString(part.text)
	}
	return &constant{b.String()}, nil
}

func (p *parser) round() (node, error) {
	if p.take(")") {
		return &display{"(", nil}, nil
	}
	x, err := p.starOr()
	if err != nil {
		return nil, err
	}
	if p.is("for") {
		if x, err = p.comprehension("(", nil, x); err != nil {
			return nil, err
		}
		return x, p.want(")")
	}
	if p.take(")") {
		return x, nil
	}
	items, err := p.rest(x, ")")
	return &display{"(", items}, err
}

// rest reads the further items of a display up to its end.
func (p *parser) rest(first node, end string) ([]node, error) {
	items := []node{first}
	for p.take(",") && !p.is(end) {
		x, err := p.starOr()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, p.want(end)
}

func (p *parser) square() (node, error) {
	if p.take("]") {
		return &display{"[", nil}, nil
	}
	x, err := p.starOr()
	if err != nil {
		return nil, err
	}
	if p.is("for") {
		if x, err = p.comprehension("[", nil, x); err != nil {
			return nil, err
		}
		return x, p.want("]")
	}
	items, err := p.rest(x, "]")
	return &display{"[", items}, err
}

func (p *parser) curly() (node, error) {
	if p.take("}") {
		return &dictDisplay{}, nil
	}
	if p.is("**") {
		return p.dict(&dictDisplay{})
	}
	x, err := p.starOr()
	if err != nil {
		return nil, err
	}
	if !p.take(":") {
		if p.is("for") {
			if x, err = p.comprehension("{", nil, x); err != nil {
				return nil, err
			}
			return x, p.want("}")
		}
		items, err := p.rest(x, "}")
		return &display{"{", items}, err
	}
	value, err := p.expr()
	if err != nil {
		return nil, err
	}
	if p.is("for") {
		c, err := p.comprehension("{:", x, value)
		if err != nil {
			return nil, err
		}
		return c, p.want("}")
	}
	d := &dictDisplay{keys: []node{x}, values: []node{value}}
	if !p.take(",") {
		return d, p.want("}")
	}
	return p.dict(d)
}

func (p *parser) dict(d *dictDisplay) (node, error) {
	for !p.take("}") {
		var key, value node
		var err error
		if p.take("**") {
			value, err = p.or()
		} else if key, err = p.expr(); err == nil {
			if err = p.want(":"); err == nil {
				value, err = p.expr()
			}
		}
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, key), append(d.values, value)
		if !p.take(",") && !p.is("}") {
			return nil, p.fail("want , or }, got %q", p.peek().text)
		}
	}
	return d, nil
}

// formatted takes an f-string apart.
func formatted(s string, raw bool, line int) ([]fpart, error) {
	var out []fpart
	var b strings.Builder
	flush := func() error {
		text, err := unescape(b.String(), raw)
		if err == nil && text != "" {
			out = append(out, fpart{text: text})
		}
		b.Reset()
		return err
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}"):
			b.WriteByte(s[i])
			i += 2
		case s[i] == '{':
			if err := flush(); err != nil {
				return nil, err
			}
			end, part, err := placeholder(s[i+1:], raw, line)
			if err != nil {
				return nil, fmt.Errorf("line %d: f-string: %w", line, err)
			}
			out = append(out, part)
			i += end + 2
		case s[i] == '}':
			return nil, fmt.Errorf("line %d: f-string: a single }", line)
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return out, flush()
}

// placeholder reads {expression!r:spec}; end is where its } is.
func placeholder(s string, raw bool, line int) (end int, part fpart, err error) {
	depth, quote := 0, byte(0)
	colon, bang := -1, -1
	for end = 0; end < len(s); end++ {
		c := s[end]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && colon < 0:
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == '}' && depth > 0:
			depth--
		case c == '}':
			return end, part, part.read(s[:end], bang, colon, raw, line)
		case c == ':' && depth == 0 && colon < 0:
			colon = end
		case c == '!' && depth == 0 && bang < 0 && colon < 0 && end+1 < len(s) && s[end+1] != '=':
			bang = end
		}
	}
	return 0, part, fmt.Errorf("a { is not closed")
}

func (x *fpart) read(s string, bang, colon int, raw bool, line int) error {
	if colon >= 0 {
		parts, err := formatted(s[colon+1:], raw, line)
		if err != nil {
			return err
		}
		x.spec = &fstring{parts}
		s = s[:colon]
	}
	if bang >= 0 {
		x.convert = strings.TrimSpace(s[bang+1:])
		s = s[:bang]
	}
	if strings.HasSuffix(strings.TrimSpace(s), "=") {
		return fmt.Errorf("{name=} is not supported")
	}
	tokens, err := lex("("+strings.TrimSpace(s)+")", line)
	if err != nil {
		return err
	}
	x.value, err = (&parser{t: tokens}).expr()
	return err
}
