package pyfunc

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"steer/internal/jinja"
)

// take reads the arguments of a built-in function: by place or, for those named, by name; what is
// not given is missing.
func (c arguments) take(title string, least int, names ...string) ([]any, error) {
	out := make([]any, len(names))
	for i := range out {
		out[i] = missing
	}
	if len(c.args) > len(names) {
		return nil, raise("TypeError", "%s() takes at most %d arguments, got %d", title, len(names), len(c.args))
	}
	copy(out, c.args)
	for k, id := range c.names {
		i := slices.Index(names, id)
		if i < 0 {
			return nil, fmt.Errorf("%s(): the argument %s is not supported", title, id)
		}
		out[i] = c.named[k]
	}
	for i := range least {
		if out[i] == missing {
			return nil, raise("TypeError", "%s() misses the argument %q", title, names[i])
		}
	}
	return out, nil
}

var missing any = &struct{ string }{"missing"}

func given(v any) bool { return v != missing }

// builtins are the functions and types that every file knows.
var builtins map[string]any

func init() { // the functions refer to one another through machine.call
	builtins = map[string]any{}
	for name, f := range map[string]func(m *machine, c arguments) (any, error){
		"len": pyLen, "range": pyRange, "enumerate": pyEnumerate, "zip": pyZip, "str": pyStr, "repr": pyRepr,
		"int": pyInt, "float": pyFloat, "bool": pyBool, "list": pyList, "tuple": pyTuple, "set": pySet,
		"frozenset": pySet, "dict": pyDict,
		"sorted": pySorted, "reversed": pyReversed, "min": pyMin, "max": pyMax, "sum": pySum, "abs": pyAbs,
		"any": pyAny, "all": pyAll, "map": pyMap, "filter": pyFilter, "isinstance": pyIsInstance, "chr": pyChr,
		"ord": pyOrd, "round": pyRound, "print": pyPrint, "next": pyNext, "iter": pyList, "format": pyFormat,
		"callable": pyCallable,
	} {
		builtins[name] = &builtin{name, f}
	}
	for _, name := range exceptions {
		builtins[name] = &builtin{name, func(*machine, arguments) (any, error) {
			return nil, fmt.Errorf("an exception is only raised")
		}}
	}
	builtins["__name__"] = "task"
}

func pyLen(_ *machine, c arguments) (any, error) {
	a, err := c.take("len", 1, "x")
	if err != nil {
		return nil, err
	}
	switch x := a[0].(type) {
	case string:
		return utf8.RuneCountInString(x), nil
	case bytes:
		return len(x), nil
	case *dict:
		return x.len(), nil
	case *set:
		return x.len(), nil
	}
	items, err := iterate(a[0])
	if err != nil {
		return nil, raise("TypeError", "object of type %s has no len()", kindOf(a[0]))
	}
	return len(items), nil
}

func pyRange(_ *machine, c arguments) (any, error) {
	a, err := c.take("range", 1, "start", "stop", "step")
	if err != nil {
		return nil, err
	}
	var n [3]int
	for i, v := range a {
		if !given(v) {
			continue
		}
		whole, ok := v.(int)
		if !ok {
			return nil, raise("TypeError", "%s object cannot be interpreted as an integer", kindOf(v))
		}
		n[i] = whole
	}
	start, stop, step := n[0], n[1], n[2]
	if !given(a[1]) {
		start, stop = 0, n[0]
	}
	if !given(a[2]) {
		step = 1
	}
	if step == 0 {
		return nil, raise("ValueError", "range() arg 3 must not be zero")
	}
	if (stop-start)/step > maxSteps {
		return nil, errors.New("a range that is too long")
	}
	out := &list{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		out.items = append(out.items, i)
	}
	return out, nil
}

func pyEnumerate(_ *machine, c arguments) (any, error) {
	a, err := c.take("enumerate", 1, "iterable", "start")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[0])
	if err != nil {
		return nil, err
	}
	start, _ := a[1].(int)
	out := &list{}
	for i, v := range items {
		out.items = append(out.items, &tuple{[]any{start + i, v}})
	}
	return out, nil
}

func pyZip(_ *machine, c arguments) (any, error) { return zip(c, false) }

func zip(c arguments, longest bool) (any, error) {
	fill := any(nil)
	for k, id := range c.names {
		switch {
		case id == "strict":
		case id == "fillvalue" && longest:
			fill = c.named[k]
		default:
			return nil, fmt.Errorf("zip(): the argument %s is not supported", id)
		}
	}
	var columns [][]any
	n := -1
	for _, v := range c.args {
		items, err := iterate(v)
		if err != nil {
			return nil, err
		}
		if n < 0 || len(items) < n && !longest || len(items) > n && longest {
			n = len(items)
		}
		columns = append(columns, items)
	}
	out := &list{}
	for i := range max(0, n) {
		t := &tuple{}
		for _, column := range columns {
			if i < len(column) {
				t.items = append(t.items, column[i])
			} else {
				t.items = append(t.items, fill)
			}
		}
		out.items = append(out.items, t)
	}
	return out, nil
}

func pyStr(_ *machine, c arguments) (any, error) {
	a, err := c.take("str", 0, "object")
	if err != nil || !given(a[0]) {
		return "", err
	}
	return str(a[0]), nil
}

func pyRepr(_ *machine, c arguments) (any, error) {
	a, err := c.take("repr", 1, "object")
	if err != nil {
		return nil, err
	}
	return repr(a[0]), nil
}

func pyFormat(_ *machine, c arguments) (any, error) {
	a, err := c.take("format", 1, "value", "spec")
	if err != nil {
		return nil, err
	}
	spec, _ := a[1].(string)
	return formatValue(a[0], spec)
}

func pyInt(_ *machine, c arguments) (any, error) {
	a, err := c.take("int", 0, "x")
	if err != nil || !given(a[0]) {
		return 0, err
	}
	switch x := a[0].(type) {
	case bool:
		return map[bool]int{true: 1}[x], nil
	case int:
		return x, nil
	case float64:
		if math.IsNaN(x) || math.Abs(x) >= 1<<63 {
			return nil, raise("ValueError", "cannot convert %v to an integer", x)
		}
		return int(x), nil
	case string:
		text := strings.ReplaceAll(strings.TrimSpace(x), "_", "")
		i, err := strconv.Atoi(strings.TrimPrefix(text, "+"))
		if err != nil {
			return nil, raise("ValueError", "invalid literal for int() with base 10: %s", repr(x))
		}
		return i, nil
	}
	return nil, raise("TypeError", "int() argument must be a string or a number, not %s", kindOf(a[0]))
}

func pyFloat(_ *machine, c arguments) (any, error) {
	a, err := c.take("float", 0, "x")
	if err != nil || !given(a[0]) {
		return 0.0, err
	}
	switch x := a[0].(type) {
	case bool:
		return map[bool]float64{true: 1}[x], nil
	case int:
		return float64(x), nil
	case float64:
		return x, nil
	case string:
		text := strings.ToLower(strings.TrimSpace(x))
		f, err := strconv.ParseFloat(text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(text, "xp_") {
			return nil, raise("ValueError", "could not convert string to float: %s", repr(x))
		}
		return f, nil
	}
	return nil, raise("TypeError", "float() argument must be a string or a number, not %s", kindOf(a[0]))
}

func pyBool(_ *machine, c arguments) (any, error) {
	a, err := c.take("bool", 0, "x")
	if err != nil {
		return nil, err
	}
	return given(a[0]) && truth(a[0]), nil
}

// itemsOf are those of the one argument of list(), tuple() and set(); none without.
func itemsOf(c arguments, title string) ([]any, error) {
	a, err := c.take(title, 0, "iterable")
	if err != nil || !given(a[0]) {
		return nil, err
	}
	items, err := iterate(a[0])
	return slices.Clone(items), err
}

func pyList(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "list")
	return &list{items}, err
}

func pyTuple(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "tuple")
	return &tuple{items}, err
}

func pySet(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "set")
	if err != nil {
		return nil, err
	}
	return setOf(items)
}

func setOf(items []any) (any, error) {
	s := &set{newDict()}
	for _, v := range items {
		if err := s.set(v, nil); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func setOperator(op string, a, b *set) (any, error) {
	out := &set{newDict()}
	add := func(from *set, keep func(key any) (bool, error)) error {
		for _, k := range from.keys() {
			ok, err := keep(k)
			if err == nil && ok {
				err = out.set(k, nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	in := func(s *set, want bool) func(any) (bool, error) {
		return func(k any) (bool, error) {
			_, ok, err := s.get(k)
			return ok == want, err
		}
	}
	var err error
	switch op {
	case "&":
		err = add(a, in(b, true))
	case "-":
		err = add(a, in(b, false))
	case "|":
		err = errors.Join(add(a, in(out, false)), add(b, in(out, false)))
	case "^":
		err = errors.Join(add(a, in(b, false)), add(b, in(a, false)))
	default:
		return nil, fmt.Errorf("the operator %s of sets is not supported", op)
	}
	return out, err
}

func pyDict(_ *machine, c arguments) (any, error) {
	out := newDict()
	if len(c.args) > 1 {
		return nil, raise("TypeError", "dict() takes at most one argument by place")
	}
	for _, v := range c.args {
		if d, ok := v.(*dict); ok {
			out = d.copy()
			continue
		}
		items, err := iterate(v)
		if err != nil {
			return nil, err
		}
		for _, pair := range items {
			kv, err := iterate(pair)
			if err != nil || len(kv) != 2 {
				return nil, raise("ValueError", "dict() wants pairs of key and value")
			}
			if err := out.set(kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
	}
	for k, id := range c.names {
		out.setText(id, c.named[k])
	}
	return out, nil
}

// keyed gives the values that a key function makes of some.
func (m *machine) keyed(items []any, key any) ([]any, error) {
	if !given(key) || key == nil {
		return items, nil
	}
	out := make([]any, len(items))
	for i, v := range items {
		var err error
		if out[i], err = m.call(key, arguments{args: []any{v}}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sort sorts a list in place; equal ones keep their order, backwards too.
func (m *machine) sort(items []any, key any, backwards bool) error {
	keys, err := m.keyed(slices.Clone(items), key)
	if err != nil {
		return err
	}
	type pair struct{ key, value any }
	pairs := make([]pair, len(items))
	for i := range items {
		pairs[i] = pair{keys[i], items[i]}
	}
	var failed error
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if backwards {
			a, b = b, a
		}
		before, err := less(a.key, b.key)
		if err != nil {
			failed = err
		}
		if before {
			return -1
		}
		after, err := less(b.key, a.key)
		if err != nil {
			failed = err
		}
		if after {
			return 1
		}
		return 0
	})
	for i, p := range pairs {
		items[i] = p.value
	}
	return failed
}

func pySorted(m *machine, c arguments) (any, error) {
	a, err := c.take("sorted", 1, "iterable", "key", "reverse")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[0])
	if err != nil {
		return nil, err
	}
	out := &list{slices.Clone(items)}
	return out, m.sort(out.items, a[1], given(a[2]) && truth(a[2]))
}

func pyReversed(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "reversed")
	slices.Reverse(items)
	return &list{items}, err
}

func pyMin(m *machine, c arguments) (any, error) { return m.extreme(c, "min", 1) }
func pyMax(m *machine, c arguments) (any, error) { return m.extreme(c, "max", -1) }

func (m *machine) extreme(c arguments, title string, sign int) (any, error) {
	key, otherwise := missing, missing
	for k, id := range c.names {
		switch id {
		case "key":
			key = c.named[k]
		case "default":
			otherwise = c.named[k]
		default:
			return nil, fmt.Errorf("%s(): the argument %s is not supported", title, id)
		}
	}
	items := c.args
	if len(items) == 1 {
		var err error
		if items, err = iterate(items[0]); err != nil {
			return nil, err
		}
	}
	if len(items) == 0 {
		if given(otherwise) {
			return otherwise, nil
		}
		return nil, raise("ValueError", "%s() of an empty sequence", title)
	}
	keys, err := m.keyed(items, key)
	if err != nil {
		return nil, err
	}
	best := 0
	for i := range items {
		a, b := keys[i], keys[best]
		if sign < 0 {
			a, b = b, a
		}
		before, err := less(a, b)
		if err != nil {
			return nil, err
		}
		if before {
			best = i
		}
	}
	return items[best], nil
}

func pySum(_ *machine, c arguments) (any, error) {
	a, err := c.take("sum", 1, "iterable", "start")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[0])
	if err != nil {
		return nil, err
	}
	total := any(0)
	if given(a[1]) {
		total = a[1]
	}
	for _, v := range items {
		if total, err = operate("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func pyAbs(_ *machine, c arguments) (any, error) {
	a, err := c.take("abs", 1, "x")
	if err != nil {
		return nil, err
	}
	if order, ok := jinja.CompareNumbers(a[0], 0); ok && order >= 0 {
		return operate("+", a[0], 0)
	}
	return operate("-", 0, a[0])
}

func pyAny(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "any")
	return slices.ContainsFunc(items, truth), err
}

func pyAll(_ *machine, c arguments) (any, error) {
	items, err := itemsOf(c, "all")
	return !slices.ContainsFunc(items, func(v any) bool { return !truth(v) }), err
}

func pyMap(m *machine, c arguments) (any, error) {
	if len(c.args) < 2 || len(c.names) > 0 {
		return nil, raise("TypeError", "map() wants a function and what it is called on")
	}
	rows, err := zip(arguments{args: c.args[1:]}, false)
	if err != nil {
		return nil, err
	}
	out := &list{}
	for _, row := range rows.(*list).items {
		v, err := m.call(c.args[0], arguments{args: row.(*tuple).items})
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, v)
	}
	return out, nil
}

func pyFilter(m *machine, c arguments) (any, error) {
	a, err := c.take("filter", 2, "function", "iterable")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[1])
	if err != nil {
		return nil, err
	}
	out := &list{}
	for _, v := range items {
		keep := v
		if a[0] != nil {
			if keep, err = m.call(a[0], arguments{args: []any{v}}); err != nil {
				return nil, err
			}
		}
		if truth(keep) {
			out.items = append(out.items, v)
		}
	}
	return out, nil
}

func pyIsInstance(_ *machine, c arguments) (any, error) {
	a, err := c.take("isinstance", 2, "object", "type")
	if err != nil {
		return nil, err
	}
	kinds := []any{a[1]}
	if t, ok := a[1].(*tuple); ok {
		kinds = t.items
	}
	for _, k := range kinds {
		b, ok := k.(*builtin)
		if !ok {
			return nil, fmt.Errorf("isinstance() of a %s is not supported", kindOf(k))
		}
		if kind := kindOf(a[0]); kind == b.name || kind == "bool" && b.name == "int" {
			return true, nil
		}
	}
	return false, nil
}

func pyCallable(_ *machine, c arguments) (any, error) {
	a, err := c.take("callable", 1, "object")
	if err != nil {
		return nil, err
	}
	return kindOf(a[0]) == "function", nil
}

func pyChr(_ *machine, c arguments) (any, error) {
	a, err := c.take("chr", 1, "i")
	if err != nil {
		return nil, err
	}
	i, ok := a[0].(int)
	if !ok || i < 0 || i > utf8.MaxRune || 0xd800 <= i && i < 0xe000 {
		return nil, raise("ValueError", "chr() arg not in range")
	}
	return string(rune(i)), nil
}

func pyOrd(_ *machine, c arguments) (any, error) {
	a, err := c.take("ord", 1, "c")
	if err != nil {
		return nil, err
	}
	s, ok := a[0].(string)
	if !ok || utf8.RuneCountInString(s) != 1 {
		return nil, raise("TypeError", "ord() expected a character")
	}
	r, _ := utf8.DecodeRuneInString(s)
	return int(r), nil
}

func pyRound(_ *machine, c arguments) (any, error) {
	a, err := c.take("round", 1, "number", "ndigits")
	if err != nil {
		return nil, err
	}
	digits, has := a[1].(int)
	switch x := a[0].(type) {
	case int:
		return x, nil
	case float64:
		if !has {
			return int(math.RoundToEven(x)), nil
		}
		return strconv.ParseFloat(strconv.FormatFloat(x, 'f', max(0, digits), 64), 64)
	}
	return nil, raise("TypeError", "%s cannot be rounded", kindOf(a[0]))
}

func pyPrint(*machine, arguments) (any, error) { return nil, nil }

func pyNext(_ *machine, c arguments) (any, error) {
	a, err := c.take("next", 1, "iterator", "default")
	if err != nil {
		return nil, err
	}
	items, err := iterate(a[0])
	switch {
	case err != nil:
		return nil, err
	case len(items) > 0:
		return items[0], nil
	case given(a[1]):
		return a[1], nil
	}
	return nil, raise("StopIteration", "nothing is left")
}
