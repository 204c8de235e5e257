package jinja

import (
	"fmt"
	"slices"
	"strings"
)

// testNames are the tests there are.
var testNames = []string{"boolean", "callable", "defined", "divisibleby", "eq", "equalto", "even", "false",
	"filter", "float", "ge",
	"greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none",
	"number", "odd", "sameas",
	"sequence", "string", "test", "true", "undefined", "upper"}

// signs are the tests that select and reject also know by a sign.
var signs = map[string]string{"==": "eq", "!=": "ne", ">": "gt", ">=": "ge", "<": "lt", "<=": "le",
	"greaterthan": "gt", "lessthan": "lt",
	"equalto": "eq"}

// test answers "v is name(...)".
func test(name string, v any, c call) (bool, error) {
	if sign, ok := signs[name]; ok {
		name = sign
	}
	_, no := v.(undefined)
	if _, is := v.(unusable); is {
		no = true
	}
	switch name {
	case "defined":
		return !no, c.none()
	case "undefined":
		return no, c.none()
	case "eq", "ne", "lt", "le", "gt", "ge", "in", "divisibleby", "sameas":
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
	return testKind(name, v)
}

func testKind(name string, v any) (bool, error) {
	_, isBool := v.(bool)
	i, isInt := v.(int)
	_, isFloat := v.(float64)
	t, isText := v.(text)
	_, isList := list(v)
	_, isDict := v.(*dict)
	_, isLoop := v.(*loop)
	_, isFunction := v.(*function)
	_, no := v.(undefined)
	switch name {
	case "none":
		return v == nil, nil
	case "boolean":
		return isBool, nil
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
	case "callable":
		return isFunction, nil
	case "iterable", "sequence":
		return isText || isList || isDict || no || isLoop && name == "iterable", nil
	case "lower":
		return textMethodIs(str(v), "islower"), nil
	case "upper":
		return textMethodIs(str(v), "isupper"), nil
	case "filter":
		return isText && slices.Contains(filterNames, t.s), nil
	case "test":
		return isText && slices.Contains(testNames, t.s), nil
	}
	if isBool {
		i, isInt = intOf(v == true), true
	}
	if !isInt {
		return false, fmt.Errorf("want a whole number, got %s", describe(v))
	}
	return (i%2 == 0) == (name == "even"), nil
}

func textMethodIs(t text, name string) bool {
	yes, err := textMethod(t, name, call{})
	return err == nil && yes == true
}

func testAgainst(name string, a, b any) (bool, error) {
	switch name {
	case "eq":
		return equal(a, b), nil
	case "ne":
		return !equal(a, b), nil
	case "in":
		return contains(a, b)
	case "sameas":
		return kindOf(a) == kindOf(b) && equal(a, b), nil
	case "divisibleby":
		i, okI := a.(int)
		j, okJ := b.(int)
		if !okI || !okJ || j == 0 {
			return false, fmt.Errorf("want whole numbers, not 0, got %s, %s", describe(a), describe(b))
		}
		return i%j == 0, nil
	}
	return compare(map[string]kind{"lt": "<", "le": "<=", "gt": ">", "ge": ">="}[name], a, b)
}
