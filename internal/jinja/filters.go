package jinja

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"steer/internal/ordered"
	"steer/internal/pystr"
)

// filterNames are the filters there are.
var filterNames = []string{"abs", "capitalize", "count", "d", "default", "first", "float", "int", "items", "join",
	"last",
	"length", "list", "lower", "map", "max", "min", "replace", "reverse", "round", "sort", "string", "sum", "title",
	"trim",
	"unique", "upper"}

// filter applies v|name(...).
func filter(name string, v any, c call) (any, error) {
	switch name {
	case "default", "d":
		return filterDefault(v, c)
	case "trim":
		return strip(str(v), "strip", c)
	case "replace":
		a, err := c.take([]string{"old", "new", "count"}, required, required, -1)
		if err != nil {
			return nil, err
		}
		return replace(str(v), a[0], a[1], a[2])
	case "join":
		a, err := c.take([]string{"d"}, "")
		if err != nil {
			return nil, err
		}
		sep, ok := a[0].(string)
		if !ok {
			return nil, fmt.Errorf("want text between the items, got %s", describe(a[0]))
		}
		return joinItems(v, sep, false)
	case "map":
		return filterMap(v, c)
	case "int", "float", "round":
		return filterNumber(name, v, c)
	}
	if !slices.Contains(filterNames, name) {
		return nil, fmt.Errorf("not known; there are %s", strings.Join(filterNames, " "))
	}
	if err := c.none(); err != nil {
		return nil, err
	}
	switch name {
	case "lower":
		return lower(str(v)), nil
	case "upper":
		return upper(str(v)), nil
	case "capitalize":
		return capitalize(str(v)), nil
	case "title":
		return filterTitle(str(v)), nil
	case "string":
		return str(v), nil
	case "length", "count":
		return length(v)
	case "abs":
		return filterAbs(v)
	}
	return filterItems(name, v)
}

func filterDefault(v any, c call) (any, error) {
	a, err := c.take([]string{"default_value", "boolean"}, "", false)
	if err != nil {
		return nil, err
	}
	if _, no := v.(undefined); no {
		return a[0], nil
	}
	if equal(a[1], true) {
		if yes, err := truth(nil, v); err != nil || !yes {
			return a[0], err
		}
	}
	return v, nil
}

func length(v any) (any, error) {
	switch x := v.(type) {
	case string:
		return utf8.RuneCountInString(x), nil
	case []any:
		return len(x), nil
	case tuple:
		return len(x), nil
	case *ordered.Map:
		return x.Len(), nil
	}
	return nil, fmt.Errorf("%s has no length", describe(v))
}

func filterAbs(v any) (any, error) {
	x, i, whole, ok := number(v)
	switch {
	case !ok:
		return nil, fmt.Errorf("want a number, got %s", describe(v))
	case whole:
		return max(i, -i), nil
	}
	return math.Abs(x), nil
}

// filterTitle differs from str.title: words begin after blanks, "-" and brackets only.
func filterTitle(s string) string {
	var b strings.Builder
	begin := true
	for _, r := range s {
		switch {
		case begin:
			b.WriteString(upper(string(r)))
		default:
			b.WriteString(lower(string(r)))
		}
		begin = pystr.IsSpace(r) || strings.ContainsRune("-({[<", r)
	}
	return b.String()
}

// filterNumber is int, float and round.
func filterNumber(name string, v any, c call) (any, error) {
	if name == "round" {
		a, err := c.take([]string{"precision"}, 0)
		if err != nil {
			return nil, err
		}
		x, _, _, ok := number(v)
		digits, okD := a[0].(int)
		if !ok || !okD || digits < 0 || digits > 15 {
			return nil, fmt.Errorf("want a number and 0 to 15 digits, got %s, %s", describe(v), describe(a[0]))
		}
		return strconv.ParseFloat(strconv.FormatFloat(x, 'f', digits, 64), 64)
	}
	if err := c.none(); err != nil {
		return nil, err
	}
	x, i, whole, ok := number(v)
	if s, isText := v.(string); isText {
		s = strings.TrimFunc(s, pystr.IsSpace)
		if n, err := strconv.Atoi(s); err == nil {
			x, i, whole, ok = float64(n), n, true, true
		} else if f, err := strconv.ParseFloat(s, 64); err == nil {
			x, ok = f, true
		}
	}
	if !ok {
		return nil, fmt.Errorf("%s is no number (Jinja would make it 0)", describe(v))
	}
	switch {
	case name == "float":
		return x, nil
	case whole:
		return i, nil
	case math.IsNaN(x) || math.Abs(x) >= 1<<53:
		return nil, fmt.Errorf("%s is too large", describe(v))
	}
	return int(x), nil
}

// joinItems joins items as text; strict insists that they are text, as str.join does.
func joinItems(v any, sep string, strict bool) (any, error) {
	items, err := iterate(nil, v)
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, e := range items {
		if _, ok := e.(string); strict && !ok {
			return nil, fmt.Errorf("item %d is %s, want text", i, describe(e))
		}
		parts[i] = str(e)
	}
	return strings.Join(parts, sep), nil
}

// filterMap is map(filter, ...) and map(attribute=name).
func filterMap(v any, c call) (any, error) {
	items, err := iterate(nil, v)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	key, byKey := c.named["attribute"]
	if byKey && (len(c.args) > 0 || len(c.named) > 1) || !byKey && len(c.args) == 0 {
		return nil, fmt.Errorf("want map('filter', ...) or map(attribute='name')")
	}
	for i, e := range items {
		if byKey {
			if out[i], err = item(nil, e, key); err != nil {
				return nil, err
			}
			if u, no := out[i].(undefined); no {
				return nil, fmt.Errorf("item %d: %s", i, string(u))
			}
			continue
		}
		name, ok := c.args[0].(string)
		if !ok {
			return nil, fmt.Errorf("want the name of a filter, got %s", describe(c.args[0]))
		}
		if out[i], err = filter(name, e, call{args: c.args[1:], named: c.named}); err != nil {
			return nil, fmt.Errorf("item %d: filter %s: %w", i, name, err)
		}
	}
	return out, nil
}

// filterItems are the filters of lists without arguments.
func filterItems(name string, v any) (any, error) {
	if d, ok := v.(*ordered.Map); ok && name == "items" {
		return dictMethod(d, "items", call{})
	}
	items, err := iterate(nil, v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	switch name {
	case "list":
		return items, nil
	case "reverse":
		slices.Reverse(items)
		if _, isText := v.(string); isText {
			return joinItems(items, "", false)
		}
		return items, nil
	case "unique":
		var out []any
		for _, e := range items {
			if !slices.ContainsFunc(out, func(o any) bool { return equal(folded(o), folded(e)) }) {
				out = append(out, e)
			}
		}
		return out, nil
	case "sum":
		return sum(items)
	}
	if len(items) == 0 && name != "sort" {
		return nil, fmt.Errorf("there is no item")
	}
	switch name {
	case "first":
		return items[0], nil
	case "last":
		return items[len(items)-1], nil
	case "min", "max", "sort":
		return inOrder(name, items)
	}
	return nil, fmt.Errorf("%s has no items to take", describe(v))
}

// folded is what Jinja compares by: capitals do not count.
func folded(v any) any {
	if s, ok := v.(string); ok {
		return lower(s)
	}
	return v
}

// inOrder is min, max and sort.
func inOrder(name string, items []any) (any, error) {
	var bad error
	compare := func(a, b any) int {
		a, b = folded(a), folded(b)
		before, err := less(a, b)
		switch {
		case err != nil:
			bad = err
			return 0
		case before:
			return -1
		case equal(a, b):
			return 0
		}
		return 1
	}
	var out any
	switch name {
	case "min":
		out = slices.MinFunc(items, compare)
	case "max":
		out = slices.MaxFunc(items, compare)
	default:
		slices.SortStableFunc(items, compare)
		out = items
	}
	return out, bad
}

func sum(items []any) (any, error) {
	total, whole, all := 0.0, 0, true
	for _, e := range items {
		x, i, isWhole, ok := number(e)
		if !ok {
			return nil, fmt.Errorf("%s is no number", describe(e))
		}
		total, all = total+x, all && isWhole
		if all {
			if whole, ok = plus(whole, i); !ok {
				return nil, errBeyond
			}
		}
	}
	if all {
		return whole, nil
	}
	return total, nil
}
