package jinja

import (
	"fmt"
	"slices"
	"strings"

	"steer/internal/ordered"
)

// testNames are the tests there are.
var testNames = []string{"defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "gt", "in",
	"integer",
	"iterable", "le", "lt", "mapping", "ne", "none", "number", "odd", "sequence", "string", "true", "undefined"}

// test answers "v is name(...)".
func test(name string, v any, c call) (bool, error) {
	_, no := v.(undefined)
	switch name {
	case "defined":
		return !no, c.none()
	case "undefined":
		return no, c.none()
	case "eq", "equalto", "ne", "lt", "le", "gt", "ge", "in", "divisibleby":
		a, err := c.take([]string{"other"}, required)
		if err != nil {
			return false, err
		}
		return testAgainst(name, v, a[0])
	}
	if !slices.Contains(testNames, name) {
		return false, fmt.Errorf("not known; there are %s", strings.Join(testNames, " "))
	}
	if err := c.none(); err != nil {
		return false, err
	}
	_, isBool := v.(bool)
	i, isInt := v.(int)
	_, isFloat := v.(float64)
	_, isText := v.(string)
	_, isList := list(v)
	_, isDict := v.(*ordered.Map)
	switch name {
	case "none":
		return v == nil, nil
	case "true":
		return v == true, nil
	case "false":
		return v == false, nil
	case "integer":
		return isInt, nil
	case "float":
		return isFloat, nil
	case "number":
		return isBool || isInt || isFloat, nil
	case "string":
		return isText, nil
	case "mapping":
		return isDict, nil
	case "iterable", "sequence":
		return isText || isList || isDict, nil
	}
	if !isInt {
		return false, fmt.Errorf("want a whole number, got %s", describe(v))
	}
	return (i%2 == 0) == (name == "even"), nil
}

func testAgainst(name string, a, b any) (bool, error) {
	switch name {
	case "eq", "equalto":
		return equal(a, b), nil
	case "ne":
		return !equal(a, b), nil
	case "in":
		return contains(a, b)
	case "divisibleby":
		i, okI := a.(int)
		j, okJ := b.(int)
		if !okI || !okJ || j == 0 {
			return false, fmt.Errorf("want whole numbers, not 0, got %s, %s", describe(a), describe(b))
		}
		return i%j == 0, nil
	}
	if name == "gt" || name == "ge" {
		a, b = b, a
	}
	yes, err := less(a, b)
	return yes || strings.HasSuffix(name, "e") && equal(a, b), err
}
