package pyfunc

import (
	"errors"
	"slices"
)

// What a block ended with.
const (
	wentOn    = ""
	broke     = "break"
	continued = "continue"
	gaveBack  = "return"
)

// block runs statements, and says how they ended.
func (m *machine) block(body []node, s *scope) (string, error) {
	for _, n := range body {
		end, err := m.exec(n, s)
		if err != nil || end != wentOn {
			return end, err
		}
	}
	return wentOn, nil
}

func (m *machine) exec(n node, s *scope) (string, error) {
	if err := m.step(); err != nil {
		return "", err
	}
	switch x := n.(type) {
	case *expression:
		_, err := m.eval(x.x, s)
		return wentOn, err
	case *assignment:
		v, err := m.eval(x.value, s)
		for _, t := range x.targets {
			if err == nil {
				err = m.bind(t, v, s)
			}
		}
		return wentOn, at(x.line, err)
	case *augmented:
		return wentOn, at(x.line, m.augment(x, s))
	case *definition:
		f, err := m.define(x, s)
		if err == nil {
			s.assign(x.id, f)
		}
		return wentOn, err
	case *returned:
		if x.x == nil {
			return m.give(s, nil, nil)
		}
		v, err := m.eval(x.x, s)
		return m.give(s, v, err)
	case *branch:
		c, err := m.eval(x.cond, s)
		if err != nil {
			return "", err
		}
		if truth(c) {
			return m.block(x.yes, s)
		}
		return m.block(x.no, s)
	case *loop:
		return m.loop(x, s)
	case *while:
		return m.while(x, s)
	case *jump:
		if x.word == "pass" {
			return wentOn, nil
		}
		return x.word, nil
	case *attempt:
		return m.attempt(x, s)
	case *unreadable:
		return "", x.err
	}
	return wentOn, m.rare(n, s)
}

// rare runs the statements that change nothing but names, or fail.
func (m *machine) rare(n node, s *scope) error {
	switch x := n.(type) {
	case *imported:
		return at(x.line, s.file.importInto(x, s))
	case *raised:
		return at(x.line, m.raised(x, s))
	case *asserted:
		v, err := m.eval(x.cond, s)
		if err == nil && !truth(v) {
			err = raise("AssertionError", "an assertion does not hold")
		}
		return at(x.line, err)
	case *deletion:
		return at(x.line, m.delete(x, s))
	case *declared:
		if s.global == nil {
			s.global = map[string]bool{}
		}
		for _, id := range x.ids {
			s.global[id] = true
		}
	}
	return nil
}

func (m *machine) give(s *scope, v any, err error) (string, error) {
	s.result = v
	return gaveBack, err
}

func (m *machine) augment(x *augmented, s *scope) error {
	a, err := m.eval(x.target, s)
	if err != nil {
		return err
	}
	b, err := m.eval(x.value, s)
	if err != nil {
		return err
	}
	if l, ok := a.(*list); ok && x.op == "+" { // += changes the list itself
		more, err := iterate(b)
		if err != nil {
			return err
		}
		l.items = append(l.items, more...)
		return nil
	}
	v, err := operate(x.op, a, b)
	if err != nil {
		return err
	}
	return m.bind(x.target, v, s)
}

func (m *machine) loop(x *loop, s *scope) (string, error) {
	over, err := m.eval(x.over, s)
	if err != nil {
		return "", err
	}
	items, err := iterate(over)
	if err != nil {
		return "", at(x.line, err)
	}
	for _, v := range slices.Clone(items) {
		if err := m.bind(x.target, v, s); err != nil {
			return "", at(x.line, err)
		}
		end, err := m.block(x.body, s)
		if err != nil || end == gaveBack {
			return end, err
		}
		if end == broke {
			return wentOn, nil
		}
	}
	return m.block(x.no, s)
}

func (m *machine) while(x *while, s *scope) (string, error) {
	for {
		c, err := m.eval(x.cond, s)
		if err != nil || !truth(c) {
			return wentOn, err
		}
		end, err := m.block(x.body, s)
		if err != nil || end == gaveBack {
			return end, err
		}
		if end == broke {
			return wentOn, nil
		}
	}
}

// exceptions are those that can be raised and caught by name.
var exceptions = []string{"AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError",
	"NameError", "NotImplementedError", "RecursionError", "RuntimeError", "SyntaxError", "TypeError", "ValueError",
	"ZeroDivisionError"}

func (m *machine) raised(x *raised, s *scope) error {
	kind, msg := "Exception", ""
	n := x.x
	if c, ok := n.(*call); ok {
		n = c.fn
		if len(c.args) > 0 {
			v, err := m.eval(c.args[0], s)
			if err != nil {
				return err
			}
			msg = str(v)
		}
	}
	if id, ok := n.(*name); ok {
		kind = id.id
	}
	return raise(kind, "%s", msg)
}

func (m *machine) attempt(x *attempt, s *scope) (end string, err error) {
	end, err = m.block(x.body, s)
	var e *exception
	if err != nil && errors.As(err, &e) {
		for _, h := range x.handlers {
			if h.catches(e.kind) {
				if h.as != "" {
					s.assign(h.as, e.msg)
				}
				end, err = m.block(h.body, s)
				break
			}
		}
	} else if err == nil && end == wentOn {
		end, err = m.block(x.no, s)
	}
	if last, errLast := m.block(x.end, s); errLast != nil || last != wentOn {
		return last, errLast
	}
	return end, err
}

func (h handler) catches(kind string) bool {
	if len(h.kinds) == 0 || slices.Contains(h.kinds, kind) || slices.Contains(h.kinds, "Exception") {
		return true
	}
	return slices.Contains(h.kinds, "LookupError") && (kind == "IndexError" || kind == "KeyError")
}

func (m *machine) delete(x *deletion, s *scope) error {
	for _, t := range x.targets {
		switch t := t.(type) {
		case *name:
			delete(s.vars, t.id)
		case *subscript:
			v, err := m.eval(t.x, s)
			if err != nil {
				return err
			}
			i, err := m.eval(t.index, s)
			if err != nil {
				return err
			}
			d, ok := v.(*dict)
			if !ok {
				return raise("TypeError", "del of an element of a %s is not supported", kindOf(v))
			}
			if _, there, err := d.remove(i); err != nil || !there {
				return errors.Join(err, raise("KeyError", "%s", repr(i)))
			}
		default:
			return errors.New("del of this is not supported")
		}
	}
	return nil
}
