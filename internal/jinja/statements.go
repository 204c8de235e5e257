package jinja

import (
	"fmt"

	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"steer/internal/ordered"
)

// statements gives the parser our {% %} blocks.
type statements struct{}

// Get implements parser.ControlStructureGetter.
func (statements) Get(name string) (parser.ControlStructureParser, bool) {
	switch name {
	case "if":
		return parseIf, true
	case "for":
		return parseFor, true
	case "set":
		return parseSet, true
	}
	return nil, false
}

// place is the position of a statement.
type place struct {
	at   *tokens.Token
	name string
}

// Position implements nodes.Node.
func (p place) Position() *tokens.Token { return p.at }

// String implements nodes.Node.
func (p place) String() string { return "{% " + p.name + " %}" }

// done insists that a tag has no more arguments.
func done(args *parser.Parser, tag string) error {
	if !args.End() {
		return args.Error(fmt.Sprintf("{%% %s %%} has something that is not understood", tag), args.Current())
	}
	return nil
}

// ifStatement is {% if %}; branch i runs under condition i, one more branch is else.
type ifStatement struct {
	place
	conditions []nodes.Expression
	branches   []*nodes.Wrapper
}

func parseIf(p, args *parser.Parser) (nodes.ControlStructure, error) {
	st := &ifStatement{place: place{args.Current(), "if"}}
	tag := "if"
	for {
		if tag != "else" {
			c, err := args.ParseExpression()
			if err != nil {
				return nil, err
			}
			st.conditions = append(st.conditions, c)
		}
		if err := done(args, tag); err != nil {
			return nil, err
		}
		until := []string{"elif", "else", "endif"}
		if tag == "else" {
			until = until[2:]
		}
		body, next, err := p.WrapUntil(until...)
		if err != nil {
			return nil, err
		}
		st.branches = append(st.branches, body)
		if args, tag = next, body.EndTag; tag == "endif" {
			return st, done(args, tag)
		}
	}
}

func (st *ifStatement) run(m *machine, s *scope) error {
	for i, branch := range st.branches {
		if i < len(st.conditions) {
			c, err := eval(st.conditions[i], s)
			if err != nil {
				return err
			}
			yes, err := truth(st.conditions[i], c)
			if err != nil {
				return err
			}
			if !yes {
				continue
			}
		}
		return m.write(branch.Nodes, s)
	}
	return nil
}

// setStatement is {% set name = value %}.
type setStatement struct {
	place
	target                        string
	value, condition, alternative nodes.Expression
}

func parseSet(_, args *parser.Parser) (nodes.ControlStructure, error) {
	st := &setStatement{place: place{args.Current(), "set"}}
	name := args.Match(tokens.Name)
	if name == nil || args.Match(tokens.Assign) == nil {
		return nil, args.Error("want {% set name = value %}", args.Current())
	}
	st.target = name.Val
	var err error
	if st.value, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	if st.condition, st.alternative, err = args.ParseCondition(); err != nil {
		return nil, err
	}
	return st, done(args, "set")
}

func (st *setStatement) run(_ *machine, s *scope) error {
	v, err := conditional(st, st.value, st.condition, st.alternative, s)
	if err != nil {
		return err
	}
	s.vars[st.target] = v
	return nil
}

// forStatement is {% for a in list if condition %} or {% for a, b in pairs %}.
type forStatement struct {
	place
	names       []string
	over, where nodes.Expression
	body, empty *nodes.Wrapper
}

func parseFor(p, args *parser.Parser) (nodes.ControlStructure, error) {
	st := &forStatement{place: place{args.Current(), "for"}}
	for {
		name := args.Match(tokens.Name)
		if name == nil {
			return nil, args.Error("want a name after {% for", args.Current())
		}
		st.names = append(st.names, name.Val)
		if args.Match(tokens.Comma) == nil {
			break
		}
	}
	if args.Match(tokens.In) == nil {
		return nil, args.Error("want {% for name in list %}", args.Current())
	}
	var err error
	if st.over, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	if args.MatchName("if") != nil {
		if st.where, err = args.ParseExpression(); err != nil {
			return nil, err
		}
	}
	if err := done(args, "for"); err != nil {
		return nil, err
	}
	body, rest, err := p.WrapUntil("else", "endfor")
	if err != nil {
		return nil, err
	}
	st.body = body
	if body.EndTag == "else" {
		if st.empty, rest, err = p.WrapUntil("endfor"); err != nil {
			return nil, err
		}
	}
	return st, done(rest, "endfor")
}

// bind names the parts of an item.
func (st *forStatement) bind(item any, s *scope) (*scope, error) {
	in := &scope{vars: map[string]any{}, parent: s}
	if len(st.names) == 1 {
		in.vars[st.names[0]] = item
		return in, nil
	}
	parts, ok := list(item)
	if !ok || len(parts) != len(st.names) {
		return nil, fail(st, "{%% for %%} names %d parts, an item is %s", len(st.names), describe(item))
	}
	for i, name := range st.names {
		in.vars[name] = parts[i]
	}
	return in, nil
}

func (st *forStatement) run(m *machine, s *scope) error {
	over, err := eval(st.over, s)
	if err != nil {
		return err
	}
	items, err := iterate(st.over, over)
	if err != nil {
		return err
	}
	var rounds []*scope
	for _, item := range items {
		in, err := st.bind(item, s)
		if err != nil {
			return err
		}
		if st.where != nil {
			c, err := eval(st.where, in)
			if err != nil {
				return err
			}
			if yes, err := truth(st.where, c); err != nil {
				return err
			} else if !yes {
				continue
			}
		}
		rounds = append(rounds, in)
	}
	if len(rounds) == 0 && st.empty != nil {
		return m.write(st.empty.Nodes, &scope{vars: map[string]any{}, parent: s})
	}
	for i, in := range rounds {
		n := len(rounds)
		in.vars["loop"] = ordered.Of("index", i+1, "index0", i, "first", i == 0, "last", i == n-1,
			"length", n, "revindex", n-i, "revindex0", n-i-1)
		if err := m.write(st.body.Nodes, in); err != nil {
			return err
		}
	}
	return nil
}
