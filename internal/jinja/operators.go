package jinja

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"

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
	case string:
		t, ok := b.(string)
		return ok && a == t
	case []any:
		t, ok := b.([]any)
		return ok && slices.EqualFunc(a, t, equal)
	case tuple:
		t, ok := b.(tuple)
		return ok && slices.EqualFunc(a, t, equal)
	case *ordered.Map:
		t, ok := b.(*ordered.Map)
		return ok && ordered.Equal(a, t, equal)
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
	if s, ok := a.(string); ok {
		if t, ok := b.(string); ok {
			return slices.Compare([]rune(s), []rune(t)) < 0, nil
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

// list gives the elements of a list or tuple.
func list(v any) ([]any, bool) {
	if t, ok := v.(tuple); ok {
		return t, true
	}
	l, ok := v.([]any)
	return l, ok
}

// contains is Python's "a in b".
func contains(a, b any) (bool, error) {
	switch x := b.(type) {
	case string:
		s, ok := a.(string)
		if !ok {
			return false, fmt.Errorf("only text can be in text, got %s", describe(a))
		}
		return strings.Contains(x, s), nil
	case []any:
		return slices.ContainsFunc(x, func(e any) bool { return equal(e, a) }), nil
	case tuple:
		return contains(a, []any(x))
	case *ordered.Map:
		s, ok := a.(string)
		if !ok {
			return false, nil
		}
		_, found := x.Get(s)
		return found, nil
	}
	return false, fmt.Errorf("nothing can be in %s", describe(b))
}

// operate is a binary operator but "and" and "or".
func operate(op *tokens.Token, a, b any) (any, error) {
	switch op.Type {
	case tokens.Equals:
		return equal(a, b), nil
	case tokens.Ne:
		return !equal(a, b), nil
	case tokens.LowerThan:
		return less(a, b)
	case tokens.GreaterThan:
		return less(b, a)
	case tokens.LowerThanOrEqual, tokens.GreaterThanOrEqual:
		if op.Type == tokens.GreaterThanOrEqual {
			a, b = b, a
		}
		yes, err := less(a, b)
		return yes || equal(a, b), err
	case tokens.In:
		return contains(a, b)
	case tokens.Tilde:
		return str(a) + str(b), nil
	case tokens.Addition:
		if v, ok := join(a, b); ok {
			return v, nil
		}
	case tokens.Multiply:
		if v, ok, err := repeat(a, b); ok || err != nil {
			return v, err
		}
	}
	return arithmetic(op, a, b)
}

// join is + on text and lists.
func join(a, b any) (any, bool) {
	if s, ok := a.(string); ok {
		t, ok := b.(string)
		return s + t, ok
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
	switch x := a.(type) {
	case string:
		if n > 0 && len(x) > maxText/n {
			return nil, false, fmt.Errorf("%d times %s is too long", n, describe(a))
		}
		return strings.Repeat(x, n), true, nil
	case []any:
		if n > 0 && len(x) > maxText/n {
			return nil, false, fmt.Errorf("%d times %s is too long", n, describe(a))
		}
		return slices.Repeat(x, n), true, nil
	case tuple:
		v, ok, err := repeat([]any(x), n)
		if err != nil {
			return nil, ok, err
		}
		return tuple(v.([]any)), ok, nil
	}
	return nil, false, nil
}

// arithmetic is an operator on two numbers.
func arithmetic(op *tokens.Token, a, b any) (any, error) {
	x, i, wholeX, okX := number(a)
	y, j, wholeY, okY := number(b)
	if !okX || !okY {
		return nil, fmt.Errorf("%q between %s and %s is not defined (in Python neither)", op.Val, describe(a),
			describe(b))
	}
	whole := wholeX && wholeY
	switch op.Type {
	case tokens.Division, tokens.FloorDivision, tokens.Modulo:
		if y == 0 {
			return nil, fmt.Errorf("division by zero")
		}
	}
	switch op.Type {
	case tokens.Addition:
		if whole {
			return exact(i, j, (*big.Int).Add)
		}
		return x + y, nil
	case tokens.Subtraction:
		if whole {
			return exact(i, j, (*big.Int).Sub)
		}
		return x - y, nil
	case tokens.Multiply:
		if whole {
			return exact(i, j, (*big.Int).Mul)
		}
		return x * y, nil
	case tokens.Division:
		return x / y, nil
	case tokens.FloorDivision:
		if whole {
			return floorDiv(i, j), nil
		}
		return math.Floor(x / y), nil
	case tokens.Modulo:
		if whole {
			return i - floorDiv(i, j)*j, nil
		}
		return x - math.Floor(x/y)*y, nil
	case tokens.Power:
		v := math.Pow(x, y)
		if whole && j >= 0 {
			if math.Abs(v) > 1<<63 {
				return nil, errBeyond
			}
			return exact(i, j, func(z, i, j *big.Int) *big.Int { return z.Exp(i, j, nil) })
		}
		return v, nil
	}
	return nil, fmt.Errorf("the operator %q is not supported", op.Val)
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

// plus is i + j; ok tells whether it fits.
func plus(i, j int) (sum int, ok bool) {
	v, err := exact(i, j, (*big.Int).Add)
	if err != nil {
		return 0, false
	}
	return v.(int), true
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
