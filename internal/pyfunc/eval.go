package pyfunc

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"steer/internal/jinja"
)

// machine runs one call from outside.
type machine struct {
	steps int
	depth int
}

// The bounds of one call.
const (
	maxSteps = 20_000_000
	maxDepth = 200
	maxText  = 64 << 20
)

// scope holds the names of a function or comprehension that runs.
type scope struct {
	vars   map[string]any
	outer  *scope // of the function around it, nil at the top of a file
	file   *Module
	global map[string]bool // names that belong to the file or an outer function
	result any
}

func (s *scope) inner() *scope { return &scope{vars: map[string]any{}, outer: s, file: s.file} }

func (s *scope) lookup(id string) (any, error) {
	for x := s; x != nil; x = x.outer {
		if v, ok := x.vars[id]; ok {
			if p, bad := v.(*poison); bad {
				return nil, p.err
			}
			return v, nil
		}
	}
	if b, ok := builtins[id]; ok {
		return b, nil
	}
	return nil, raise("NameError", "name %q is not defined", id)
}

func (s *scope) assign(id string, v any) {
	if s.global[id] {
		for x := s.outer; x != nil; x = x.outer {
			if _, ok := x.vars[id]; ok || x.outer == nil {
				x.vars[id] = v
				return
			}
		}
	}
	s.vars[id] = v
}

// function is one of the file, or a lambda.
type function struct {
	*definition
	defaults []any
	around   *scope
}

func (m *machine) step() error {
	if m.steps++; m.steps > maxSteps {
		return fmt.Errorf("more than %d steps: an endless loop?", maxSteps)
	}
	return nil
}

// located adds the line to an error that has none yet.
type located struct {
	line int
	err  error
}

func (e *located) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *located) Unwrap() error { return e.err }

func at(line int, err error) error {
	var l *located
	if err == nil || errors.As(err, &l) {
		return err
	}
	return &located{line, err}
}

func (m *machine) eval(n node, s *scope) (any, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	switch x := n.(type) {
	case *constant:
		return x.value, nil
	case *name:
		v, err := s.lookup(x.id)
		return v, at(x.line, err)
	case *fstring:
		return m.fstring(x, s)
	case *display:
		items, err := m.items(x.items, s)
		if err != nil {
			return nil, err
		}
		switch x.kind {
		case "[":
			return &list{items}, nil
		case "(":
			return &tuple{items}, nil
		}
		return setOf(items)
	case *dictDisplay:
		return m.dict(x, s)
	case *comprehension:
		return m.comprehension(x, s)
	case *unary:
		return m.unary(x, s)
	case *comparison:
		v, err := m.compare(x, s)
		return v, at(x.line, err)
	case *definition:
		return m.define(x, s)
	case *call:
		v, err := m.callNode(x, s)
		return v, at(x.line, err)
	case *attribute:
		v, err := m.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		v, err = getAttribute(v, x.id)
		return v, at(x.line, err)
	case *subscript:
		v, err := m.subscript(x, s)
		return v, at(x.line, err)
	case *assigned:
		v, err := m.eval(x.value, s)
		s.assign(x.id, v)
		return v, err
	}
	return m.choose(n, s)
}

// choose evaluates what is made of other expressions, or of one of them.
func (m *machine) choose(n node, s *scope) (any, error) {
	switch x := n.(type) {
	case *binary:
		a, err := m.eval(x.a, s)
		if err != nil {
			return nil, err
		}
		b, err := m.eval(x.b, s)
		if err != nil {
			return nil, err
		}
		v, err := operate(x.op, a, b)
		return v, at(x.line, err)
	case *logical:
		a, err := m.eval(x.a, s)
		if err != nil || truth(a) == (x.op == "or") {
			return a, err
		}
		return m.eval(x.b, s)
	case *conditional:
		c, err := m.eval(x.cond, s)
		if err != nil {
			return nil, err
		}
		if truth(c) {
			return m.eval(x.yes, s)
		}
		return m.eval(x.no, s)
	}
	return nil, fmt.Errorf("%T is not understood here", n)
}

// items evaluates a list of expressions, *x among them.
func (m *machine) items(nodes []node, s *scope) ([]any, error) {
	out := make([]any, 0, len(nodes))
	for _, n := range nodes {
		if star, ok := n.(*starred); ok {
			v, err := m.eval(star.x, s)
			if err != nil {
				return nil, err
			}
			more, err := iterate(v)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		v, err := m.eval(n, s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (m *machine) dict(x *dictDisplay, s *scope) (any, error) {
	out := newDict()
	for i := range x.keys {
		v, err := m.eval(x.values[i], s)
		if err != nil {
			return nil, err
		}
		if x.keys[i] == nil {
			more, ok := v.(*dict)
			if !ok {
				return nil, raise("TypeError", "%s is not a mapping", kindOf(v))
			}
			for _, e := range more.all() {
				if err := out.set(e.key, e.value); err != nil {
					return nil, err
				}
			}
			continue
		}
		k, err := m.eval(x.keys[i], s)
		if err != nil {
			return nil, err
		}
		if err := out.set(k, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *machine) comprehension(x *comprehension, s *scope) (any, error) {
	s = s.inner()
	var items []any
	d := newDict()
	var run func(k int) error
	run = func(k int) error {
		if k < len(x.clauses) {
			return m.clause(&x.clauses[k], s, func() error { return run(k + 1) })
		}
		v, err := m.eval(x.value, s)
		if err != nil || x.kind != "{:" {
			items = append(items, v)
			return err
		}
		key, err := m.eval(x.key, s)
		if err != nil {
			return err
		}
		return d.set(key, v)
	}
	if err := run(0); err != nil {
		return nil, err
	}
	switch x.kind {
	case "{:":
		return d, nil
	case "{":
		return setOf(items)
	}
	return &list{items}, nil // a generator is used up where it stands
}

func (m *machine) clause(c *clause, s *scope, then func() error) error {
	over, err := m.eval(c.over, s)
	if err != nil {
		return err
	}
	items, err := iterate(over)
	if err != nil {
		return err
	}
next:
	for _, v := range items {
		if err := m.bind(c.target, v, s); err != nil {
			return err
		}
		for _, cond := range c.conditions {
			ok, err := m.eval(cond, s)
			if err != nil {
				return err
			}
			if !truth(ok) {
				continue next
			}
		}
		if err := then(); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) unary(x *unary, s *scope) (any, error) {
	v, err := m.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	switch x.op {
	case "not":
		return !truth(v), nil
	case "-":
		return operate("-", 0, v)
	case "+":
		return operate("+", 0, v)
	}
	return nil, fmt.Errorf("the operator %s is not supported", x.op)
}

// operate is an operator of two values.
func operate(op string, a, b any) (any, error) {
	switch x := a.(type) {
	case string:
		if op == "%" {
			return percent(x, b)
		}
		if y, ok := b.(string); ok && op == "+" {
			if len(x)+len(y) > maxText {
				return nil, errors.New("a text beyond 64 MiB")
			}
			return x + y, nil
		}
	case *list:
		if y, ok := b.(*list); ok && op == "+" {
			return &list{append(append([]any{}, x.items...), y.items...)}, nil
		}
	case *tuple:
		if y, ok := b.(*tuple); ok && op == "+" {
			return &tuple{append(append([]any{}, x.items...), y.items...)}, nil
		}
	case *set:
		if y, ok := b.(*set); ok {
			return setOperator(op, x, y)
		}
	case *dict:
		if y, ok := b.(*dict); ok && op == "|" {
			out := x.copy()
			for _, e := range y.all() {
				if err := out.set(e.key, e.value); err != nil {
					return nil, err
				}
			}
			return out, nil
		}
	}
	if op == "*" {
		if v, ok, err := repeat(a, b); ok || err != nil {
			return v, err
		}
	}
	if _, ok := jinja.CompareNumbers(a, b); !ok {
		return nil, raise("TypeError", "unsupported operand types for %s: %s and %s", op, kindOf(a), kindOf(b))
	}
	if op == "/" || op == "//" || op == "%" {
		if order, _ := jinja.CompareNumbers(b, 0); order == 0 {
			return nil, raise("ZeroDivisionError", "division by zero")
		}
	}
	return jinja.Arithmetic(op, a, b)
}

func percent(format string, v any) (any, error) {
	values := []any{v}
	if t, ok := v.(*tuple); ok {
		values = t.items
	}
	out := make([]any, len(values))
	for i, x := range values {
		switch x.(type) {
		case int, float64, bool, string:
			out[i] = x
		default:
			if strings.Contains(format, "%r") {
				return nil, errors.New("%r of a list or dict is not supported")
			}
			out[i] = str(x)
		}
	}
	return jinja.Percent(format, out)
}

func repeat(a, b any) (any, bool, error) {
	n, ok := b.(int)
	if !ok {
		a, b = b, a
		if n, ok = b.(int); !ok {
			return nil, false, nil
		}
	}
	n = max(0, n)
	switch x := a.(type) {
	case string:
		if len(x)*n > maxText {
			return nil, false, errors.New("a text beyond 64 MiB")
		}
		return strings.Repeat(x, n), true, nil
	case *list, *tuple:
		items := *sequence(a)
		if len(items)*n > maxSteps {
			return nil, false, errors.New("a list that is too long")
		}
		var out []any
		for range n {
			out = append(out, items...)
		}
		if _, ok := x.(*tuple); ok {
			return &tuple{out}, true, nil
		}
		return &list{out}, true, nil
	}
	return nil, false, nil
}

func (m *machine) compare(x *comparison, s *scope) (any, error) {
	a, err := m.eval(x.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		b, err := m.eval(x.rest[i], s)
		if err != nil {
			return nil, err
		}
		yes, err := compareValues(op, a, b)
		if err != nil || !yes {
			return false, err
		}
		a = b
	}
	return true, nil
}

func compareValues(op string, a, b any) (bool, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "is":
		return a == b, nil
	case "is not":
		return a != b, nil
	case "in":
		return contains(b, a)
	case "not in":
		yes, err := contains(b, a)
		return !yes, err
	case ">":
		return less(b, a)
	case ">=":
		yes, err := less(b, a)
		return yes || err == nil && equal(a, b), err
	case "<=":
		yes, err := less(a, b)
		return yes || err == nil && equal(a, b), err
	}
	return less(a, b)
}

func contains(in, v any) (bool, error) {
	switch x := in.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			return false, raise("TypeError", "'in <string>' requires string, not %s", kindOf(v))
		}
		return strings.Contains(x, s), nil
	case *dict:
		_, ok, err := x.get(v)
		return ok, err
	case *set:
		_, ok, err := x.get(v)
		return ok, err
	}
	items, err := iterate(in)
	if err != nil {
		return false, err
	}
	for _, e := range items {
		if equal(e, v) {
			return true, nil
		}
	}
	return false, nil
}

// index puts a place within a length, from the end if negative.
func index(i, n int, what string) (int, error) {
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return 0, raise("IndexError", "%s index out of range", what)
	}
	return i, nil
}

func (m *machine) subscript(x *subscript, s *scope) (any, error) {
	v, err := m.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	if cut, ok := x.index.(*slicing); ok {
		return m.slice(v, cut, s)
	}
	i, err := m.eval(x.index, s)
	if err != nil {
		return nil, err
	}
	return element(v, i)
}

// element is v[i].
func element(v, i any) (any, error) {
	switch x := v.(type) {
	case *dict:
		e, ok, err := x.get(i)
		if err == nil && !ok {
			err = raise("KeyError", "%s", repr(i))
		}
		if p, bad := e.(*poison); bad {
			return nil, p.err
		}
		return e, err
	case *dataset:
		if column, ok := i.(string); ok {
			return x.column(column)
		}
	case *match:
		return groupOf(x, i)
	}
	if b, ok := i.(bool); ok {
		i = map[bool]int{true: 1}[b]
	}
	n, ok := i.(int)
	if !ok {
		return nil, raise("TypeError", "%s indices must be integers, not %s", kindOf(v), kindOf(i))
	}
	return elementAt(v, n)
}

// elementAt is v[n] of what is counted.
func elementAt(v any, n int) (any, error) {
	switch x := v.(type) {
	case string:
		if n < 0 {
			n += utf8.RuneCountInString(x)
		}
		if n >= 0 {
			for _, r := range x {
				if n == 0 {
					return string(r), nil
				}
				n--
			}
		}
		return nil, raise("IndexError", "string index out of range")
	case *list, *tuple:
		items := *sequence(v)
		k, err := index(n, len(items), kindOf(v))
		if err != nil {
			return nil, err
		}
		return items[k], nil
	case *dataset:
		k, err := index(n, len(x.rows), "dataset")
		if err != nil {
			return nil, err
		}
		return copied(x.rows[k]), nil
	}
	return nil, raise("TypeError", "%s object is not subscriptable", kindOf(v))
}

func (m *machine) slice(v any, cut *slicing, s *scope) (any, error) {
	var items []any
	switch x := v.(type) {
	case string:
		items, _ = iterate(x)
	case *list, *tuple:
		items = *sequence(v)
	default:
		return nil, raise("TypeError", "%s object cannot be sliced", kindOf(v))
	}
	var bounds [3]*int
	for k, n := range []node{cut.low, cut.high, cut.step} {
		if n == nil {
			continue
		}
		b, err := m.eval(n, s)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		i, ok := b.(int)
		if !ok {
			return nil, raise("TypeError", "slice indices must be integers, not %s", kindOf(b))
		}
		bounds[k] = &i
	}
	out, err := sliced(items, bounds)
	if err != nil {
		return nil, err
	}
	switch v.(type) {
	case string:
		var b strings.Builder
		for _, r := range out {
			b.WriteString(r.(string))
		}
		return b.String(), nil
	case *tuple:
		return &tuple{out}, nil
	}
	return &list{out}, nil
}

func sliced(items []any, bounds [3]*int) ([]any, error) {
	step, n := 1, len(items)
	if bounds[2] != nil {
		if step = *bounds[2]; step == 0 {
			return nil, raise("ValueError", "slice step cannot be zero")
		}
	}
	low, high := 0, n
	least, most := 0, n
	if step < 0 {
		low, high, least, most = n-1, -1, -1, n-1
	}
	place := func(p *int, otherwise int) int {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i += n
		}
		return max(least, min(most, i))
	}
	low, high = place(bounds[0], low), place(bounds[1], high)
	out := []any{}
	for i := low; step > 0 && i < high || step < 0 && i > high; i += step {
		out = append(out, items[i])
	}
	return out, nil
}

// bind assigns a value to a target: a name, an element, or several of them.
func (m *machine) bind(target node, v any, s *scope) error {
	switch t := target.(type) {
	case *name:
		s.assign(t.id, v)
		return nil
	case *subscript:
		x, err := m.eval(t.x, s)
		if err != nil {
			return err
		}
		i, err := m.eval(t.index, s)
		if err != nil {
			return err
		}
		return at(t.line, setElement(x, i, v))
	case *display:
		return m.unpack(t.items, v, s)
	}
	return fmt.Errorf("cannot assign to %T", target)
}

func setElement(x, i, v any) error {
	switch x := x.(type) {
	case *dict:
		return x.set(i, v)
	case *list:
		n, ok := i.(int)
		if !ok {
			return raise("TypeError", "list indices must be integers, not %s", kindOf(i))
		}
		k, err := index(n, len(x.items), "list assignment")
		if err == nil {
			x.items[k] = v
		}
		return err
	}
	return raise("TypeError", "%s object does not support item assignment", kindOf(x))
}

func (m *machine) unpack(targets []node, v any, s *scope) error {
	items, err := iterate(v)
	if err != nil {
		return err
	}
	star := -1
	for i, t := range targets {
		if _, ok := t.(*starred); ok {
			star = i
		}
	}
	if star < 0 && len(items) != len(targets) || star >= 0 && len(items) < len(targets)-1 {
		return raise("ValueError", "%d values to unpack, want %d", len(items), len(targets))
	}
	for i, t := range targets {
		switch {
		case i == star:
			n := len(items) - len(targets) + 1
			err = m.bind(t.(*starred).x, &list{append([]any{}, items[i:i+n]...)}, s)
			items = append(append([]any{}, items[:i+1]...), items[i+n:]...)
			if n == 0 {
				items = append(items[:i+1:i+1], items[i+1:]...)
			}
		default:
			err = m.bind(t, items[i], s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) fstring(x *fstring, s *scope) (string, error) {
	var b strings.Builder
	for _, part := range x.parts {
		if part.value == nil {
			b.WriteString(part.text)
			continue
		}
		v, err := m.eval(part.value, s)
		if err != nil {
			return "", err
		}
		switch part.convert {
		case "":
		case "r":
			v = repr(v)
		case "s":
			v = str(v)
		default:
			return "", fmt.Errorf("f-string: !%s is not supported", part.convert)
		}
		spec := ""
		if part.spec != nil {
			if spec, err = m.fstring(part.spec, s); err != nil {
				return "", err
			}
		}
		text, err := formatValue(v, spec)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// formatValue is format(v, spec), for what is common.
func formatValue(v any, spec string) (string, error) {
	if spec == "" {
		return str(v), nil
	}
	var digits int
	if n, err := fmt.Sscanf(spec, ".%df", &digits); err == nil && n == 1 && spec == fmt.Sprintf(".%df", digits) {
		switch x := v.(type) {
		case float64:
			if !math.IsInf(x, 0) && !math.IsNaN(x) {
				return fmt.Sprintf("%.*f", digits, x), nil
			}
		case int:
			return fmt.Sprintf("%.*f", digits, float64(x)), nil
		}
	}
	if x, ok := v.(int); ok && spec == "d" {
		return fmt.Sprint(x), nil
	}
	return "", fmt.Errorf("the format %q of a %s is not supported", spec, kindOf(v))
}

// define makes a function of its definition.
func (m *machine) define(d *definition, s *scope) (*function, error) {
	f := &function{definition: d, around: s, defaults: make([]any, len(d.params))}
	for i, p := range d.params {
		if p.value == nil {
			continue
		}
		var err error
		if f.defaults[i], err = m.eval(p.value, s); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (m *machine) callNode(x *call, s *scope) (any, error) {
	fn, err := m.eval(x.fn, s)
	if err != nil {
		return nil, err
	}
	var c arguments
	if c.args, err = m.items(x.args, s); err != nil {
		return nil, err
	}
	for i, id := range x.names {
		v, err := m.eval(x.named[i], s)
		if err != nil {
			return nil, err
		}
		if id != "**" {
			c.names, c.named = append(c.names, id), append(c.named, v)
			continue
		}
		d, ok := v.(*dict)
		if !ok {
			return nil, raise("TypeError", "argument after ** must be a mapping, not %s", kindOf(v))
		}
		for _, e := range d.all() {
			c.names, c.named = append(c.names, str(e.key)), append(c.named, e.value)
		}
	}
	return m.call(fn, c)
}

func (m *machine) call(fn any, c arguments) (any, error) {
	switch f := fn.(type) {
	case *builtin:
		return f.call(m, c)
	case *function:
		return m.run(f, c)
	}
	return nil, raise("TypeError", "%s object is not callable", kindOf(fn))
}

// run calls a function of the file.
func (m *machine) run(f *function, c arguments) (any, error) {
	if m.depth++; m.depth > maxDepth {
		return nil, raise("RecursionError", "maximum recursion depth exceeded")
	}
	defer func() { m.depth-- }()
	s := f.around.inner()
	if err := f.bindArguments(s, c); err != nil {
		return nil, err
	}
	if f.result != nil {
		return m.eval(f.result, s)
	}
	_, err := m.block(f.body, s)
	return s.result, err
}

func (f *function) bindArguments(s *scope, c arguments) error {
	title := f.id
	if title == "" {
		title = "lambda"
	}
	used, named := 0, make([]bool, len(c.names))
	for i, p := range f.params {
		switch {
		case p.star == "*":
			s.vars[p.id] = &tuple{append([]any{}, c.args[min(used, len(c.args)):]...)}
			used = len(c.args)
			continue
		case p.star == "**":
			rest := newDict()
			for k, id := range c.names {
				if !named[k] {
					rest.setText(id, c.named[k])
					named[k] = true
				}
			}
			s.vars[p.id] = rest
			continue
		case !p.byName && used < len(c.args):
			s.vars[p.id] = c.args[used]
			used++
			continue
		}
		found := false
		for k, id := range c.names {
			if id == p.id {
				s.vars[p.id], named[k], found = c.named[k], true, true
			}
		}
		if !found {
			if p.value == nil {
				return raise("TypeError", "%s() misses the argument %q", title, p.id)
			}
			s.vars[p.id] = f.defaults[i]
		}
	}
	if used < len(c.args) {
		return raise("TypeError", "%s() takes %d arguments, got %d", title, used, len(c.args))
	}
	for k, ok := range named {
		if !ok {
			return raise("TypeError", "%s() got an unexpected argument %q", title, c.names[k])
		}
	}
	return nil
}
