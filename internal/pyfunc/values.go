package pyfunc

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"steer/internal/jinja"
	"steer/internal/ordered"
	"steer/internal/pyre"
)

// The values are nil, bool, int, float64, string, *list, *tuple, *dict, *set, *function, *builtin,
// *module, *dataset, *pattern, *match and *poison.

type list struct{ items []any }

type tuple struct{ items []any }

// dict keeps the order in which keys were first set.
type dict struct {
	entries []entry
	index   map[string]int
}

type entry struct {
	key, value any
	gone       bool
}

type set struct{ *dict }

type builtin struct {
	name string
	call func(m *machine, c arguments) (any, error)
}

// bytes are a text as UTF-8: they can be counted and made text again.
type bytes string

type pattern struct{ *pyre.Pattern }

type match struct{ *pyre.Match }

// dataset is a table of the module datasets: rows with the lines that they come from.
type dataset struct {
	rows  []*dict
	lines []int
}

// poison stands for what is not understood; using it is the error.
type poison struct{ err error }

// arguments of a call.
type arguments struct {
	args  []any
	names []string
	named []any
}

// exception is an error of Python's that a function may catch.
type exception struct {
	kind, msg string
}

func (e *exception) Error() string { return e.kind + ": " + e.msg }

func raise(kind, format string, args ...any) error {
	return &exception{kind, fmt.Sprintf(format, args...)}
}

func newDict() *dict { return &dict{index: map[string]int{}} }

// hash is a text that equal keys share.
func hash(v any) (string, error) {
	switch x := v.(type) {
	case nil:
		return "n", nil
	case string:
		return "s" + x, nil
	case bool:
		if x {
			return "i1", nil
		}
		return "i0", nil
	case int:
		return "i" + strconv.Itoa(x), nil
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return "i" + strconv.Itoa(int(x)), nil
		}
		return "f" + strconv.FormatFloat(x, 'g', -1, 64), nil
	case *tuple:
		var b strings.Builder
		for _, e := range x.items {
			h, err := hash(e)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%d:%s", len(h), h)
		}
		return "t" + b.String(), nil
	}
	return "", raise("TypeError", "unhashable type: %s", kindOf(v))
}

func (d *dict) get(key any) (any, bool, error) {
	h, err := hash(key)
	if err != nil {
		return nil, false, err
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false, nil
	}
	return d.entries[i].value, true, nil
}

func (d *dict) set(key, value any) error {
	h, err := hash(key)
	if err != nil {
		return err
	}
	if i, ok := d.index[h]; ok {
		d.entries[i].value = value
		return nil
	}
	d.index[h] = len(d.entries)
	d.entries = append(d.entries, entry{key: key, value: value})
	return nil
}

// setText sets a key that is text.
func (d *dict) setText(key string, value any) {
	if err := d.set(key, value); err != nil {
		panic(err) // text can be hashed
	}
}

func (d *dict) remove(key any) (any, bool, error) {
	h, err := hash(key)
	if err != nil {
		return nil, false, err
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false, nil
	}
	delete(d.index, h)
	d.entries[i].gone = true
	return d.entries[i].value, true, nil
}

func (d *dict) len() int { return len(d.index) }

// all lists the entries in order.
func (d *dict) all() []entry {
	out := make([]entry, 0, len(d.index))
	for _, e := range d.entries {
		if !e.gone {
			out = append(out, e)
		}
	}
	return out
}

func (d *dict) keys() []any {
	var out []any
	for _, e := range d.all() {
		out = append(out, e.key)
	}
	return out
}

func (d *dict) copy() *dict {
	out := newDict()
	for _, e := range d.all() {
		if err := out.set(e.key, e.value); err != nil {
			panic(err) // it was hashed before
		}
	}
	return out
}

// kindOf names a type as Python does.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *list:
		return "list"
	case *tuple:
		return "tuple"
	case *dict:
		return "dict"
	case *set:
		return "set"
	case *function, *builtin:
		return "function"
	case *dataset:
		return "Dataset"
	case *pattern:
		return "Pattern"
	case *match:
		return "Match"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", v), "*pyfunc.")
}

func truth(v any) bool {
	switch x := v.(type) {
	case nil:
		return false
	case bool:
		return x
	case int:
		return x != 0
	case float64:
		return x != 0
	case string:
		return x != ""
	case *list:
		return len(x.items) > 0
	case *tuple:
		return len(x.items) > 0
	case *dict:
		return x.len() > 0
	case *set:
		return x.len() > 0
	case *dataset:
		return len(x.rows) > 0
	}
	return true
}

// equal is Python's ==.
func equal(a, b any) bool {
	if order, ok := jinja.CompareNumbers(a, b); ok {
		return order == 0
	}
	same := func(x, y []any) bool {
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	switch x := a.(type) {
	case *list:
		y, ok := b.(*list)
		return ok && same(x.items, y.items)
	case *tuple:
		y, ok := b.(*tuple)
		return ok && same(x.items, y.items)
	case *set:
		y, ok := b.(*set)
		return ok && x.sameKeys(y.dict, func(any, any) bool { return true })
	case *dict:
		y, ok := b.(*dict)
		return ok && x.sameKeys(y, equal)
	}
	return a == b
}

func (d *dict) sameKeys(o *dict, same func(a, b any) bool) bool {
	if d.len() != o.len() {
		return false
	}
	for h, i := range d.index {
		j, ok := o.index[h]
		if !ok || !same(d.entries[i].value, o.entries[j].value) {
			return false
		}
	}
	return true
}

// less is Python's <.
func less(a, b any) (bool, error) {
	if order, ok := jinja.CompareNumbers(a, b); ok {
		return order == -1, nil
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return x < y, nil // UTF-8 sorts as its characters do
		}
	}
	x, y := sequence(a), sequence(b)
	if x == nil || y == nil || kindOf(a) != kindOf(b) {
		return false, raise("TypeError", "'<' not supported between %s and %s", kindOf(a), kindOf(b))
	}
	for i := range min(len(*x), len(*y)) {
		if !equal((*x)[i], (*y)[i]) {
			return less((*x)[i], (*y)[i])
		}
	}
	return len(*x) < len(*y), nil
}

// sequence gives the items of a list or tuple, nil of others.
func sequence(v any) *[]any {
	switch x := v.(type) {
	case *list:
		return &x.items
	case *tuple:
		return &x.items
	}
	return nil
}

// iterate lists what a for loop goes over.
func iterate(v any) ([]any, error) {
	switch x := v.(type) {
	case *list:
		return x.items, nil
	case *tuple:
		return x.items, nil
	case *dict:
		return x.keys(), nil
	case *set:
		return x.keys(), nil
	case *dataset:
		var out []any
		for _, r := range x.rows {
			out = append(out, copied(r))
		}
		return out, nil
	case string:
		var out []any
		for _, r := range x {
			out = append(out, string(r))
		}
		return out, nil
	}
	return nil, raise("TypeError", "%s object is not iterable", kindOf(v))
}

// copied is a deep copy.
func copied(v any) any {
	each := func(items []any) []any {
		out := make([]any, len(items))
		for i := range items {
			out[i] = copied(items[i])
		}
		return out
	}
	switch x := v.(type) {
	case *list:
		return &list{each(x.items)}
	case *tuple:
		return &tuple{each(x.items)}
	case *dict:
		out := newDict()
		for _, e := range x.all() {
			if err := out.set(e.key, copied(e.value)); err != nil {
				panic(err)
			}
		}
		return out
	case *set:
		return &set{x.copy()}
	}
	return v
}

// str is Python's str().
func str(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

// repr is Python's repr().
func repr(v any) string {
	all := func(open string, items []any, end string) string {
		parts := make([]string, len(items))
		for i := range items {
			parts[i] = repr(items[i])
		}
		return open + strings.Join(parts, ", ") + end
	}
	switch x := v.(type) {
	case nil, bool, int, float64, string:
		return jinja.Repr(v)
	case *list:
		return all("[", x.items, "]")
	case *tuple:
		if len(x.items) == 1 {
			return all("(", x.items, ",)")
		}
		return all("(", x.items, ")")
	case *set:
		if x.len() == 0 {
			return "set()"
		}
		return all("{", x.keys(), "}")
	case *dict:
		parts := []string{}
		for _, e := range x.all() {
			parts = append(parts, repr(e.key)+": "+repr(e.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "<" + kindOf(v) + ">"
}

// Unusable is a value that a row holds, but that cannot be given exactly: using it is an error.
type Unusable string

// Tuple is a tuple among the arguments of [Function.Call].
type Tuple []any

// inside makes a value of a row one of the machine.
func inside(v any) (any, error) {
	switch x := v.(type) {
	case Tuple:
		l, err := inside([]any(x))
		if err != nil {
			return nil, err
		}
		return &tuple{l.(*list).items}, nil
	case nil, bool, int, float64, string:
		return v, nil
	case int64:
		return int(x), nil
	case int32:
		return int(x), nil
	case float32:
		return float64(x), nil
	case Unusable:
		return &poison{fmt.Errorf("%s", string(x))}, nil
	case []any:
		out := &list{make([]any, len(x))}
		for i := range x {
			var err error
			if out.items[i], err = inside(x[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *ordered.Map:
		out := newDict()
		for k, e := range x.All() {
			v, err := inside(e)
			if err != nil {
				return nil, err
			}
			out.setText(k, v)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a row holds a %T, which has no value in Python", v)
}

// outside makes a value of the machine one of a row: lists and tuples are []any, dicts with keys of
// text *ordered.Map.
func outside(v any) (any, error) {
	each := func(items []any) (any, error) {
		out := make([]any, len(items))
		for i := range items {
			var err error
			if out[i], err = outside(items[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	switch x := v.(type) {
	case nil, bool, int, float64, string:
		return v, nil
	case *list:
		return each(x.items)
	case *tuple:
		return each(x.items)
	case *poison:
		return Unusable(x.err.Error()), nil
	case *dict:
		out := ordered.New(x.len())
		for _, e := range x.all() {
			key, ok := e.key.(string)
			if !ok {
				return nil, fmt.Errorf("a dict with the key %s: want text as keys of a row", repr(e.key))
			}
			value, err := outside(e.value)
			if err != nil {
				return nil, err
			}
			out.Set(key, value)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s is no value of a row", kindOf(v))
}
