package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds how deep a template is nested, and macros call each other.
const maxDepth = 400

// parser is Jinja's own recursive descent (jinja2/parser.py) over the tokens of a template.
type parser struct {
	tokens []token
	chat   bool // {% break %}, {% continue %} and {% generation %} are known
	depth  int
	loops  int  // {% for %} around the current place
	answer bool // {% generation %} was met
	// mentions are the names varargs and kwargs met in the macro that is read.
	mentions map[string]bool
}

func (p *parser) current() token { return p.tokens[0] }

func (p *parser) look() token { return p.tokens[min(1, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != kindEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) is(k kind) bool { return p.current().kind == k }

func (t token) named(names ...string) bool {
	return t.kind == kindName && slices.Contains(names, t.val)
}

func (p *parser) skip(k kind) bool {
	if !p.is(k) {
		return false
	}
	p.next()
	return true
}

func (p *parser) skipName(name string) bool {
	if !p.current().named(name) {
		return false
	}
	p.next()
	return true
}

// refuse is an error at a place. The parser leaves by panic, which Compile catches.
func (p *parser) refuse(at pos, format string, args ...any) {
	panic(&Error{Line: at.line, Col: at.col, Msg: fmt.Sprintf(format, args...)})
}

func (p *parser) expect(k kind) token {
	t := p.current()
	if t.kind != k {
		p.refuse(t.pos, "want %s, got %s", token{kind: k, val: "..."}.wanted(), t.shown())
	}
	return p.next()
}

// wanted is a kind of token as an error asks for it.
func (t token) wanted() string {
	if t.kind == kindName {
		return "a name"
	}
	return t.shown()
}

// enter counts how deep the grammar is.
func (p *parser) enter() func() {
	if p.depth++; p.depth > maxDepth {
		p.refuse(p.current().pos, "more than %d things nested in each other", maxDepth)
	}
	return func() { p.depth-- }
}

// statements reads up to a tag with one of the names, whose "{%" is then read; without names up to
// the end of the template. in is the tag that is open, for errors.
func (p *parser) statements(in token, until ...string) []statement {
	defer p.enter()()
	var out []statement
	for {
		switch t := p.next(); t.kind {
		case kindEnd:
			if len(until) > 0 {
				p.refuse(in.pos, "{%% %s %%} has no {%% %s %%}", in.val, strings.Join(until, " %} or {% "))
			}
			return out
		case kindData:
			out = append(out, &dataStatement{text{s: t.val}})
		case kindVariable:
			out = append(out, &outputStatement{p.tuple(true)})
			p.expect(kindVariableOf)
		case kindBlock:
			if p.current().named(until...) {
				return out
			}
			out = append(out, p.statement(until))
			p.expect(kindBlockEnd)
		}
	}
}

// body reads from the end of a tag to {% end %} and over its name.
func (p *parser) body(in token, end string) []statement {
	p.expect(kindBlockEnd)
	out := p.statements(in, end)
	p.next()
	return out
}

func (p *parser) statement(open []string) statement {
	t := p.expect(kindName)
	switch t.val {
	case "if":
		return p.ifStatement(t)
	case "for":
		return p.forStatement(t)
	case "set":
		return p.setStatement(t)
	case "macro":
		return p.macro(t)
	case "call":
		st := &callBlock{pos: t.pos, signature: &signature{}}
		if p.is("(") {
			st.signature = p.signature()
		}
		call, ok := p.expression().(*callExpr)
		if !ok {
			p.refuse(t.pos, "{%% call %%} wants a call of a macro")
		}
		st.call = call
		st.body = p.taking(st.signature, func() []statement { return p.body(t, "endcall") })
		return st
	case "filter":
		f := p.filter(nil, true)
		return &filterBlock{t.pos, f.(*filterExpr), p.body(t, "endfilter")}
	case "with":
		return p.with(t)
	case "print":
		return &outputStatement{p.tuple(true)}
	}
	if st := p.chatStatement(t); st != nil {
		return st
	}
	among := ""
	if len(open) > 0 {
		among = fmt.Sprintf(" (expected here: {%% %s %%})", strings.Join(open, " %} or {% "))
	}
	switch t.val {
	case "extends", "block", "include", "import", "from", "autoescape", "do", "trans", "debug":
		p.refuse(t.pos, "{%% %s %%} is not supported: there is one template, without others%s", t.val, among)
	}
	p.refuse(t.pos, "the tag {%% %s %%} is not known%s", t.val, among)
	return nil
}

// chatStatement reads the statements that chat templates have beside Jinja's own.
func (p *parser) chatStatement(t token) statement {
	if !p.chat {
		return nil
	}
	switch t.val {
	case "break", "continue":
		if p.loops == 0 {
			p.refuse(t.pos, "{%% %s %%} outside of a loop", t.val)
		}
		return &leaveStatement{t.pos, t.val == "continue"}
	case "generation":
		p.answer = true
		return &generationStatement{p.apart(func() []statement { return p.body(t, "endgeneration") })}
	}
	return nil
}

// apart reads a body that loops around it cannot be left from.
func (p *parser) apart(read func() []statement) []statement {
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	return read()
}

func (p *parser) ifStatement(t token) statement {
	st := &ifStatement{}
	for {
		st.conditions = append(st.conditions, p.tuple(false))
		p.expect(kindBlockEnd)
		st.branches = append(st.branches, p.statements(t, "elif", "else", "endif"))
		switch p.next().val {
		case "elif":
			continue
		case "else":
			st.branches = append(st.branches, p.body(t, "endif"))
		}
		return st
	}
}

func (p *parser) forStatement(t token) statement {
	st := &forStatement{pos: t.pos, target: p.target("in", false)}
	if !p.skipName("in") {
		p.refuse(p.current().pos, "want \"in\", got %s: {%% for name in list %%}", p.current().shown())
	}
	st.over = p.tuple(false, "recursive")
	if p.skipName("if") {
		st.where = p.expression()
	}
	if p.current().named("recursive") {
		p.refuse(p.current().pos, "a recursive {%% for %%} is not supported")
	}
	p.expect(kindBlockEnd)
	p.loops++
	st.body = p.statements(t, "else", "endfor")
	p.loops--
	if p.next().val == "else" {
		st.empty = p.body(t, "endfor")
	}
	return st
}

func (p *parser) setStatement(t token) statement {
	target := p.target("", true)
	if p.skip("=") {
		return &setStatement{t.pos, target, p.tuple(true)}
	}
	st := &setBlock{pos: t.pos, target: target}
	switch {
	case p.is("|"):
		st.filter = p.filter(nil, false).(*filterExpr)
	case !p.is(kindBlockEnd):
		p.refuse(p.current().pos, "want \"=\", got %s: {%% set name = value %%}", p.current().shown())
	}
	st.body = p.body(t, "endset")
	return st
}

func (p *parser) macro(t token) statement {
	name := p.expect(kindName)
	st := &macroStatement{pos: t.pos, name: name.val, signature: p.signature()}
	st.body = p.taking(st.signature, func() []statement { return p.body(t, "endmacro") })
	return st
}

// taking reads the body of a macro and tells its signature which further arguments it takes.
func (p *parser) taking(s *signature, read func() []statement) []statement {
	outer := p.mentions
	p.mentions = map[string]bool{}
	defer func() { p.mentions = outer }()
	body := p.apart(read)
	s.varargs, s.kwargs = p.mentions["varargs"], p.mentions["kwargs"]
	return body
}

func (p *parser) signature() *signature {
	s := &signature{}
	for p.expect("("); !p.skip(")"); {
		if len(s.names) > 0 {
			p.expect(",")
		}
		name := p.expect(kindName)
		s.names = append(s.names, name.val)
		if p.skip("=") {
			s.defaults = append(s.defaults, p.expression())
		} else if len(s.defaults) > 0 {
			p.refuse(name.pos, "a parameter without a default behind one that has one")
		}
	}
	return s
}

func (p *parser) with(t token) statement {
	st := &withStatement{pos: t.pos}
	for !p.is(kindBlockEnd) {
		if len(st.targets) > 0 {
			p.expect(",")
		}
		st.targets = append(st.targets, p.target("", false))
		p.expect("=")
		st.values = append(st.values, p.expression())
	}
	st.body = p.body(t, "endwith")
	return st
}

// target reads what a value is assigned to: names, divided by commas, up to the name end.
func (p *parser) target(end string, attributes bool) expr {
	begin := p.current()
	var names []expr
	tuple := false
	for {
		if p.is("(") {
			p.next()
			names = append(names, p.target("", false))
			p.expect(")")
		} else {
			t := p.expect(kindName)
			if slices.Contains([]string{"true", "false", "none", "True", "False", "None"}, t.val) {
				p.refuse(t.pos, "nothing can be assigned to %s", t.val)
			}
			if attributes && p.skip(".") {
				names = append(names, &attributeOf{t.pos, t.val, p.expect(kindName).val})
			} else {
				names = append(names, &nameExpr{t.pos, t.val})
			}
		}
		if !p.skip(",") {
			break
		}
		tuple = true
		if p.is(")") || p.is(kindBlockEnd) || p.is("=") || end != "" && p.current().named(end) {
			break
		}
	}
	if !tuple {
		return names[0]
	}
	return &tupleExpr{begin.pos, names}
}

// tuple reads an expression, or several divided by commas.
func (p *parser) tuple(conditional bool, ends ...string) expr {
	begin := p.current()
	var elements []expr
	several := false
	for {
		if p.is(kindVariableOf) || p.is(kindBlockEnd) || p.is(")") || p.current().named(ends...) {
			break
		}
		if conditional {
			elements = append(elements, p.expression())
		} else {
			elements = append(elements, p.or())
		}
		if !p.skip(",") {
			break
		}
		several = true
	}
	switch {
	case several:
		return &tupleExpr{begin.pos, elements}
	case len(elements) == 0:
		p.refuse(p.current().pos, "want an expression, got %s", p.current().shown())
	}
	return elements[0]
}

func (p *parser) expression() expr {
	defer p.enter()()
	out := p.or()
	for t := p.current(); p.skipName("if"); t = p.current() {
		c := &condExpr{pos: t.pos, value: out, condition: p.or()}
		if p.skipName("else") {
			c.otherwise = p.expression()
		}
		out = c
	}
	return out
}

func (p *parser) or() expr {
	left := p.and()
	for t := p.current(); p.skipName("or"); t = p.current() {
		left = &logicExpr{t.pos, true, left, p.and()}
	}
	return left
}

func (p *parser) and() expr {
	left := p.not()
	for t := p.current(); p.skipName("and"); t = p.current() {
		left = &logicExpr{t.pos, false, left, p.not()}
	}
	return left
}

func (p *parser) not() expr {
	defer p.enter()()
	t := p.current()
	if p.skipName("not") {
		return &notExpr{t.pos, p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := &compareExpr{pos: p.current().pos, first: p.sum()}
	for {
		t := p.current()
		op := t.kind
		switch {
		case slices.Contains([]kind{"==", "!=", "<", "<=", ">", ">="}, op):
			p.next()
		case p.skipName("in"):
			op = "in"
		case t.named("not") && p.look().named("in"):
			op = "not in"
			p.next()
			p.next()
		case len(c.ops) == 0:
			return c.first
		default:
			return c
		}
		if len(c.ops) == 0 {
			c.pos = t.pos
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

// binary reads operands between operators of one rank, from the left.
func (p *parser) binary(operand func() expr, ops ...kind) expr {
	left := operand()
	for t := p.current(); slices.Contains(ops, t.kind); t = p.current() {
		p.next()
		left = &binaryExpr{t.pos, t.kind, left, operand()}
	}
	return left
}

func (p *parser) sum() expr { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() expr {
	first := p.product()
	if !p.is("~") {
		return first
	}
	c := &concatExpr{pos: p.current().pos, parts: []expr{first}}
	for p.skip("~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }

func (p *parser) power() expr { return p.binary(func() expr { return p.unary(true) }, "**") }

func (p *parser) unary(filters bool) expr {
	defer p.enter()()
	var out expr
	switch t := p.current(); t.kind {
	case "-", "+":
		p.next()
		out = &signExpr{t.pos, p.unary(false), t.kind == "-"}
	default:
		out = p.primary()
	}
	out = p.postfix(out)
	for filters {
		switch t := p.current(); {
		case t.kind == "|":
			out = p.filter(out, false)
		case t.named("is"):
			out = p.test(out)
		case t.kind == "(":
			out = &callExpr{t.pos, out, p.arguments()}
		default:
			return out
		}
	}
	return out
}

func (p *parser) primary() expr {
	defer p.enter()()
	switch t := p.next(); t.kind {
	case kindName:
		switch t.val {
		case "true", "True":
			return &constExpr{t.pos, true}
		case "false", "False":
			return &constExpr{t.pos, false}
		case "none", "None":
			return &constExpr{t.pos, nil}
		}
		if p.mentions != nil {
			p.mentions[t.val] = true
		}
		return &nameExpr{t.pos, t.val}
	case kindString:
		s := t.val
		for p.is(kindString) {
			s += p.next().val
		}
		return &constExpr{t.pos, text{s: s}}
	case kindInteger:
		return p.integer(t)
	case kindFloat:
		f, err := strconv.ParseFloat(t.val, 64)
		if err != nil {
			p.refuse(t.pos, "%s is no number", t.val)
		}
		return &constExpr{t.pos, f}
	case "(":
		if p.skip(")") {
			return &tupleExpr{pos: t.pos}
		}
		out := p.tuple(true)
		p.expect(")")
		return out
	case "[":
		out := &listExpr{pos: t.pos}
		for !p.skip("]") {
			if len(out.elements) > 0 {
				p.expect(",")
				if p.skip("]") {
					break
				}
			}
			out.elements = append(out.elements, p.expression())
		}
		return out
	case "{":
		return p.dict(t)
	default:
		p.refuse(t.pos, "want an expression, got %s", t.shown())
	}
	return nil
}

func (p *parser) integer(t token) expr {
	base := 10
	if len(t.val) > 1 && t.val[0] == '0' {
		base = 0
		if c := t.val[1]; '0' <= c && c <= '9' && strings.Trim(t.val, "0") != "" {
			p.refuse(t.pos, "%s: a whole number does not begin with 0", t.val)
		}
	}
	n, err := strconv.ParseInt(t.val, base, 64)
	if err != nil {
		p.refuse(t.pos, "%s is no whole number of 64 bits", t.val)
	}
	return &constExpr{t.pos, int(n)}
}

func (p *parser) dict(t token) expr {
	out := &dictExpr{pos: t.pos}
	for !p.skip("}") {
		if len(out.keys) > 0 {
			p.expect(",")
			if p.skip("}") {
				break
			}
		}
		out.keys = append(out.keys, p.expression())
		p.expect(":")
		out.values = append(out.values, p.expression())
	}
	return out
}

// postfix reads attributes, elements and calls.
func (p *parser) postfix(on expr) expr {
	for {
		switch t := p.current(); t.kind {
		case ".":
			p.next()
			switch name := p.next(); name.kind {
			case kindName:
				on = &attributeExpr{t.pos, on, name.val}
			case kindInteger:
				on = &indexExpr{t.pos, on, p.integer(name)}
			default:
				p.refuse(name.pos, "want a name or a whole number, got %s", name.shown())
			}
		case "[":
			p.next()
			on = &indexExpr{t.pos, on, p.index(t)}
		case "(":
			on = &callExpr{t.pos, on, p.arguments()}
		default:
			return on
		}
	}
}

// index reads what stands in [ ], and the end.
func (p *parser) index(begin token) expr {
	var parts []expr
	for !p.skip("]") {
		if len(parts) > 0 {
			p.expect(",")
		}
		parts = append(parts, p.sliceOrIndex())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &tupleExpr{begin.pos, parts}
}

func (p *parser) sliceOrIndex() expr {
	s := &sliceExpr{pos: p.current().pos}
	if !p.is(":") {
		first := p.expression()
		if !p.is(":") {
			return first
		}
		s.start = first
	}
	p.next()
	part := func() expr {
		if p.is("]") || p.is(",") || p.is(":") {
			return nil
		}
		return p.expression()
	}
	s.end = part()
	if p.skip(":") {
		s.step = part()
	}
	return s
}

// arguments reads ( ... ).
func (p *parser) arguments() arguments {
	var out arguments
	begin := p.expect("(")
	for first := true; !p.skip(")"); first = false {
		if !first {
			p.expect(",")
			if p.skip(")") {
				break
			}
		}
		t := p.current()
		switch {
		case t.kind == "*" && out.star == nil && out.stars == nil:
			p.next()
			out.star = p.expression()
		case t.kind == "**" && out.stars == nil:
			p.next()
			out.stars = p.expression()
		case t.kind == kindName && p.look().kind == "=" && out.stars == nil:
			p.next()
			p.next()
			out.names = append(out.names, t.val)
			out.named = append(out.named, p.expression())
		case t.kind == "*" || t.kind == "**" || len(out.named) > 0 || out.star != nil || out.stars != nil:
			p.refuse(begin.pos, "the arguments are not in order: values, then names with values, *list, **dict")
		default:
			out.args = append(out.args, p.expression())
		}
	}
	return out
}

// filter reads | name(arguments), again and again; inline, the first "|" is left out.
func (p *parser) filter(on expr, inline bool) expr {
	for inline || p.skip("|") {
		inline = false
		f := &filterExpr{pos: p.current().pos, on: on, name: p.dotted()}
		if !slices.Contains(filterNames, f.name) {
			p.refuse(f.pos, "filter %s: not known; there are %s", f.name, strings.Join(filterNames, " "))
		}
		if p.is("(") {
			f.args = p.arguments()
		}
		on = f
	}
	return on
}

func (p *parser) dotted() string {
	name := p.expect(kindName).val
	for p.skip(".") {
		name += "." + p.expect(kindName).val
	}
	return name
}

func (p *parser) test(on expr) expr {
	begin := p.next()
	not := p.skipName("not")
	t := &testExpr{pos: p.current().pos, on: on, name: p.dotted()}
	if !slices.Contains(testNames, t.name) {
		p.refuse(t.pos, "test %s: not known; there are %s", t.name, strings.Join(testNames, " "))
	}
	switch k := p.current(); {
	case k.kind == "(":
		t.args = p.arguments()
	case k.named("is"):
		p.refuse(k.pos, "tests cannot be chained with \"is\"")
	case k.named("else", "or", "and"):
	case slices.Contains([]kind{kindName, kindString, kindInteger, kindFloat, "[", "{"}, k.kind):
		t.args.args = []expr{p.postfix(p.primary())}
	}
	if not {
		return &notExpr{begin.pos, t}
	}
	return t
}
