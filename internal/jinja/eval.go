package jinja

import (
	"fmt"
	"slices"

	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"steer/internal/ordered"
)

// undefined is what Jinja calls undefined: an error as soon as it is used, but for
// "is defined" and the filter default. It holds the message.
type undefined string

// eval gives the value of an expression.
func eval(n nodes.Node, s *scope) (any, error) {
	switch n := n.(type) {
	case nil:
		return nil, &Error{Msg: "an expression is missing"}
	case *nodes.None:
		return nil, nil
	case *nodes.String:
		return n.Val, nil
	case *nodes.Integer:
		return n.Val, nil
	case *nodes.Float:
		return n.Val, nil
	case *nodes.Bool:
		return n.Val, nil
	case *nodes.List:
		return evalList(n.Val, s)
	case *nodes.Tuple:
		list, err := evalList(n.Val, s)
		return tuple(list), err
	case *nodes.Dict:
		return evalDict(n, s)
	case *nodes.Name:
		return evalName(n, s)
	case *nodes.GetAttribute:
		return evalAttribute(n, s)
	case *nodes.GetItem:
		return evalItem(n, s)
	case *nodes.GetSlice:
		return evalSlice(n, s)
	case *nodes.Call:
		return evalCall(n, s)
	case *nodes.Negation:
		v, err := eval(n.Term, s)
		if err != nil {
			return nil, err
		}
		yes, err := truth(n, v)
		return !yes, err
	case *nodes.UnaryExpression:
		return evalUnary(n, s)
	case *nodes.BinaryExpression:
		return evalBinary(n, s)
	case *nodes.FilteredExpression:
		return evalFiltered(n, s)
	case *nodes.TestExpression:
		return evalTest(n, s)
	}
	return nil, fail(n, "%T is not supported", n)
}

// value is eval that refuses what is undefined.
func value(n nodes.Node, s *scope) (any, error) {
	v, err := eval(n, s)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, fail(n, "%s", string(u))
	}
	return v, nil
}

// whole is value that refuses lists and dicts, too, that hold something undefined.
func whole(n nodes.Node, s *scope) (any, error) {
	v, err := eval(n, s)
	if err != nil {
		return nil, err
	}
	return v, defined(n, v)
}

func evalList(elements []nodes.Expression, s *scope) ([]any, error) {
	out := make([]any, len(elements))
	for i, e := range elements {
		var err error
		if out[i], err = value(e, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func evalDict(n *nodes.Dict, s *scope) (any, error) {
	out := ordered.New(len(n.Pairs))
	for _, p := range n.Pairs {
		k, err := value(p.Key, s)
		if err != nil {
			return nil, err
		}
		key, ok := k.(string)
		if !ok {
			return nil, fail(n, "a dict needs text as keys, got %s", describe(k))
		}
		v, err := value(p.Value, s)
		if err != nil {
			return nil, err
		}
		out.Set(key, v)
	}
	return out, nil
}

func evalName(n *nodes.Name, s *scope) (any, error) {
	name := n.Name.Val
	if v, ok := s.get(name); ok {
		return v, nil
	}
	if name == "none" { // the parser knows None only
		return nil, nil
	}
	return undefined(fmt.Sprintf("%q is not defined", name)), nil
}

func evalAttribute(n *nodes.GetAttribute, s *scope) (any, error) {
	v, err := value(n.Node, s)
	if err != nil {
		return nil, err
	}
	if n.Attribute == "" {
		return item(n, v, n.Index)
	}
	return item(n, v, n.Attribute)
}

func evalItem(n *nodes.GetItem, s *scope) (any, error) {
	v, err := value(n.Node, s)
	if err != nil {
		return nil, err
	}
	k, err := value(n.Arg, s)
	if err != nil {
		return nil, err
	}
	return item(n, v, k)
}

// item gives v[key]; what is not there is undefined.
func item(at nodes.Node, v, key any) (any, error) {
	kind := kindOf(v)
	if t, ok := v.(tuple); ok {
		v = []any(t)
	}
	if m, ok := v.(*ordered.Map); ok {
		k, ok := key.(string)
		if !ok {
			return undefined(fmt.Sprintf("a dict has no element %s", describe(key))), nil
		}
		if e, ok := m.Get(k); ok {
			return e, nil
		}
		return undefined(fmt.Sprintf("a dict has no element %q", k)), nil
	}
	if b, ok := key.(bool); ok {
		key = intOf(b)
	}
	i, isIndex := key.(int)
	if !isIndex {
		return undefined(fmt.Sprintf("%s has no element %s", describe(v), describe(key))), nil
	}
	var n int
	switch x := v.(type) {
	case string:
		n = len([]rune(x))
	case []any:
		n = len(x)
	default:
		return undefined(fmt.Sprintf("%s has no element %d", describe(v), i)), nil
	}
	from := i
	if i < 0 {
		from += n
	}
	if from < 0 || from >= n {
		return undefined(fmt.Sprintf("%s of length %d has no element %d", kind, n, i)), nil
	}
	if x, ok := v.(string); ok {
		return string([]rune(x)[from]), nil
	}
	return v.([]any)[from], nil
}

// evalSlice is v[start:end:step] with Python's rules.
func evalSlice(n *nodes.GetSlice, s *scope) (any, error) {
	v, err := value(n.Node, s)
	if err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case string:
		runes := []rune(x)
		at, err := sliced(n, s, len(runes))
		out := make([]rune, len(at))
		for k, i := range at {
			out[k] = runes[i]
		}
		return string(out), err
	case []any:
		at, err := sliced(n, s, len(x))
		out := make([]any, len(at))
		for k, i := range at {
			out[k] = x[i]
		}
		return out, err
	case tuple:
		at, err := sliced(n, s, len(x))
		out := make(tuple, len(at))
		for k, i := range at {
			out[k] = x[i]
		}
		return out, err
	}
	return nil, fail(n, "only text and lists can be sliced, got %s", describe(v))
}

// sliced lists the indices that a slice takes of a sequence.
func sliced(n *nodes.GetSlice, s *scope, length int) ([]int, error) {
	step, _, err := sliceBound(n, n.Step, s, 1)
	if err != nil {
		return nil, err
	}
	if step == 0 {
		return nil, fail(n, "the step of a slice is 0")
	}
	low, high, first, last := 0, length, 0, length
	if step < 0 {
		low, high, first, last = -1, length-1, length-1, -1
	}
	var ends [2]int
	for k, at := range []nodes.Node{n.Start, n.End} {
		i, given, err := sliceBound(n, at, s, []int{first, last}[k])
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
	for i := ends[0]; step > 0 && i < ends[1] || step < 0 && i > ends[1]; i += step {
		out = append(out, i)
	}
	return out, nil
}

// sliceBound evaluates a part of a slice; given tells whether it is there.
func sliceBound(n *nodes.GetSlice, at nodes.Node, s *scope, otherwise int) (i int, given bool, err error) {
	if at == nil {
		return otherwise, false, nil
	}
	k, err := value(at, s)
	if err != nil || k == nil {
		return otherwise, false, err
	}
	i, ok := k.(int)
	if !ok {
		return 0, false, fail(n, "a slice needs whole numbers, got %s", describe(k))
	}
	return i, true, nil
}

// arguments evaluates the arguments of a call, filter or test.
func arguments(args []nodes.Expression, named map[string]nodes.Expression, s *scope) (call, error) {
	c := call{named: map[string]any{}}
	for _, a := range args {
		v, err := whole(a, s)
		if err != nil {
			return c, err
		}
		c.args = append(c.args, v)
	}
	for k, a := range named {
		v, err := whole(a, s)
		if err != nil {
			return c, err
		}
		c.named[k] = v
	}
	return c, nil
}

// evalCall calls a method, or range.
func evalCall(n *nodes.Call, s *scope) (any, error) {
	c, err := arguments(n.Args, n.Kwargs, s)
	if err != nil {
		return nil, err
	}
	var v any
	switch f := n.Func.(type) {
	case *nodes.GetAttribute:
		var on any
		if on, err = value(f.Node, s); err != nil {
			return nil, err
		}
		v, err = method(on, f.Attribute, c)
	case *nodes.Name:
		if f.Name.Val != "range" {
			return nil, fail(n, "the function %s() is not known: there is range()", f.Name.Val)
		}
		v, err = pyRange(c)
	default:
		return nil, fail(n, "only methods and range() can be called")
	}
	if err != nil {
		return nil, fail(n, "%v", err)
	}
	return v, nil
}

func evalFiltered(n *nodes.FilteredExpression, s *scope) (any, error) {
	v, err := eval(n.Expression, s)
	if err != nil {
		return nil, err
	}
	for _, f := range n.Filters {
		c, err := arguments(f.Args, f.Kwargs, s)
		if err != nil {
			return nil, err
		}
		if f.Name != "default" && f.Name != "d" {
			if err := defined(n, v); err != nil {
				return nil, err
			}
		}
		if v, err = filter(f.Name, v, c); err != nil {
			return nil, fail(n, "filter %s: %v", f.Name, err)
		}
	}
	return v, nil
}

func evalTest(n *nodes.TestExpression, s *scope) (any, error) {
	v, err := eval(n.Expression, s)
	if err != nil {
		return nil, err
	}
	c, err := arguments(n.Test.Args, n.Test.Kwargs, s)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok && n.Test.Name != "defined" && n.Test.Name != "undefined" {
		return nil, fail(n, "%s", string(u))
	}
	yes, err := test(n.Test.Name, v, c)
	if err != nil {
		return nil, fail(n, "test %s: %v", n.Test.Name, err)
	}
	return yes, nil
}

func evalUnary(n *nodes.UnaryExpression, s *scope) (any, error) {
	v, err := value(n.Term, s)
	if err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case int:
		if n.Negative {
			return -x, nil
		}
		return x, nil
	case float64:
		if n.Negative {
			return -x, nil
		}
		return x, nil
	}
	return nil, fail(n, "a sign before %s", describe(v))
}

var comparisons = []tokens.Type{tokens.Equals, tokens.Ne, tokens.GreaterThan, tokens.GreaterThanOrEqual,
	tokens.LowerThan, tokens.LowerThanOrEqual}

func evalBinary(n *nodes.BinaryExpression, s *scope) (any, error) {
	op := n.Operator.Token
	if left, ok := n.Left.(*nodes.BinaryExpression); ok && slices.Contains(comparisons, op.Type) &&
		slices.Contains(comparisons, left.Operator.Token.Type) {
		return nil, fail(n, "a chain of comparisons is not supported: write (a %s b) and (b %s c)",
			left.Operator.Token.Val, op.Val)
	}
	left, err := whole(n.Left, s)
	if err != nil {
		return nil, err
	}
	if op.Type == tokens.And || op.Type == tokens.Or {
		yes, err := truth(n.Left, left)
		if err != nil {
			return nil, err
		}
		if yes == (op.Type == tokens.Or) {
			return left, nil
		}
		return value(n.Right, s)
	}
	right, err := whole(n.Right, s)
	if err != nil {
		return nil, err
	}
	v, err := operate(op, left, right)
	if err != nil {
		return nil, fail(n, "%v", err)
	}
	return v, nil
}
