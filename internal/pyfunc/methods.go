package pyfunc

import (
	"fmt"
	"slices"

	"steer/internal/jinja"
)

type method func(m *machine, self any, c arguments) (any, error)

// methods by the type they belong to; those of text are jinja's.
var methods map[string]map[string]method

func init() {
	methods = map[string]map[string]method{
		"list": {"append": listAppend, "extend": listExtend, "insert": listInsert, "pop": listPop, "remove": listRemove,
			"index": listIndex, "count": listCount, "sort": listSort, "reverse": listReverse, "copy": listCopy},
		"tuple": {"index": listIndex, "count": listCount},
		"dict": {"get": dictGet, "items": dictItems, "keys": dictKeys, "values": dictValues, "pop": dictPop,
			"update": dictUpdate, "setdefault": dictSetDefault, "copy": dictCopy},
		"set":     {"add": setAdd, "union": setUnion, "intersection": setIntersection, "difference": setDifference},
		"Dataset": datasetMethods,
		"Match":   matchMethods(),
		"Pattern": patternMethods(),
	}
}

// isMethod tells whether any value has a method of this name.
func isMethod(name string) bool {
	if jinja.IsStringMethod(name) || name == "encode" || name == "decode" {
		return true
	}
	for _, of := range methods {
		if of[name] != nil {
			return true
		}
	}
	return slices.Contains(fields, name)
}

// fields are attributes that are no methods.
var fields = []string{"column_names", "features"}

// getAttribute is v.name.
func getAttribute(v any, id string) (any, error) {
	switch x := v.(type) {
	case *module:
		member, ok := x.members[id]
		if !ok {
			return nil, fmt.Errorf("%s.%s is not supported", x.name, id)
		}
		return member, nil
	case string:
		if jinja.IsStringMethod(id) {
			return &builtin{id, func(_ *machine, c arguments) (any, error) { return textMethod(x, id, c) }}, nil
		}
		if id == "encode" {
			return &builtin{id, func(_ *machine, c arguments) (any, error) { return bytes(x), utf8Only(c) }}, nil
		}
	case bytes:
		if id == "decode" {
			return &builtin{id, func(_ *machine, c arguments) (any, error) { return string(x), utf8Only(c) }}, nil
		}
	case *builtin: // str.lower, as map wants it
		if x.name == "str" && jinja.IsStringMethod(id) {
			return &builtin{id, func(_ *machine, c arguments) (any, error) {
				if s, ok := c.args[0].(string); ok {
					return textMethod(s, id, arguments{c.args[1:], c.names, c.named})
				}
				return nil, raise("TypeError", "str.%s() of a %s", id, kindOf(c.args[0]))
			}}, nil
		}
	case *dataset:
		if slices.Contains(fields, id) {
			return x.columns(), nil
		}
	}
	if f := methods[kindOf(v)][id]; f != nil {
		return &builtin{id, func(m *machine, c arguments) (any, error) { return f(m, v, c) }}, nil
	}
	if isMethod(id) {
		return nil, raise("AttributeError", "%s object has no attribute %q", kindOf(v), id)
	}
	return nil, fmt.Errorf(".%s of a %s is not supported", id, kindOf(v))
}

// utf8Only refuses other encodings.
func utf8Only(c arguments) error {
	a, err := c.take("encode", 0, "encoding")
	if err != nil {
		return err
	}
	if s, ok := a[0].(string); given(a[0]) && (!ok || !slices.Contains([]string{"utf-8", "utf8", "UTF-8"}, s)) {
		return fmt.Errorf("the encoding %s is not supported", repr(a[0]))
	}
	return nil
}

// plainFor makes an argument of a method of text one that it takes: several texts are a list.
func plainFor(id string, v any) (any, error) {
	switch x := v.(type) {
	case *list, *tuple, *set, *dict:
		items, err := iterate(x)
		if err != nil {
			return nil, err
		}
		if id == "format" {
			return str(v), nil
		}
		if _, isTuple := x.(*tuple); !isTuple && id != "join" {
			return nil, raise("TypeError", "%s() of a %s", id, kindOf(v))
		}
		for _, e := range items {
			if _, ok := e.(string); !ok {
				return nil, raise("TypeError", "sequence item: expected str instance, %s found", kindOf(e))
			}
		}
		return items, nil
	case *poison:
		return nil, x.err
	}
	return v, nil
}

// textMethod calls a method of text.
func textMethod(s, id string, c arguments) (any, error) {
	if id == "startswith" || id == "endswith" {
		if t, ok := first(c.args).(*tuple); ok { // any of several
			for _, v := range t.items {
				yes, err := textMethod(s, id, arguments{args: append([]any{v}, c.args[1:]...)})
				if err != nil || yes == true {
					return yes, err
				}
			}
			return false, nil
		}
	}
	var args, named []any
	for _, v := range c.args {
		x, err := plainFor(id, v)
		if err != nil {
			return nil, err
		}
		args = append(args, x)
	}
	for _, v := range c.named {
		x, err := plainFor(id, v)
		if err != nil {
			return nil, err
		}
		named = append(named, x)
	}
	v, err := jinja.StringMethod(s, id, args, c.names, named)
	if err != nil {
		return nil, raise("ValueError", "%v", err)
	}
	if items, ok := v.([]any); ok {
		if id == "partition" || id == "rpartition" {
			return &tuple{items}, nil
		}
		return &list{items}, nil
	}
	return v, nil
}

func first(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

func listAppend(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("append", 1, "x")
	if err == nil {
		l := self.(*list)
		l.items = append(l.items, a[0])
	}
	return nil, err
}

func listExtend(_ *machine, self any, c arguments) (any, error) {
	items, err := itemsOf(c, "extend")
	l := self.(*list)
	l.items = append(l.items, items...)
	return nil, err
}

func listInsert(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("insert", 2, "i", "x")
	if err != nil {
		return nil, err
	}
	l := self.(*list)
	i, ok := a[0].(int)
	if !ok {
		return nil, raise("TypeError", "insert() wants an index")
	}
	if i < 0 {
		i += len(l.items)
	}
	l.items = slices.Insert(l.items, max(0, min(i, len(l.items))), a[1])
	return nil, nil
}

func listPop(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("pop", 0, "i")
	if err != nil {
		return nil, err
	}
	l, i := self.(*list), -1
	if given(a[0]) {
		i, _ = a[0].(int)
	}
	if i, err = index(i, len(l.items), "pop"); err != nil {
		return nil, err
	}
	v := l.items[i]
	l.items = slices.Delete(l.items, i, i+1)
	return v, nil
}

func place(self any, v any) int {
	return slices.IndexFunc(*sequence(self), func(e any) bool { return equal(e, v) })
}

func listRemove(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("remove", 1, "x")
	if err != nil {
		return nil, err
	}
	l, i := self.(*list), place(self, a[0])
	if i < 0 {
		return nil, raise("ValueError", "%s is not in list", repr(a[0]))
	}
	l.items = slices.Delete(l.items, i, i+1)
	return nil, nil
}

func listIndex(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("index", 1, "x")
	if err != nil {
		return nil, err
	}
	i := place(self, a[0])
	if i < 0 {
		return nil, raise("ValueError", "%s is not in list", repr(a[0]))
	}
	return i, nil
}

func listCount(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("count", 1, "x")
	if err != nil {
		return nil, err
	}
	n := 0
	for _, e := range *sequence(self) {
		if equal(e, a[0]) {
			n++
		}
	}
	return n, nil
}

func listSort(m *machine, self any, c arguments) (any, error) {
	if len(c.args) > 0 {
		return nil, raise("TypeError", "sort() takes no arguments by place")
	}
	a, err := c.take("sort", 0, "key", "reverse")
	if err != nil {
		return nil, err
	}
	return nil, m.sort(self.(*list).items, a[0], given(a[1]) && truth(a[1]))
}

func listReverse(_ *machine, self any, _ arguments) (any, error) {
	slices.Reverse(self.(*list).items)
	return nil, nil
}

func listCopy(_ *machine, self any, _ arguments) (any, error) {
	return &list{slices.Clone(self.(*list).items)}, nil
}

func dictGet(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("get", 1, "key", "default")
	if err != nil {
		return nil, err
	}
	v, ok, err := self.(*dict).get(a[0])
	if p, bad := v.(*poison); bad {
		return nil, p.err
	}
	if ok || err != nil {
		return v, err
	}
	if given(a[1]) {
		return a[1], nil
	}
	return nil, nil
}

func dictItems(_ *machine, self any, _ arguments) (any, error) {
	out := &list{}
	for _, e := range self.(*dict).all() {
		out.items = append(out.items, &tuple{[]any{e.key, e.value}})
	}
	return out, nil
}

func dictKeys(_ *machine, self any, _ arguments) (any, error) { return &list{self.(*dict).keys()}, nil }

func dictValues(_ *machine, self any, _ arguments) (any, error) {
	out := &list{}
	for _, e := range self.(*dict).all() {
		out.items = append(out.items, e.value)
	}
	return out, nil
}

func dictPop(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("pop", 1, "key", "default")
	if err != nil {
		return nil, err
	}
	v, ok, err := self.(*dict).remove(a[0])
	switch {
	case ok || err != nil:
		return v, err
	case given(a[1]):
		return a[1], nil
	}
	return nil, raise("KeyError", "%s", repr(a[0]))
}

func dictUpdate(m *machine, self any, c arguments) (any, error) {
	more, err := pyDict(m, c)
	if err != nil {
		return nil, err
	}
	for _, e := range more.(*dict).all() {
		if err := self.(*dict).set(e.key, e.value); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func dictSetDefault(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("setdefault", 1, "key", "default")
	if err != nil {
		return nil, err
	}
	d := self.(*dict)
	v, ok, err := d.get(a[0])
	if ok || err != nil {
		return v, err
	}
	if !given(a[1]) {
		a[1] = nil
	}
	return a[1], d.set(a[0], a[1])
}

func dictCopy(_ *machine, self any, _ arguments) (any, error) { return self.(*dict).copy(), nil }

func setAdd(_ *machine, self any, c arguments) (any, error) {
	a, err := c.take("add", 1, "x")
	if err != nil {
		return nil, err
	}
	return nil, self.(*set).set(a[0], nil)
}

func setUnion(m *machine, self any, c arguments) (any, error) { return setMethod(m, "|", self, c) }

func setIntersection(m *machine, self any, c arguments) (any, error) {
	return setMethod(m, "&", self, c)
}

func setDifference(m *machine, self any, c arguments) (any, error) { return setMethod(m, "-", self, c) }

func setMethod(m *machine, op string, self any, c arguments) (any, error) {
	other, err := pySet(m, c)
	if err != nil {
		return nil, err
	}
	return setOperator(op, self.(*set), other.(*set))
}
