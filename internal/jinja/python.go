package jinja

import (
	"fmt"
	"slices"
)

// StringMethod calls a method of Python's str, by place and by name. Texts among the arguments
// and in the result are strings, lists and tuples []any.
func StringMethod(s, method string, args []any, names []string, named []any) (any, error) {
	c := call{names: names}
	for _, v := range args {
		x, err := inside(v, 0)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, x)
	}
	for _, v := range named {
		x, err := inside(v, 0)
		if err != nil {
			return nil, err
		}
		c.named = append(c.named, x)
	}
	v, err := textMethod(text{s: s}, method, c)
	if err != nil {
		return nil, fmt.Errorf("%s(): %w", method, err)
	}
	return outside(v), nil
}

// IsStringMethod tells whether StringMethod knows it.
func IsStringMethod(name string) bool { return slices.Contains(textMethods, name) }

// Arithmetic is an operator of Python's on two numbers: + - * / // % **.
func Arithmetic(op string, a, b any) (any, error) { return arithmetic(kind(op), a, b) }

// CompareNumbers gives -1, 0 or 1, as Python orders whole numbers, numbers and truth values, or 2
// where one is not a number (nan); ok is false for other values.
func CompareNumbers(a, b any) (order int, ok bool) {
	x, i, wholeX, okX := number(a)
	y, j, wholeY, okY := number(b)
	if !okX || !okY {
		return 0, false
	}
	return compareNumbers(x, i, wholeX, y, j, wholeY), true
}

// Percent is Python's format % values; several values are []any.
func Percent(format string, values any) (any, error) {
	v, err := inside(values, 0)
	if err != nil {
		return nil, err
	}
	if list, ok := v.([]any); ok {
		v = tuple(list)
	}
	out, err := percent(text{s: format}, v)
	return outside(out), err
}

// Repr is Python's repr of a text or a number.
func Repr(v any) string {
	x, err := inside(v, 0)
	if err != nil {
		return fmt.Sprint(v)
	}
	return repr(x).s
}
