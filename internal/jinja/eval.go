package jinja

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// eval gives the value of an expression; it may be undefined.
func (m *machine) eval(e expr, s *scope) (any, error) {
	if e == nil {
		return nil, &Error{Msg: "an expression is missing"}
	}
	if err := m.spend(e.at(), 1); err != nil {
		return nil, err
	}
	v, err := m.evalNode(e, s)
	if err != nil {
		var placed *Error
		if errors.As(err, &placed) {
			return nil, err
		}
		return nil, fail(e.at(), "%v", err)
	}
	if t, ok := v.(text); ok {
		if len(t.s) > maxText {
			return nil, fail(e.at(), "a text is longer than %d bytes", maxText)
		}
		return v, m.spend(e.at(), len(t.s)/256)
	}
	return v, nil
}

func (m *machine) evalNode(e expr, s *scope) (any, error) {
	switch e := e.(type) {
	case *constExpr:
		return e.v, nil
	case *nameExpr:
		if v, ok := s.get(e.name); ok {
			return v, nil
		}
		return undefined(fmt.Sprintf("%q is not defined", e.name)), nil
	case *listExpr:
		return m.evalAll(e.elements, s)
	case *tupleExpr:
		elements, err := m.evalAll(e.elements, s)
		return tuple(elements), err
	case *dictExpr:
		return m.evalDict(e, s)
	case *attributeExpr:
		v, err := m.value(e.on, s)
		if err != nil {
			return nil, err
		}
		return m.getAttribute(v, e.name)
	case *indexExpr:
		return m.evalIndex(e, s)
	case *callExpr:
		return m.evalCall(e, s)
	case *filterExpr:
		return m.evalFilter(e, nil, s)
	case *testExpr:
		return m.evalTest(e, s)
	case *condExpr:
		return m.evalCondition(e, s)
	case *notExpr:
		v, err := m.eval(e.on, s)
		if err != nil {
			return nil, err
		}
		yes, err := m.truth(e.on.at(), v)
		return !yes, err
	case *signExpr:
		return m.evalSign(e, s)
	case *logicExpr:
		return m.evalLogic(e, s)
	case *compareExpr:
		return m.evalCompare(e, s)
	case *concatExpr:
		parts := make([]text, len(e.parts))
		for i, p := range e.parts {
			v, err := m.whole(p, s)
			if err != nil {
				return nil, err
			}
			parts[i] = str(v)
		}
		return joined(parts...), nil
	case *binaryExpr:
		left, err := m.operand(e.left, s)
		if err != nil {
			return nil, err
		}
		right, err := m.operand(e.right, s)
		if err != nil {
			return nil, err
		}
		return operate(e.op, left, right)
	}
	return nil, fail(e.at(), "%T is not supported", e)
}

// value is eval that refuses what is undefined where templates are strict.
func (m *machine) value(e expr, s *scope) (any, error) {
	v, err := m.eval(e, s)
	if err != nil {
		return nil, err
	}
	return v, m.usable(e.at(), v, false)
}

// whole is value that refuses lists and dicts, too, that hold something undefined.
func (m *machine) whole(e expr, s *scope) (any, error) {
	v, err := m.eval(e, s)
	if err != nil {
		return nil, err
	}
	return v, m.usable(e.at(), v, true)
}

// operand is whole that refuses what is undefined in chat templates, too.
func (m *machine) operand(e expr, s *scope) (any, error) {
	v, err := m.whole(e, s)
	if u, no := v.(undefined); err == nil && no {
		return nil, fail(e.at(), "%s", string(u))
	}
	return v, err
}

// usable refuses undefined values where templates are strict, with deep inside lists and dicts, too.
func (m *machine) usable(at pos, v any, deep bool) error {
	switch x := v.(type) {
	case unusable:
		return fail(at, "%s", string(x))
	case undefined:
		if m.strict {
			return fail(at, "%s", string(x))
		}
	}
	if !m.strict || !deep {
		return nil
	}
	elements, _ := list(v)
	for _, e := range elements {
		if err := m.usable(at, e, true); err != nil {
			return err
		}
	}
	if d, ok := v.(*dict); ok {
		for _, e := range d.All() {
			if err := m.usable(at, e, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *machine) evalAll(elements []expr, s *scope) ([]any, error) {
	out := make([]any, len(elements))
	for i, e := range elements {
		var err error
		if out[i], err = m.value(e, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *machine) evalDict(e *dictExpr, s *scope) (any, error) {
	out := newDict(len(e.keys))
	for i := range e.keys {
		k, err := m.value(e.keys[i], s)
		if err != nil {
			return nil, err
		}
		key, ok := k.(text)
		if !ok {
			return nil, fmt.Errorf("a dict needs text as keys, got %s", describe(k))
		}
		v, err := m.value(e.values[i], s)
		if err != nil {
			return nil, err
		}
		out.hold(key)
		out.Set(key.s, v)
	}
	return out, nil
}

// hold remembers that a dict has a key that is not the template's.
func (d *dict) hold(key text) {
	for _, m := range key.marks {
		d.source = max(d.source, m.source)
	}
}

// getAttribute is v.name: an attribute, or else the element of that name.
func (m *machine) getAttribute(v any, name string) (any, error) {
	if a, ok := attribute(v, name); ok {
		return a, nil
	}
	return item(v, text{s: name})
}

// item gives v[key]; what is not there is undefined.
func item(v, key any) (any, error) {
	name, isName := key.(text)
	if b, ok := key.(bool); ok {
		key = intOf(b)
	}
	i, isIndex := key.(int)
	n, what := 0, kindOf(v)
	switch x := v.(type) {
	case undefined:
		return nil, errors.New(string(x))
	case *dict:
		if isName {
			if e, ok := x.Get(name.s); ok {
				return e, nil
			}
			return undefined(fmt.Sprintf("a dict has no element %q", name.s)), nil
		}
		return undefined(fmt.Sprintf("a dict has no element %s", describe(key))), nil
	case text:
		n = utf8.RuneCountInString(x.s)
	case []any:
		n = len(x)
	case tuple:
		n = len(x)
		v = []any(x)
	default:
		isIndex = false
	}
	if !isIndex {
		return undefined(fmt.Sprintf("%s has no element %s", describe(v), describe(key))), nil
	}
	at := i
	if i < 0 {
		at += n
	}
	if at < 0 || at >= n {
		return undefined(fmt.Sprintf("%s of length %d has no element %d", what, n, i)), nil
	}
	if x, ok := v.(text); ok {
		return x.runes()[at], nil
	}
	return v.([]any)[at], nil
}

func (m *machine) evalIndex(e *indexExpr, s *scope) (any, error) {
	v, err := m.value(e.on, s)
	if err != nil {
		return nil, err
	}
	if slice, ok := e.index.(*sliceExpr); ok {
		return m.slice(slice, v, s)
	}
	k, err := m.value(e.index, s)
	if err != nil {
		return nil, err
	}
	out, err := item(v, k)
	if _, no := out.(undefined); no && err == nil {
		if name, ok := k.(text); ok {
			if a, ok := attribute(v, name.s); ok {
				return a, nil
			}
		}
	}
	return out, err
}

// slice is v[start:end:step] with Python's rules.
func (m *machine) slice(e *sliceExpr, v any, s *scope) (any, error) {
	var elements []any
	switch x := v.(type) {
	case text:
		for _, r := range x.runes() {
			elements = append(elements, r)
		}
	case []any:
		elements = x
	case tuple:
		elements = x
	case undefined:
		return nil, errors.New(string(x))
	default:
		return nil, fmt.Errorf("only text and lists can be sliced, got %s", describe(v))
	}
	at, err := m.sliced(e, s, len(elements))
	if err != nil {
		return nil, err
	}
	out := make([]any, len(at))
	for k, i := range at {
		out[k] = elements[i]
	}
	switch v.(type) {
	case text:
		var b builder
		for _, r := range out {
			b.write(r.(text))
		}
		return b.text(), nil
	case tuple:
		return tuple(out), nil
	}
	return out, nil
}

// sliced lists the indices that a slice takes of a sequence.
func (m *machine) sliced(e *sliceExpr, s *scope, length int) ([]int, error) {
	step, _, err := m.sliceBound(e.step, s, 1)
	if err != nil {
		return nil, err
	}
	if step == 0 {
		return nil, errors.New("the step of a slice is 0")
	}
	low, high, first, last := 0, length, 0, length
	if step < 0 {
		low, high, first, last = -1, length-1, length-1, -1
	}
	var ends [2]int
	for k, at := range []expr{e.start, e.end} {
		i, given, err := m.sliceBound(at, s, []int{first, last}[k])
		if err != nil {
			return nil, err
		}
		if given {
			if i < 0 {
				i += length
			}
			i = max(low, min(high, i))
		}
		ends[k] = i
	}
	var out []int
	for i := ends[0]; step > 0 && i < ends[1] || step < 0 && i > ends[1]; {
		out = append(out, i)
		if i > length && step > 0 || i < 0 || step > length || step < -length {
			break
		}
		i += step
	}
	return out, nil
}

// sliceBound evaluates a part of a slice; given tells whether it is there.
func (m *machine) sliceBound(at expr, s *scope, otherwise int) (i int, given bool, err error) {
	if at == nil {
		return otherwise, false, nil
	}
	k, err := m.operand(at, s)
	if err != nil || k == nil {
		return otherwise, false, err
	}
	if b, ok := k.(bool); ok {
		k = intOf(b)
	}
	i, ok := k.(int)
	if !ok {
		return 0, false, fmt.Errorf("a slice needs whole numbers, got %s", describe(k))
	}
	return i, true, nil
}

// arguments evaluates the arguments of a call, filter or test.
func (m *machine) arguments(a arguments, s *scope) (call, error) {
	c := call{}
	for _, e := range a.args {
		v, err := m.whole(e, s)
		if err != nil {
			return c, err
		}
		c.args = append(c.args, v)
	}
	if a.star != nil {
		v, err := m.operand(a.star, s)
		if err != nil {
			return c, err
		}
		more, err := iterate(v)
		if err != nil {
			return c, err
		}
		c.args = append(c.args, more...)
	}
	for i, e := range a.named {
		v, err := m.whole(e, s)
		if err != nil {
			return c, err
		}
		if err := c.name(a.names[i], v); err != nil {
			return c, err
		}
	}
	if a.stars != nil {
		v, err := m.operand(a.stars, s)
		if err != nil {
			return c, err
		}
		d, ok := v.(*dict)
		if !ok {
			return c, fmt.Errorf("** wants a dict, got %s", describe(v))
		}
		for k, e := range d.All() {
			if err := c.name(k, e); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func (m *machine) evalCall(e *callExpr, s *scope) (any, error) {
	c, err := m.arguments(e.args, s)
	if err != nil {
		return nil, err
	}
	var f any
	switch on := e.f.(type) {
	case *attributeExpr:
		v, err := m.value(on.on, s)
		if err != nil {
			return nil, err
		}
		if f, err = m.getAttribute(v, on.name); err != nil {
			return nil, err
		}
		if _, ok := f.(*function); !ok {
			return nil, fmt.Errorf("%s has no method %s() here; known are %s", kindOf(v), on.name, knownMethods)
		}
	case *nameExpr:
		f, _ = s.get(on.name)
		if _, ok := f.(*function); !ok {
			return nil, fail(on.pos, "the function %s() is not known: there is %s", on.name, m.functionNames())
		}
	default:
		if f, err = m.operand(e.f, s); err != nil {
			return nil, err
		}
	}
	fn, ok := f.(*function)
	if !ok {
		return nil, fmt.Errorf("%s cannot be called", describe(f))
	}
	v, err := fn.call(m, e.pos, c)
	var placed *Error
	if err != nil && !errors.As(err, &placed) {
		return nil, fmt.Errorf("%s(): %w", fn.name, err)
	}
	return v, err
}

// evalFilter applies a filter; block is the text of a {% filter %} or {% set %} block.
func (m *machine) evalFilter(e *filterExpr, block *text, s *scope) (any, error) {
	var v any
	var err error
	switch on := e.on.(type) {
	case nil:
		v = *block
	case *filterExpr:
		v, err = m.evalFilter(on, block, s)
	default:
		v, err = m.eval(on, s)
	}
	if err != nil {
		return nil, err
	}
	if err := m.spend(e.pos, 1); err != nil {
		return nil, err
	}
	c, err := m.arguments(e.args, s)
	if err != nil {
		return nil, err
	}
	if e.name != "default" && e.name != "d" {
		if err := m.usable(e.pos, v, true); err != nil {
			return nil, err
		}
	}
	out, err := m.filter(e.name, v, c)
	if err != nil {
		return nil, fail(e.pos, "filter %s: %v", e.name, err)
	}
	return out, nil
}

func (m *machine) evalTest(e *testExpr, s *scope) (any, error) {
	v, err := m.eval(e.on, s)
	if err != nil {
		return nil, err
	}
	c, err := m.arguments(e.args, s)
	if err != nil {
		return nil, err
	}
	if e.name != "defined" && e.name != "undefined" {
		if err := m.usable(e.on.at(), v, false); err != nil {
			return nil, err
		}
	}
	yes, err := test(e.name, v, c)
	if err != nil {
		return nil, fail(e.pos, "test %s: %v", e.name, err)
	}
	return yes, nil
}

func (m *machine) evalCondition(e *condExpr, s *scope) (any, error) {
	c, err := m.eval(e.condition, s)
	if err != nil {
		return nil, err
	}
	yes, err := m.truth(e.condition.at(), c)
	switch {
	case err != nil:
		return nil, err
	case yes:
		return m.eval(e.value, s)
	case e.otherwise == nil:
		return undefined("the condition does not hold and there is no else: Jinja leaves that undefined"), nil
	}
	return m.eval(e.otherwise, s)
}

func (m *machine) evalSign(e *signExpr, s *scope) (any, error) {
	v, err := m.operand(e.on, s)
	if err != nil {
		return nil, err
	}
	if b, ok := v.(bool); ok {
		v = intOf(b)
	}
	switch x := v.(type) {
	case int:
		if e.minus {
			return -x, nil
		}
		return x, nil
	case float64:
		if e.minus {
			return -x, nil
		}
		return x, nil
	}
	return nil, fmt.Errorf("a sign before %s", describe(v))
}

func (m *machine) evalLogic(e *logicExpr, s *scope) (any, error) {
	left, err := m.whole(e.left, s)
	if err != nil {
		return nil, err
	}
	yes, err := m.truth(e.left.at(), left)
	if err != nil {
		return nil, err
	}
	if yes == e.or {
		return left, nil
	}
	return m.value(e.right, s)
}

func (m *machine) evalCompare(e *compareExpr, s *scope) (any, error) {
	left, err := m.whole(e.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range e.ops {
		right, err := m.whole(e.rest[i], s)
		if err != nil {
			return nil, err
		}
		yes, err := compare(op, left, right)
		if err != nil || !yes {
			return false, err
		}
		left = right
	}
	return true, nil
}
