package pyfunc

import (
	"slices"
)

// file reads all statements of a file. One that is not understood is remembered with the names
// that it would define.
func (p *parser) file() []node {
	var out []node
	for p.peek().kind != tokEnd {
		if p.peek().kind == tokNewline {
			p.at++
			continue
		}
		start := p.at
		s, err := p.statement()
		if err != nil {
			p.at = start
			out = append(out, &unreadable{p.skip(), err})
			continue
		}
		out = append(out, s...)
	}
	return out
}

// skip passes over a statement, and gives the names that it seems to define.
func (p *parser) skip() (ids []string) {
	depth := 0
	first := p.peek()
	for p.peek().kind != tokEnd {
		t := p.next()
		if t.kind == tokName && (first.text == "def" || first.text == "class" || first.text == "@") {
			if before := p.t[max(0, p.at-2)]; depth == 0 && (before.text == "def" || before.text == "class") {
				ids = append(ids, t.text)
			}
		} else if t.kind == tokName && !slices.Contains(keywords, t.text) && first.text != "@" {
			ids = append(ids, t.text)
		}
		switch t.kind {
		case tokIndent:
			depth++
		case tokDedent:
			depth--
		}
		if depth == 0 && (t.kind == tokNewline && p.peek().kind != tokIndent || t.kind == tokDedent) &&
			!(first.text == "@" && len(ids) == 0) {
			break
		}
	}
	return ids
}

// statement reads one statement, or several on a line.
func (p *parser) statement() ([]node, error) {
	t := p.peek()
	if t.kind == tokName {
		switch t.text {
		case "if":
			s, err := p.ifStatement()
			return []node{s}, err
		case "for":
			s, err := p.forStatement()
			return []node{s}, err
		case "while":
			s, err := p.whileStatement()
			return []node{s}, err
		case "try":
			s, err := p.tryStatement()
			return []node{s}, err
		case "def":
			s, err := p.def()
			return []node{s}, err
		case "class", "with", "async", "yield", "await":
			return nil, p.fail("%s is not supported", t.text)
		}
	}
	if p.is("@") {
		return nil, p.fail("decorators are not supported")
	}
	var out []node
	for {
		s, err := p.simple()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		if !p.take(";") || p.peek().kind == tokNewline {
			break
		}
	}
	if p.peek().kind != tokNewline && p.peek().kind != tokEnd {
		return nil, p.fail("%q is not understood here", p.peek().text)
	}
	p.next()
	return out, nil
}

// block reads the statements under a colon.
func (p *parser) block() ([]node, error) {
	if err := p.want(":"); err != nil {
		return nil, err
	}
	if p.peek().kind != tokNewline {
		return p.statement()
	}
	p.at++
	if p.peek().kind != tokIndent {
		return nil, p.fail("want an indented block")
	}
	p.at++
	var out []node
	for p.peek().kind != tokDedent {
		if p.peek().kind == tokEnd {
			return out, nil
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	p.at++
	return out, nil
}

func (p *parser) ifStatement() (node, error) {
	p.at++
	cond, err := p.expr()
	if err != nil {
		return nil, err
	}
	b := &branch{cond: cond}
	if b.yes, err = p.block(); err != nil {
		return nil, err
	}
	switch {
	case p.is("elif"):
		s, err := p.ifStatement()
		b.no = []node{s}
		return b, err
	case p.take("else"):
		b.no, err = p.block()
	}
	return b, err
}

func (p *parser) forStatement() (node, error) {
	l := &loop{line: p.next().line}
	var err error
	if l.target, err = p.targets(); err != nil {
		return nil, err
	}
	if err := p.want("in"); err != nil {
		return nil, err
	}
	if l.over, err = p.expressionList(); err != nil {
		return nil, err
	}
	if l.body, err = p.block(); err == nil && p.take("else") {
		l.no, err = p.block()
	}
	return l, err
}

func (p *parser) whileStatement() (node, error) {
	w := &while{line: p.next().line}
	var err error
	if w.cond, err = p.expr(); err != nil {
		return nil, err
	}
	w.body, err = p.block()
	return w, err
}

func (p *parser) tryStatement() (node, error) {
	p.at++
	a := &attempt{}
	var err error
	if a.body, err = p.block(); err != nil {
		return nil, err
	}
	for p.take("except") {
		var h handler
		if !p.is(":") {
			x, err := p.expr()
			if err != nil {
				return nil, err
			}
			if h.kinds, err = p.kinds(x); err != nil {
				return nil, err
			}
			if p.take("as") {
				if h.as, err = p.word(); err != nil {
					return nil, err
				}
			}
		}
		if h.body, err = p.block(); err != nil {
			return nil, err
		}
		a.handlers = append(a.handlers, h)
	}
	if p.take("else") {
		if a.no, err = p.block(); err != nil {
			return nil, err
		}
	}
	if p.take("finally") {
		a.end, err = p.block()
	}
	return a, err
}

// kinds lists the exceptions that a handler names.
func (p *parser) kinds(x node) ([]string, error) {
	switch x := x.(type) {
	case *name:
		return []string{x.id}, nil
	case *attribute:
		return []string{x.id}, nil
	case *display:
		var out []string
		for _, i := range x.items {
			k, err := p.kinds(i)
			if err != nil {
				return nil, err
			}
			out = append(out, k...)
		}
		return out, nil
	}
	return nil, p.fail("want the name of an exception")
}

func (p *parser) def() (node, error) {
	d := &definition{line: p.next().line}
	var err error
	if d.id, err = p.word(); err != nil {
		return nil, err
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	if d.params, err = p.params(")", true); err != nil {
		return nil, err
	}
	if p.take("->") {
		if _, err := p.expr(); err != nil {
			return nil, err
		}
	}
	d.body, err = p.block()
	return d, err
}

// simple reads a statement of one line.
func (p *parser) simple() (node, error) {
	t := p.peek()
	if t.kind == tokName {
		switch t.text {
		case "return":
			p.at++
			if p.endsList() {
				return &returned{}, nil
			}
			x, err := p.expressionList()
			return &returned{x}, err
		case "break", "continue", "pass":
			p.at++
			return &jump{t.text}, nil
		case "import", "from":
			return p.importStatement()
		case "raise":
			p.at++
			r := &raised{line: t.line}
			if p.endsList() {
				return r, nil
			}
			var err error
			if r.x, err = p.expr(); err == nil && p.take("from") {
				_, err = p.expr()
			}
			return r, err
		case "assert":
			p.at++
			a := &asserted{line: t.line}
			var err error
			if a.cond, err = p.expr(); err == nil && p.take(",") {
				a.msg, err = p.expr()
			}
			return a, err
		case "del":
			p.at++
			x, err := p.expressionList()
			if d, ok := x.(*display); ok {
				return &deletion{d.items, t.line}, err
			}
			return &deletion{[]node{x}, t.line}, err
		case "global", "nonlocal":
			p.at++
			d := &declared{}
			for {
				id, err := p.word()
				if err != nil {
					return nil, err
				}
				if d.ids = append(d.ids, id); !p.take(",") {
					return d, nil
				}
			}
		}
	}
	return p.assignment()
}

func (p *parser) assignment() (node, error) {
	line := p.peek().line
	x, err := p.expressionList()
	if err != nil {
		return nil, err
	}
	if op := p.peek(); op.kind == tokOp && len(op.text) >= 2 && op.text[len(op.text)-1] == '=' &&
		!slices.Contains([]string{"==", "!=", "<=", ">=", ":="}, op.text) {
		p.at++
		value, err := p.expressionList()
		return &augmented{x, value, op.text[:len(op.text)-1], line}, err
	}
	if p.take(":") {
		if _, err := p.expr(); err != nil {
			return nil, err
		}
		if !p.is("=") {
			return &jump{"pass"}, nil
		}
	}
	a := &assignment{line: line}
	for p.take("=") {
		a.targets = append(a.targets, x)
		if x, err = p.expressionList(); err != nil {
			return nil, err
		}
	}
	if a.value = x; len(a.targets) == 0 {
		return &expression{x}, nil
	}
	return a, nil
}

func (p *parser) importStatement() (node, error) {
	t := p.next()
	m := &imported{line: t.line}
	var err error
	if m.module, err = p.dotted(); err != nil {
		return nil, err
	}
	if t.text == "import" {
		if p.take("as") {
			m.as, err = p.word()
		}
		if p.is(",") {
			return nil, p.fail("one module an import, please")
		}
		return m, err
	}
	if err := p.want("import"); err != nil {
		return nil, err
	}
	round := p.take("(")
	for {
		if p.take("*") {
			return nil, p.fail("import * is not supported")
		}
		id, err := p.word()
		if err != nil {
			return nil, err
		}
		as := id
		if p.take("as") {
			if as, err = p.word(); err != nil {
				return nil, err
			}
		}
		m.from = append(m.from, [2]string{id, as})
		if !p.take(",") || p.is(")") {
			break
		}
	}
	if round {
		err = p.want(")")
	}
	return m, err
}

// dotted reads the name of a module, dots before it counted.
func (p *parser) dotted() (string, error) {
	var out string
	for p.is(".") || p.is("...") {
		out += p.next().text
	}
	if out != "" && p.is("import") {
		return out, nil
	}
	for {
		id, err := p.word()
		if err != nil {
			return "", err
		}
		out += id
		if !p.take(".") {
			return out, nil
		}
		out += "."
	}
}
