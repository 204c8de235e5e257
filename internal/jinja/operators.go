package jinja

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"steer/internal/ordered"
)

// maxText bounds what a template may build, in bytes or elements.
const maxText = 16 << 20

func intOf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// number gives a value as a number; whole tells int and bool from float.
func number(v any) (f float64, i int, whole, ok bool) {
	switch x := v.(type) {
	case bool:
		return float64(intOf(x)), intOf(x), true, true
	case int:
		return float64(x), x, true, true
	case float64:
		return x, 0, false, true
	}
	return 0, 0, false, false
}

// equal is Python's ==.
func equal(a, b any) bool {
	x, i, wholeX, okX := number(a)
	y, j, wholeY, okY := number(b)
	if okX && okY {
		return compareNumbers(x, i, wholeX, y, j, wholeY) == 0
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case text:
		t, ok := b.(text)
		return ok && a.s == t.s
	case []any:
		t, ok := b.([]any)
		return ok && slices.EqualFunc(a, t, equal)
	case tuple:
		t, ok := b.(tuple)
		return ok && slices.EqualFunc(a, t, equal)
	case *dict:
		t, ok := b.(*dict)
		return ok && ordered.Equal(a.Map, t.Map, equal)
	case *namespace:
		t, ok := b.(*namespace)
		return ok && a == t
	case *function:
		t, ok := b.(*function)
		return ok && a == t
	}
	return false
}

// less is Python's <: numbers with numbers, text with text, lists with lists.
func less(a, b any) (bool, error) {
	x, i, wholeX, okX := number(a)
	y, j, wholeY, okY := number(b)
	if okX && okY {
		return compareNumbers(x, i, wholeX, y, j, wholeY) == -1, nil
	}
	if s, ok := a.(text); ok {
		if t, ok := b.(text); ok {
			return slices.Compare([]rune(s.s), []rune(t.s)) < 0, nil
		}
	}
	_, tupleA := a.(tuple)
	_, tupleB := b.(tuple)
	if s, ok := list(a); ok && tupleA == tupleB {
		if t, ok := list(b); ok {
			for i := range min(len(s), len(t)) {
				if !equal(s[i], t[i]) {
					return less(s[i], t[i])
				}
			}
			return len(s) < len(t), nil
		}
	}
	return false, fmt.Errorf("%s and %s cannot be compared", describe(a), describe(b))
}

// contains is Python's "a in b".
func contains(a, b any) (bool, error) {
	switch x := b.(type) {
	case text:
		s, ok := a.(text)
		if !ok {
			return false, fmt.Errorf("only text can be in text, got %s", describe(a))
		}
		return strings.Contains(x.s, s.s), nil
	case []any:
		return slices.ContainsFunc(x, func(e any) bool { return equal(e, a) }), nil
	case tuple:
		return contains(a, []any(x))
	case *dict:
		s, ok := a.(text)
		if !ok {
			return false, nil
		}
		_, found := x.Get(s.s)
		return found, nil
	case undefined:
		return false, nil
	}
	return false, fmt.Errorf("nothing can be in %s", describe(b))
}

// compare is an operator of comparison, "in" or "not in".
func compare(op kind, a, b any) (bool, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in", "not in":
		yes, err := contains(a, b)
		return yes == (op == "in"), err
	case ">", ">=":
		a, b = b, a
	}
	for _, v := range []any{a, b} {
		if u, ok := v.(undefined); ok {
			return false, errors.New(string(u))
		}
	}
	yes, err := less(a, b)
	return yes || (op == "<=" || op == ">=") && err == nil && equal(a, b), err
}

// operate is an operator of arithmetic.
func operate(op kind, a, b any) (any, error) {
	switch op {
	case "+":
		if v, ok := join(a, b); ok {
			return v, nil
		}
	case "*":
		if v, ok, err := repeat(a, b); ok || err != nil {
			return v, err
		}
	case "%":
		if s, ok := a.(text); ok {
			return percent(s, b)
		}
	}
	return arithmetic(op, a, b)
}

// join is + on text and lists.
func join(a, b any) (any, bool) {
	if s, ok := a.(text); ok {
		if t, ok := b.(text); ok {
			return joined(s, t), true
		}
		return nil, false
	}
	if s, ok := a.([]any); ok {
		t, ok := b.([]any)
		return slices.Concat(s, t), ok
	}
	if s, ok := a.(tuple); ok {
		t, ok := b.(tuple)
		return slices.Concat(s, t), ok
	}
	return nil, false
}

// repeat is * of text or a list with a whole number.
func repeat(a, b any) (any, bool, error) {
	n, ok := b.(int)
	if !ok {
		a, b = b, a
		if n, ok = b.(int); !ok {
			return nil, false, nil
		}
	}
	n = max(n, 0)
	size := 0
	switch x := a.(type) {
	case text:
		size = len(x.s)
	case []any:
		size = len(x)
	case tuple:
		size = len(x)
	default:
		return nil, false, nil
	}
	if n > 0 && size > maxText/n {
		return nil, false, fmt.Errorf("%d times %s is too long", n, describe(a))
	}
	switch x := a.(type) {
	case text:
		if x.marks == nil {
			return text{s: strings.Repeat(x.s, n)}, true, nil
		}
		return joined(slices.Repeat([]text{x}, n)...), true, nil
	case tuple:
		return slices.Repeat(x, n), true, nil
	}
	return slices.Repeat(a.([]any), n), true, nil
}

// percent is Python's "..." % values for %s, %r, %d and %%.
func percent(format text, v any) (any, error) {
	values, isTuple := v.(tuple)
	if !isTuple {
		values = tuple{v}
	}
	var b builder
	rest, used := format, 0
	for {
		i := strings.IndexByte(rest.s, '%')
		if i < 0 || i+1 >= len(rest.s) {
			break
		}
		b.write(rest.cut(0, i))
		verb := rest.s[i+1]
		rest = rest.cut(i+2, len(rest.s))
		if verb == '%' {
			b.say("%")
			continue
		}
		if used >= len(values) {
			return nil, errors.New("there are not enough values for the text before %")
		}
		x := values[used]
		used++
		switch f, n, whole, ok := number(x); {
		case verb == 's':
			b.write(str(x))
		case verb == 'r':
			b.write(repr(x))
		case verb == 'd' && ok && whole:
			b.say(fmt.Sprint(n))
		case verb == 'd' && ok:
			b.say(fmt.Sprintf("%.0f", math.Trunc(f)))
		default:
			return nil, fmt.Errorf("%%%c with %s is not supported: there are %%s, %%r, %%d and %%%%", verb,
				describe(x))
		}
	}
	if _, isDict := v.(*dict); used < len(values) && (isTuple || !isDict) {
		return nil, errors.New("there are more values than places in the text before %")
	}
	b.write(rest)
	return b.text(), nil
}

// arithmetic is an operator on two numbers.
func arithmetic(op kind, a, b any) (any, error) {
	x, i, wholeX, okX := number(a)
	y, j, wholeY, okY := number(b)
	if !okX || !okY {
		return nil, fmt.Errorf("%q between %s and %s is not defined (in Python neither)", op, describe(a),
			describe(b))
	}
	whole := wholeX && wholeY
	switch op {
	case "/", "//", "%":
		if y == 0 {
			return nil, fmt.Errorf("division by zero")
		}
	}
	switch op {
	case "+":
		if whole {
			return exact(i, j, (*big.Int).Add)
		}
		return x + y, nil
	case "-":
		if whole {
			return exact(i, j, (*big.Int).Sub)
		}
		return x - y, nil
	case "*":
		if whole {
			return exact(i, j, (*big.Int).Mul)
		}
		return x * y, nil
	case "/":
		return x / y, nil
	case "//":
		if whole {
			return floorDiv(i, j), nil
		}
		return math.Floor(x / y), nil
	case "%":
		if whole {
			return i - floorDiv(i, j)*j, nil
		}
		return x - math.Floor(x/y)*y, nil
	case "**":
		v := math.Pow(x, y)
		if whole && j >= 0 {
			if math.Abs(v) > 1<<63 {
				return nil, errBeyond
			}
			return exact(i, j, func(z, i, j *big.Int) *big.Int { return z.Exp(i, j, nil) })
		}
		return v, nil
	}
	return nil, fmt.Errorf("the operator %q is not supported", op)
}

// errBeyond: Python's whole numbers have no bound, ours have 64 bits.
var errBeyond = errors.New("the result is a whole number beyond 64 bits, which is not supported")

// exact is an operation on whole numbers whose result has to fit 64 bits.
func exact(i, j int, op func(z, i, j *big.Int) *big.Int) (any, error) {
	z := op(new(big.Int), big.NewInt(int64(i)), big.NewInt(int64(j)))
	if !z.IsInt64() {
		return nil, errBeyond
	}
	return int(z.Int64()), nil
}

// compareNumbers gives -1, 0 or 1, or 2 where one is not a number. A whole number and a
// float are compared exactly, as Python compares them: 2**53+1 is not 2.0**53.
func compareNumbers(x float64, i int, wholeX bool, y float64, j int, wholeY bool) int {
	switch {
	case wholeX && wholeY:
		return cmp.Compare(i, j)
	case math.IsNaN(x) || math.IsNaN(y):
		return 2
	case wholeX == wholeY || math.IsInf(x, 0) || math.IsInf(y, 0):
		return cmp.Compare(x, y)
	case wholeX:
		return new(big.Float).SetInt64(int64(i)).Cmp(big.NewFloat(y))
	}
	return big.NewFloat(x).Cmp(new(big.Float).SetInt64(int64(j)))
}

// floorDiv rounds towards minus infinity.
func floorDiv(i, j int) int {
	q := i / j
	if i%j != 0 && (i < 0) != (j < 0) {
		q--
	}
	return q
}
