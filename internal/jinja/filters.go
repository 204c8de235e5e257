package jinja

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"steer/internal/pystr"
)

// filterNames are the filters there are.
var filterNames = []string{"abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e",
	"escape", "first",
	"float", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max",
	"min", "reject",
	"rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "sum",
	"title", "tojson",
	"trim", "truncate", "unique", "upper", "urlencode", "wordcount"}

// filter applies v|name(...).
func (m *machine) filter(name string, v any, c call) (any, error) {
	switch name {
	case "default", "d":
		return m.filterDefault(v, c)
	case "trim":
		return strip(str(v), "strip", c)
	case "replace":
		a, err := c.take([]string{"s", "old", "new", "count"}[1:], required, required, -1)
		if err != nil {
			return nil, err
		}
		if a[2] == nil {
			a[2] = -1
		}
		return replace(str(v), str(a[0]), str(a[1]), a[2])
	case "join":
		return m.filterJoin(v, c)
	case "map":
		return m.filterMap(v, c)
	case "select", "reject", "selectattr", "rejectattr":
		return m.filterSelect(name, v, c)
	case "int", "float":
		return m.filterNumber(name, v, c)
	case "round":
		return filterRound(v, c)
	case "tojson":
		return m.filterJSON(v, c)
	case "attr":
		a, err := c.take([]string{"name"}, required)
		if err != nil {
			return nil, err
		}
		if out, ok := attribute(v, str(a[0]).s); ok {
			return out, nil
		}
		return undefined(fmt.Sprintf("%s has no attribute %s", kindOf(v), describe(a[0]))), nil
	}
	if f, ok := textFilters[name]; ok {
		return f(str(v), c)
	}
	if f, ok := listFilters[name]; ok {
		return f(m, v, c)
	}
	if !slices.Contains(filterNames, name) {
		return nil, fmt.Errorf("not known; there are %s", strings.Join(filterNames, " "))
	}
	if err := c.none(); err != nil {
		return nil, err
	}
	switch name {
	case "lower", "upper", "capitalize":
		return str(v).mapped(caseMethods[name]), nil
	case "title":
		return str(v).mapped(filterTitle), nil
	case "string", "safe": // nothing is escaped that "safe" would keep from it
		return str(v), nil
	case "length", "count":
		return length(v)
	case "abs":
		return filterAbs(v)
	}
	return m.filterItems(name, v)
}

func (m *machine) filterDefault(v any, c call) (any, error) {
	a, err := c.take([]string{"default_value", "boolean"}, "", false)
	if err != nil {
		return nil, err
	}
	switch v.(type) {
	case undefined, unusable:
		return a[0], nil
	}
	if truthOf(a[1]) && !truthOf(v) {
		return a[0], nil
	}
	return v, nil
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

func filterRound(v any, c call) (any, error) {
	a, err := c.take([]string{"precision", "method"}, 0, "common")
	if err != nil {
		return nil, err
	}
	x, _, _, ok := number(v)
	digits, okD := a[0].(int)
	if !ok || !okD || digits < 0 || digits > 15 {
		return nil, fmt.Errorf("want a number and 0 to 15 digits, got %s, %s", describe(v), describe(a[0]))
	}
	switch str(a[1]).s {
	case "common":
		return strconv.ParseFloat(strconv.FormatFloat(x, 'f', digits, 64), 64)
	case "ceil":
		return math.Ceil(x*math.Pow10(digits)) / math.Pow10(digits), nil
	case "floor":
		return math.Floor(x*math.Pow10(digits)) / math.Pow10(digits), nil
	}
	return nil, errors.New("method: want common, ceil or floor")
}

// filterNumber is int and float. What is no number is an error where templates are strict, else the
// default.
func (m *machine) filterNumber(name string, v any, c call) (any, error) {
	a, err := c.take([]string{"default"}, map[string]any{"int": 0, "float": 0.0}[name])
	if err != nil {
		return nil, err
	}
	x, i, whole, ok := number(v)
	if s, isText := v.(text); isText {
		s := strings.TrimFunc(s.s, pystr.IsSpace)
		if n, err := strconv.Atoi(s); err == nil {
			x, i, whole, ok = float64(n), n, true, true
		} else if f, err := strconv.ParseFloat(s, 64); err == nil {
			x, ok = f, true
		}
	}
	switch {
	case !ok && m.strict:
		return nil, fmt.Errorf("%s is no number (Jinja would make it 0)", describe(v))
	case !ok:
		return a[0], nil
	case name == "float":
		return x, nil
	case whole:
		return i, nil
	case math.IsNaN(x) || math.Abs(x) >= 1<<53:
		return nil, fmt.Errorf("%s is too large", describe(v))
	}
	return int(x), nil
}

// textFilters are filters of text with arguments.
var textFilters = map[string]func(t text, c call) (any, error){
	"indent": filterIndent,
	"truncate": func(t text, c call) (any, error) {
		a, err := c.take([]string{"length", "killwords", "end", "leeway"}, 255, false, "...", 5)
		if err != nil {
			return nil, err
		}
		n, errN := wholeOf("length", a[0])
		leeway, errL := wholeOf("leeway", a[3])
		end, errE := textOf("end", a[2])
		if err := errors.Join(errN, errL, errE); err != nil {
			return nil, err
		}
		runes := t.runes()
		keep := n - len(end.runes())
		if keep < 0 {
			return nil, fmt.Errorf("want a length of at least that of %q", end.s)
		}
		if len(runes) <= n+leeway {
			return t, nil
		}
		head := joined(runes[:keep]...)
		if at := strings.LastIndexByte(head.s, ' '); at >= 0 && !truthOf(a[1]) {
			head = head.cut(0, at)
		}
		return joined(head, end), nil
	},
	"center": func(t text, c call) (any, error) {
		a, err := c.take([]string{"width"}, 80)
		if err != nil {
			return nil, err
		}
		return pad(t, "center", call{args: a})
	},
	"format": func(t text, c call) (any, error) {
		if len(c.names) > 0 {
			return nil, errors.New("names are not supported: give the values")
		}
		return percent(t, tuple(c.args))
	},
	"wordcount": func(t text, c call) (any, error) {
		inWord := func(r rune) bool { return r != '_' && !characterTests["isalnum"](r) }
		return len(strings.FieldsFunc(t.s, inWord)), c.none()
	},
	"urlencode": func(t text, c call) (any, error) {
		return t.mapped(func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
		}), c.none()
	},
	"escape": escapeHTML, "e": escapeHTML,
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

func escapeHTML(t text, c call) (any, error) { return t.mapped(htmlEscapes.Replace), c.none() }

func filterIndent(t text, c call) (any, error) {
	a, err := c.take([]string{"width", "first", "blank"}, 4, false, false)
	if err != nil {
		return nil, err
	}
	by, isText := a[0].(text)
	if !isText {
		n, err := wholeOf("width", a[0])
		if err != nil || n > maxText/16 {
			return nil, errors.Join(err, errors.New("want a width"))
		}
		by = text{s: strings.Repeat(" ", max(n, 0))}
	}
	lines, err := splitLines(joined(t, text{s: "\n"}), call{})
	if err != nil {
		return nil, err
	}
	var b builder
	for i, line := range lines.([]any) {
		line := line.(text)
		if i > 0 {
			b.say("\n")
		}
		if i == 0 && truthOf(a[1]) || i > 0 && (line.s != "" || truthOf(a[2])) {
			b.write(by)
		}
		b.write(line)
	}
	return b.text(), nil
}

// path is v.a.b.0 for the argument attribute of a filter.
func (m *machine) path(v, attribute any) (any, error) {
	switch a := attribute.(type) {
	case nil:
		return v, nil
	case int:
		return item(v, a)
	case text:
		for _, part := range strings.Split(a.s, ".") {
			var key any = text{s: part}
			if n, err := strconv.Atoi(part); err == nil && n >= 0 {
				key = n
			}
			var err error
			if v, err = item(v, key); err != nil {
				return nil, err
			}
			if _, no := v.(undefined); no && m.strict {
				return nil, errors.New(string(v.(undefined)))
			}
		}
		return v, nil
	}
	return nil, fmt.Errorf("attribute: want text, got %s", describe(attribute))
}

func (m *machine) filterJoin(v any, c call) (any, error) {
	a, err := c.take([]string{"d", "attribute"}, "", nil)
	if err != nil {
		return nil, err
	}
	sep, ok := a[0].(text)
	if !ok {
		return nil, fmt.Errorf("want text between the items, got %s", describe(a[0]))
	}
	if a[1] == nil {
		return joinItems(v, sep, false)
	}
	items, err := m.paths(v, a[1])
	if err != nil {
		return nil, err
	}
	return joinItems(items, sep, false)
}

// paths applies path to all items.
func (m *machine) paths(v, attribute any) ([]any, error) {
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	for i, e := range items {
		if out[i], err = m.path(e, attribute); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return out, nil
}

// joinItems joins items as text; strict insists that they are text, as str.join does.
func joinItems(v any, sep text, strict bool) (any, error) {
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	var b builder
	for i, e := range items {
		if _, ok := e.(text); strict && !ok {
			return nil, fmt.Errorf("item %d is %s, want text", i, describe(e))
		}
		if i > 0 {
			b.write(sep)
		}
		b.write(str(e))
		if b.len() > maxText {
			return nil, errors.New("the result is too long")
		}
	}
	return b.text(), nil
}

// filterMap is map(filter, ...) and map(attribute=name, default=value).
func (m *machine) filterMap(v any, c call) (any, error) {
	byKey := slices.Contains(c.names, "attribute")
	if byKey {
		if len(c.args) > 0 || len(c.names) > 2 || len(c.names) == 2 && !slices.Contains(c.names, "default") {
			return nil, errors.New("want map('filter', ...) or map(attribute='name')")
		}
		a, err := c.take([]string{"attribute", "default"}, required, required0)
		if err != nil {
			return nil, err
		}
		if a[1] == required0 {
			return m.paths(v, a[0])
		}
		items, err := iterate(v)
		if err != nil {
			return nil, err
		}
		loose := *m
		loose.strict = false
		out := make([]any, len(items))
		for i, e := range items {
			if out[i], err = loose.path(e, a[0]); err != nil {
				return nil, err
			}
			if _, no := out[i].(undefined); no {
				out[i] = a[1]
			}
		}
		return out, nil
	}
	if len(c.args) == 0 {
		return nil, errors.New("want map('filter', ...) or map(attribute='name')")
	}
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	name, ok := c.args[0].(text)
	if !ok {
		return nil, fmt.Errorf("want the name of a filter, got %s", describe(c.args[0]))
	}
	out := make([]any, len(items))
	for i, e := range items {
		if out[i], err = m.filter(name.s, e, call{args: c.args[1:], names: c.names, named: c.named}); err != nil {
			return nil, fmt.Errorf("item %d: filter %s: %w", i, name.s, err)
		}
	}
	if len(items) == 0 && !slices.Contains(filterNames, name.s) {
		return nil, fmt.Errorf("filter %s: not known", name.s)
	}
	return out, nil
}

// required0 tells an argument that was not given from None.
var required0 any = &struct{ string }{"not given"}

// filterSelect is select, reject, selectattr and rejectattr.
func (m *machine) filterSelect(name string, v any, c call) (any, error) {
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	var key any
	if strings.HasSuffix(name, "attr") {
		if len(c.args) == 0 {
			return nil, errors.New("want the name of an attribute")
		}
		key, c.args = c.args[0], c.args[1:]
	}
	loose := *m
	loose.strict = false
	out := []any{}
	for i, e := range items {
		value, err := loose.path(e, key)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		yes := truthOf(value)
		if len(c.args) > 0 {
			by, ok := c.args[0].(text)
			if !ok {
				return nil, fmt.Errorf("want the name of a test, got %s", describe(c.args[0]))
			}
			if yes, err = test(by.s, value, call{args: c.args[1:], names: c.names, named: c.named}); err != nil {
				return nil, fmt.Errorf("item %d: test %s: %w", i, by.s, err)
			}
		}
		if yes == strings.HasPrefix(name, "select") {
			out = append(out, e)
		}
	}
	return out, nil
}

// filterItems are the filters of lists without arguments.
func (m *machine) filterItems(name string, v any) (any, error) {
	switch d := v.(type) {
	case *dict:
		if name == "items" {
			return dictMethod(d, "items", call{})
		}
	case undefined:
		if name == "items" {
			return []any{}, nil
		}
	}
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	switch name {
	case "list":
		return append([]any{}, items...), nil
	case "reverse":
		slices.Reverse(items)
		if _, isText := v.(text); isText {
			return joinItems(items, text{}, false)
		}
		return items, nil
	}
	if len(items) == 0 {
		if m.strict {
			return nil, errors.New("there is no item")
		}
		return undefined("there is no item"), nil
	}
	switch name {
	case "first":
		return items[0], nil
	case "last":
		return items[len(items)-1], nil
	}
	return nil, fmt.Errorf("%s has no items to take", describe(v))
}

// listFilters are filters of lists with arguments.
var listFilters map[string]func(m *machine, v any, c call) (any, error)

func init() { // they call each other
	listFilters = map[string]func(m *machine, v any, c call) (any, error){
		"sort": filterSort, "min": filterExtreme("min"), "max": filterExtreme("max"), "unique": filterUnique,
		"sum":      filterSum,
		"dictsort": filterDictSort, "groupby": filterGroup, "batch": filterBatch, "slice": filterSlice,
	}
}

// folded is what Jinja compares by: capitals do not count.
func folded(v any) any {
	if s, ok := v.(text); ok {
		return text{s: lower(s.s)}
	}
	return v
}

// inOrder sorts items by what key gives.
func inOrder(items, keys []any, sensitive, reverse bool) error {
	var bad error
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
		if !sensitive {
			keys[i] = folded(keys[i])
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		if reverse {
			i, j = j, i
		}
		before, err := less(keys[i], keys[j])
		switch {
		case err != nil:
			bad = err
			return 0
		case before:
			return -1
		case equal(keys[i], keys[j]):
			return 0
		}
		return 1
	})
	was := slices.Clone(items)
	for k, i := range order {
		items[k] = was[i]
	}
	return bad
}

func filterSort(m *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"reverse", "case_sensitive", "attribute"}, false, false, nil)
	if err != nil {
		return nil, err
	}
	if t, ok := a[2].(text); ok && strings.Contains(t.s, ",") {
		return nil, errors.New("attribute: several are not supported")
	}
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	keys, err := m.paths(v, a[2])
	if err != nil {
		return nil, err
	}
	items = append([]any{}, items...)
	return items, inOrder(items, keys, truthOf(a[1]), truthOf(a[0]))
}

func filterExtreme(name string) func(m *machine, v any, c call) (any, error) {
	return func(m *machine, v any, c call) (any, error) {
		a, err := c.take([]string{"case_sensitive", "attribute"}, false, nil)
		if err != nil {
			return nil, err
		}
		items, err := iterate(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return m.filterItems("first", items)
		}
		keys, err := m.paths(v, a[1])
		if err != nil {
			return nil, err
		}
		items = slices.Clone(items)
		err = inOrder(items, keys, truthOf(a[0]), name == "max")
		return items[0], err
	}
}

func filterUnique(m *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"case_sensitive", "attribute"}, false, nil)
	if err != nil {
		return nil, err
	}
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	keys, err := m.paths(v, a[1])
	if err != nil {
		return nil, err
	}
	out, seen := []any{}, []any{}
	for i, e := range items {
		k := keys[i]
		if !truthOf(a[0]) {
			k = folded(k)
		}
		if !slices.ContainsFunc(seen, func(o any) bool { return equal(o, k) }) {
			out, seen = append(out, e), append(seen, k)
		}
	}
	return out, nil
}

func filterSum(m *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"attribute", "start"}, nil, 0)
	if err != nil {
		return nil, err
	}
	items, err := m.paths(v, a[0])
	if err != nil {
		return nil, err
	}
	total := a[1]
	for _, e := range items {
		if _, _, _, ok := number(e); !ok {
			return nil, fmt.Errorf("%s is no number", describe(e))
		}
		if total, err = operate("+", total, e); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func filterDictSort(_ *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"case_sensitive", "by", "reverse"}, false, "key", false)
	if err != nil {
		return nil, err
	}
	d, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("want a dict, got %s", describe(v))
	}
	out, err := dictMethod(d, "items", call{})
	if err != nil {
		return nil, err
	}
	items := out.([]any)
	keys := make([]any, len(items))
	for i, e := range items {
		keys[i] = e.(tuple)[0]
		if str(a[1]).s == "value" {
			keys[i] = e.(tuple)[1]
		}
	}
	return items, inOrder(items, keys, truthOf(a[0]), truthOf(a[2]))
}

func filterGroup(m *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"attribute"}, required)
	if err != nil {
		return nil, err
	}
	sorted, err := filterSort(m, v, call{names: []string{"attribute"}, named: []any{a[0]}})
	if err != nil {
		return nil, err
	}
	keys, err := m.paths(sorted, a[0])
	if err != nil {
		return nil, err
	}
	out := []any{}
	for i, e := range sorted.([]any) {
		if n := len(out); n > 0 && equal(folded(keys[i]), folded(out[n-1].(tuple)[0])) {
			group := out[n-1].(tuple)
			group[1] = append(group[1].([]any), e)
			continue
		}
		out = append(out, tuple{keys[i], []any{e}})
	}
	return out, nil
}

func filterBatch(_ *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"linecount", "fill_with"}, required, nil)
	if err != nil {
		return nil, err
	}
	n, err := wholeOf("linecount", a[0])
	if err != nil || n < 1 {
		return nil, errors.Join(err, errors.New("want at least 1"))
	}
	items, err := iterate(v)
	out := []any{}
	for part := range slices.Chunk(items, n) {
		part = slices.Clone(part)
		for a[1] != nil && len(part) < n && n < maxText {
			part = append(part, a[1])
		}
		out = append(out, part)
	}
	return out, err
}

func filterSlice(_ *machine, v any, c call) (any, error) {
	a, err := c.take([]string{"slices", "fill_with"}, required, nil)
	if err != nil {
		return nil, err
	}
	n, err := wholeOf("slices", a[0])
	if err != nil || n < 1 || n > maxText {
		return nil, errors.Join(err, errors.New("want at least 1"))
	}
	items, err := iterate(v)
	out := []any{}
	each, more, at := len(items)/n, len(items)%n, 0
	for i := range n {
		end := at + each
		if i < more {
			end++
		}
		part := append([]any{}, items[at:end]...)
		if a[1] != nil && i >= more {
			part = append(part, a[1])
		}
		out, at = append(out, part), end
	}
	return out, err
}
