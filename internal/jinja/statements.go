package jinja

import (
	"errors"
	"fmt"

	"steer/internal/ordered"
)

// errBreak and errContinue leave a round of a loop.
var (
	errBreak    = errors.New("{% break %} outside of a loop")
	errContinue = errors.New("{% continue %} outside of a loop")
)

func (st *dataStatement) run(m *machine, _ *scope) error { return m.put(pos{}, st.text) }

func (st *outputStatement) run(m *machine, s *scope) error {
	v, err := m.whole(st.value, s)
	if err != nil {
		return err
	}
	switch v.(type) {
	case *function, *loop, *namespace:
		return fail(st.value.at(), "%s cannot be written", kindOf(v))
	}
	if m.keep {
		m.values = append(m.values, v)
		return nil
	}
	return m.put(st.value.at(), str(v))
}

func (st *ifStatement) run(m *machine, s *scope) error {
	for i, branch := range st.branches {
		if i < len(st.conditions) {
			c, err := m.eval(st.conditions[i], s)
			if err != nil {
				return err
			}
			yes, err := m.truth(st.conditions[i].at(), c)
			if err != nil {
				return err
			}
			if !yes {
				continue
			}
		}
		return m.write(branch, s)
	}
	return nil
}

func (st *setStatement) run(m *machine, s *scope) error {
	v, err := m.whole(st.value, s)
	if err != nil {
		return err
	}
	return m.assign(st.target, v, s)
}

func (st *setBlock) run(m *machine, s *scope) error {
	body, err := m.capture(st.body, s.inner())
	if err != nil {
		return err
	}
	var v any = body
	if st.filter != nil {
		if v, err = m.evalFilter(st.filter, &body, s); err != nil {
			return err
		}
	}
	return m.assign(st.target, v, s)
}

// assign gives a value to a name, several names, or an attribute of a namespace.
func (m *machine) assign(target expr, v any, s *scope) error {
	switch t := target.(type) {
	case *nameExpr:
		s.vars[t.name] = v
	case *attributeOf:
		on, _ := s.get(t.name)
		ns, ok := on.(*namespace)
		if !ok {
			return fail(t.pos, "only a namespace() has attributes that can be set, %q is none", t.name)
		}
		ns.Set(t.attribute, v)
	case *tupleExpr:
		parts, err := iterate(v)
		if err != nil {
			return fail(t.pos, "%v", err)
		}
		if len(parts) != len(t.elements) {
			return fail(t.pos, "there are %d names for %d parts: %s", len(t.elements), len(parts), describe(v))
		}
		for i, e := range t.elements {
			if err := m.assign(e, parts[i], s); err != nil {
				return err
			}
		}
	}
	return nil
}

// loop is the variable loop of a round.
type loop struct {
	rounds []any
	at     int
	depth  int
	last   *[]any // what loop.changed was last called with
}

// attribute is loop.name.
func (l *loop) attribute(name string) (any, bool) {
	n := len(l.rounds)
	switch name {
	case "index":
		return l.at + 1, true
	case "index0":
		return l.at, true
	case "first":
		return l.at == 0, true
	case "last":
		return l.at == n-1, true
	case "length":
		return n, true
	case "revindex":
		return n - l.at, true
	case "revindex0":
		return n - l.at - 1, true
	case "depth":
		return l.depth, true
	case "depth0":
		return l.depth - 1, true
	case "previtem":
		if l.at == 0 {
			return undefined("there is no previous item"), true
		}
		return l.rounds[l.at-1], true
	case "nextitem":
		if l.at == n-1 {
			return undefined("there is no next item"), true
		}
		return l.rounds[l.at+1], true
	case "cycle":
		return &function{name: "cycle", call: func(_ *machine, _ pos, c call) (any, error) {
			if len(c.args) == 0 || len(c.names) > 0 {
				return nil, errors.New("want values to choose from in turn")
			}
			return c.args[l.at%len(c.args)], nil
		}}, true
	case "changed":
		return &function{name: "changed", call: func(_ *machine, _ pos, c call) (any, error) {
			changed := *l.last == nil || !equal(*l.last, c.args)
			*l.last = append([]any{}, c.args...)
			return changed, nil
		}}, true
	}
	return nil, false
}

func (st *forStatement) run(m *machine, s *scope) error {
	over, err := m.value(st.over, s)
	if err != nil {
		return err
	}
	items, err := iterate(over)
	if err != nil {
		return fail(st.over.at(), "%v", err)
	}
	depth := 1
	if outer, ok := s.get("loop"); ok {
		if l, ok := outer.(*loop); ok {
			depth = l.depth + 1
		}
	}
	var rounds []*scope
	around := &loop{depth: depth, last: new([]any)}
	for _, item := range items {
		if err := m.spend(st.pos, 1); err != nil {
			return err
		}
		in := s.inner()
		if err := m.assign(st.target, item, in); err != nil {
			return err
		}
		if st.where != nil {
			c, err := m.eval(st.where, in)
			if err != nil {
				return err
			}
			if yes, err := m.truth(st.where.at(), c); err != nil {
				return err
			} else if !yes {
				continue
			}
		}
		rounds, around.rounds = append(rounds, in), append(around.rounds, item)
	}
	if len(rounds) == 0 && st.empty != nil {
		return m.write(st.empty, s.inner())
	}
	for i, in := range rounds {
		now := *around
		now.at = i
		in.vars["loop"] = &now
		err := m.write(st.body, in)
		if errors.Is(err, errBreak) {
			return nil
		}
		if err != nil && !errors.Is(err, errContinue) {
			return err
		}
	}
	return nil
}

func (st *leaveStatement) run(*machine, *scope) error {
	if st.again {
		return errContinue
	}
	return errBreak
}

func (st *generationStatement) run(m *machine, s *scope) error {
	body, err := m.capture(st.body, s.inner())
	if err != nil {
		return err
	}
	return m.put(pos{}, body.answered())
}

func (st *filterBlock) run(m *machine, s *scope) error {
	body, err := m.capture(st.body, s.inner())
	if err != nil {
		return err
	}
	v, err := m.evalFilter(st.filter, &body, s)
	if err != nil {
		return err
	}
	return m.put(st.pos, str(v))
}

func (st *withStatement) run(m *machine, s *scope) error {
	in := s.inner()
	for i, e := range st.values {
		v, err := m.whole(e, s)
		if err != nil {
			return err
		}
		if err := m.assign(st.targets[i], v, in); err != nil {
			return err
		}
	}
	return m.write(st.body, in)
}

func (st *macroStatement) run(_ *machine, s *scope) error {
	s.vars[st.name] = newMacro(st.name, st.signature, st.body, s)
	return nil
}

// newMacro makes a macro that can be called.
func newMacro(name string, sig *signature, body []statement, s *scope) *function {
	return &function{name: name, attributes: ordered.Of("name", text{s: name}), call: func(m *machine, at pos,
		c call) (any, error) {
		if m.depth++; m.depth > maxDepth {
			return nil, fail(at, "macros call each other more than %d deep", maxDepth)
		}
		defer func() { m.depth-- }()
		in := s.inner()
		if err := sig.bind(m, c, in); err != nil {
			return nil, err
		}
		return m.capture(body, in)
	}}
}

// bind gives the parameters of a macro their values.
func (sig *signature) bind(m *machine, c call, in *scope) error {
	if len(c.args) > len(sig.names) && !sig.varargs {
		return fmt.Errorf("takes at most %d arguments, got %d", len(sig.names), len(c.args))
	}
	more := newDict(0)
	for i, name := range c.names {
		known := false
		for k, p := range sig.names {
			if known = p == name; known {
				if k < len(c.args) {
					return fmt.Errorf("argument %q is given twice", name)
				}
				break
			}
		}
		switch {
		case known || name == "caller":
			in.vars[name] = c.named[i]
		case sig.kwargs:
			more.Set(name, c.named[i])
		default:
			return fmt.Errorf("argument %q is not understood", name)
		}
	}
	for i, name := range sig.names {
		if i < len(c.args) {
			in.vars[name] = c.args[i]
			continue
		}
		if _, given := in.vars[name]; given {
			continue
		}
		if k := i - (len(sig.names) - len(sig.defaults)); k >= 0 {
			v, err := m.whole(sig.defaults[k], in)
			if err != nil {
				return err
			}
			in.vars[name] = v
			continue
		}
		in.vars[name] = undefined(fmt.Sprintf("the parameter %q was not given", name))
	}
	if sig.varargs {
		in.vars["varargs"] = tuple(c.args[min(len(c.args), len(sig.names)):])
	}
	if sig.kwargs {
		in.vars["kwargs"] = more
	}
	return nil
}

func (st *callBlock) run(m *machine, s *scope) error {
	c, err := m.arguments(st.call.args, s)
	if err != nil {
		return err
	}
	f, err := m.operand(st.call.f, s)
	if err != nil {
		return err
	}
	fn, ok := f.(*function)
	if !ok {
		return fail(st.pos, "%s cannot be called", describe(f))
	}
	if err := c.name("caller", newMacro("caller", st.signature, st.body, s)); err != nil {
		return fail(st.pos, "%v", err)
	}
	v, err := fn.call(m, st.pos, c)
	if err != nil {
		var placed *Error
		if !errors.As(err, &placed) {
			err = fail(st.pos, "%s(): %v", fn.name, err)
		}
		return err
	}
	return m.put(st.pos, str(v))
}
